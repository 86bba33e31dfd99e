"""Tests that checkpoints of SAM's descendants load under their published names, and that all precisions of the new encoders pass."""

import hashlib
import json

import numpy as np
import pytest
import torch
from promptseg_export import checkpoints, efficientvit_sam, export, mobile_sam, parity, repvit_sam
from promptseg_export.checkpoints import CheckpointError

REPVIT_SAM = "b083b07b91111f5b21041cdfc36626b410aeaa19e3dfa7415ff42b98dd1b7b4d"
"""Digest of the names and shapes in the state_dict of the authors' `build_sam_repvit()`."""


def digest(state: dict) -> str:
    lines = sorted(f"{name} {list(value.shape)}" for name, value in state.items())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def to_published_names(state: dict, depths: tuple) -> dict:
    """The inverse of `repvit_sam.to_timm_names`: names of timm -> names of the authors."""
    blocks = [f"image_encoder.body.{place}." for place, _ in repvit_sam.places(depths)]
    renamed = {}
    for name, value in state.items():
        # A block within a downsampling block has the longer name.
        number = max((i for i, b in enumerate(blocks) if name.startswith(b)), key=lambda i: len(blocks[i]), default=None)
        if number is not None:
            rest = name[len(blocks[number]) :]
            for pattern, replacement in repvit_sam.places(depths)[number][1]:
                if rest.startswith(replacement):
                    rest = pattern.replace("^", "").replace("\\", "") + rest[len(replacement) :]
                    break
            name = f"image_encoder.features.{number}.{rest}"
        renamed[name] = value
    return renamed


def test_repvit_sam_has_the_tensors_of_the_published_checkpoint():
    state = to_published_names(repvit_sam.published().state_dict(), repvit_sam.DEPTHS)
    assert digest(state) == REPVIT_SAM
    assert checkpoints.guess_model(state) == "repvit-sam"


def test_a_checkpoint_of_repvit_sam_restores_its_model(tmp_path):
    before = repvit_sam.build("small", None, 4)
    state = to_published_names(before.network.state_dict(), repvit_sam.SMALL["depth"])
    assert "image_encoder.features.1.token_mixer.1.fc1.weight" in state
    torch.save(state, tmp_path / "repvit_sam.pt")
    after = repvit_sam.build("small", tmp_path / "repvit_sam.pt", None)
    image = torch.randn(1, 3, 256, 256)
    with torch.no_grad():
        assert torch.equal(before.network.image_encoder(image), after.network.image_encoder(image))
        # The joined branches round differently.
        assert torch.allclose(after.encoder(image), after.network.image_encoder(image), atol=1e-4)
    del state["image_encoder.features.1.token_mixer.0.bn.bias"]
    state["image_encoder.features.99.c.weight"] = torch.zeros(1)
    torch.save(state, tmp_path / "repvit_sam.pt")
    with pytest.raises(CheckpointError) as error:
        repvit_sam.build("small", tmp_path / "repvit_sam.pt", None)
    assert "missing: image_encoder.body.stages.0.blocks.0.token_mixer.bn.bias" in str(error.value)
    assert "not known: image_encoder.features.99.c.weight" in str(error.value)


def test_tinysam_has_the_tensors_of_mobile_sam_and_answers_with_candidates(tmp_path, log):
    before = mobile_sam.build("small", None, 4)
    torch.save(before.network.state_dict(), tmp_path / "tinysam.pth")
    after = mobile_sam.build_tinysam("small", tmp_path / "tinysam.pth", None)
    for family in (before, after):
        family.set_image(parity.photo())
    (case,) = (c for c in parity.calls(600, 400, np.zeros((1, 1, 256, 256), np.float32)) if c.name == "box")
    candidates = before.predict(case, True)
    assert all(np.array_equal(a, b) for a, b in zip(after.predict(case, False), candidates))
    export.export(after, "tinysam", "source", tmp_path / "out", ("fp32",), log)
    description = json.loads((tmp_path / "out/bundle.json").read_text())
    assert (description["family"], description["multimask_for_several_prompts"]) == ("tinysam", True)


@pytest.mark.parametrize("wrapped", [True, False], ids=["state_dict", "plain"])
def test_a_checkpoint_of_efficientvit_sam_restores_its_model(wrapped, tmp_path):
    before = efficientvit_sam.build("small", None, 4)
    state = before.network.state_dict()
    torch.save({"state_dict": state} if wrapped else state, tmp_path / "l0.pt")
    after = efficientvit_sam.build("small", tmp_path / "l0.pt", None)
    image = torch.randn(1, 3, 160, 160)
    with torch.no_grad():
        expected = before.network.image_encoder(image)
        assert torch.equal(after.network.image_encoder(image), expected)
        assert torch.allclose(after.encoder(image), expected, atol=1e-4)


@pytest.mark.parametrize("model", ["l0", "l1", "l2", "xl0", "xl1"])
def test_the_published_models_of_efficientvit_sam_are_recognised(model):
    with torch.device("meta"):
        state = efficientvit_sam.NETWORKS[model]().state_dict()
    assert checkpoints.guess_model(state) == f"efficientvit-sam --model {model}"
    assert checkpoints.guess_model({"state_dict": state}) == f"efficientvit-sam --model {model}"


def test_efficientvit_sam_passes_in_half_precision(tmp_path, log):
    family = efficientvit_sam.build("small", None, 4)
    measured = export.export(family, "name", "source", tmp_path / "out", ("fp32", "fp16", "int8"), log)
    # The encoder has no matrix products with weights.
    assert list(measured) == ["fp32", "fp16"] and any("int8 is left out" in line for line in log), log
    description = json.loads((tmp_path / "out/bundle.json").read_text())
    assert (description["format"], description["image_size"], description["prompt_size"]) == (3, 160, 320)
    assert 0 < description["variants"][1]["parity"]["low_res"] < parity.LOW_RES["fp16"]


def test_attention_without_positive_queries_is_zero():
    family = efficientvit_sam.build("small", None, 4)
    (attention,) = (m for m in family.encoder.modules() if type(m).__name__ == "LiteMLA")
    qkv = torch.randn(1, 6 * 4 * attention.dim, 5, 5)
    qkv[:, : attention.dim] = -1.0
    ours, theirs = attention.relu_linear_att(qkv), type(attention).relu_linear_att(attention, qkv)
    assert torch.allclose(ours, theirs, atol=1e-5) and not ours[:, : attention.dim].any()

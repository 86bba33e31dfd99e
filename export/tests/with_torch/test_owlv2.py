"""Tests that a bundle of OWLv2 is written only if it agrees with transformers."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from promptseg_export import attention, checks, cli, owlv2, owlv2_export, parity, sight
from safetensors.torch import load_file, save_file


@pytest.fixture(scope="module")
def small():
    return owlv2.build("small", 5, photo=parity.photo())


def test_the_bundle_agrees_with_transformers(small, tmp_path):
    measured = owlv2_export.export(small, "name", "source", tmp_path / "out", lambda _: None)
    assert set(measured) == {"logits", "boxes", "objectness", "queries"}
    assert all(0 < difference < 1e-5 for difference in measured.values())
    description = json.loads((tmp_path / "out/bundle.json").read_text())
    assert description["kind"] == "text" and description["patches"] == 64 and description["tokens"] == 16
    assert set(description["files"]) == {"image_tower.onnx", "text_tower.onnx", "class_head.onnx", "tokenizer.json"}
    for graph in (tmp_path / "out").glob("*.onnx"):
        assert checks.file_violations(graph) == []


@pytest.mark.parametrize("part", ["image_tower", "text_tower", "class_head"])
def test_a_graph_that_differs_is_refused(small, tmp_path, monkeypatch, part):
    module = getattr(small, part)
    forward = type(module).forward

    def faulty(self, *inputs):
        outputs = forward(self, *inputs)
        wrong = [output + 0.01 * torch.relu(output) for output in (outputs if isinstance(outputs, tuple) else (outputs,))]
        return tuple(wrong) if isinstance(outputs, tuple) else wrong[0] + 0.01
    monkeypatch.setattr(type(module), "forward", faulty)
    with pytest.raises(parity.Mismatch):
        owlv2_export.export(small, "name", "source", tmp_path / "out", lambda _: None)
    assert not (tmp_path / "out").exists()


def test_attention_in_parts_is_the_attention_of_transformers(small, monkeypatch):
    module = small.network.owlv2.vision_model.encoder.layers[0].self_attn
    x = torch.randn(1, 65, 32)
    whole = attention.attend(module, x, None)
    monkeypatch.setattr(attention, "SCORES", 4 * 2 * 65 * 7)
    parts = attention.attend(module, x, None)
    expected = module(x)[0]
    assert (whole - expected).abs().max() < 1e-5 and (parts - expected).abs().max() < 1e-5


def test_random_weights_see_pictures_and_phrases(small, monkeypatch):
    owlv2_export.check_sight(small)
    monkeypatch.setattr(owlv2, "PHRASES", ("a photo of a cup", "a photo of a cup"))
    with pytest.raises(sight.Blind):
        owlv2_export.check_sight(small)


def test_a_folder_of_transformers_is_read(small, tmp_path, capsys):
    small.network.save_pretrained(tmp_path / "folder")
    small.processor.save_pretrained(tmp_path / "folder")
    assert cli.main(["owlv2", "--checkpoint", str(tmp_path / "folder"), str(tmp_path / "out")]) == 0, capsys.readouterr().err
    description = json.loads((tmp_path / "out/bundle.json").read_text())
    assert (description["name"], description["source"], description["padding"]) == ("folder", "folder", 0.0)
    ids = owlv2.read(str(tmp_path / "folder")).tokenize(["red cup"])
    assert np.array_equal(ids, small.tokenize(["red cup"]))


def test_a_checkpoint_without_some_tensors_is_refused(small, tmp_path, capsys):
    small.network.save_pretrained(tmp_path / "folder")
    small.processor.save_pretrained(tmp_path / "folder")
    (weights,) = (tmp_path / "folder").glob("*.safetensors")
    tensors = load_file(weights)
    del tensors["class_head.dense0.weight"]
    save_file(tensors, weights, {"format": "pt"})
    assert cli.main(["owlv2", "--checkpoint", str(tmp_path / "folder"), str(tmp_path / "out")]) == 1
    assert "1 tensors are missing: class_head.dense0.weight" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--random-weights", "1"], "needs --model"),
        (["--random-weights", "1", "--model", "small", "--image-size", "100"], "multiple of 16"),
        (["--checkpoint", "x", "--model", "small"], "belongs to --random-weights"),
        (["--checkpoint", "."], "config.json"),
    ],
)
def test_wrong_arguments_are_refused(tmp_path, monkeypatch, capsys, arguments, part):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["owlv2", *arguments, str(Path(tmp_path / "out"))]) == 2
    assert part in capsys.readouterr().err

"""Tests that the tracker over the memory graphs agrees with the package, and that faults of graph or tracker are detected."""

import json

import numpy as np
import pytest
import torch
from promptseg_export import cli, edgetam, export, sam2, video_proof, video_reference
from promptseg_export.parity import Mismatch


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A small SAM 2.1 with memory, and its family."""
    family, log = sam2.build_2_1("small", None, 5), []
    out = tmp_path_factory.mktemp("bundle")
    export.export(family, "name", "source", out, ("fp32", "fp16", "int8"), log.append)
    return family, out, log


def test_each_precision_names_its_graphs_of_the_memory(bundle):
    family, out, log = bundle
    description = json.loads((out / "bundle.json").read_text())
    memory = description["memory"]
    assert (memory["frames"], memory["pointers"], memory["shape"]) == (7, 16, [256, 16])
    assert memory["parity"]["fp32"]["low_res"] < 1e-4 and memory["parity"]["fp32"]["scores"] < 1e-4
    assert memory["parity"]["fp16"]["low_res"] < 2e-2 and memory["parity"]["fp16"]["features"] < 2e-2
    half = {"memory_attention": "memory_attention.fp16.onnx", "memory_encoder": "memory_encoder.fp16.onnx"}
    plain = {name: file.replace(".fp16", "") for name, file in half.items()}
    named = {v["precision"]: {name: v[name] for name in half} for v in description["variants"]}
    assert named == {"fp32": plain, "fp16": half, "int8": plain}
    assert {*half.values(), *plain.values(), "memory.safetensors"} <= set(description["files"])
    assert not any("hardly compared" in line for line in log)


@pytest.mark.parametrize("fault", ["times", "places", "pointer_time", "absent", "binarize"])
def test_a_fault_in_a_graph_is_refused(fault, bundle, log, tmp_path):
    """Runs only the parity check of the video, on graphs with one fault."""
    _, out, _ = bundle
    family = sam2.build_2_1("small", None, 5)
    memory = family.memory
    attention, encoder = memory.attention, memory.encoder
    # Assigns new tensors, because the PyTorch model shares the old ones.
    if fault == "times":
        attention.times = attention.times.roll(1, 0)
    elif fault == "places":
        attention.places = attention.places.flip(1)
    elif fault == "pointer_time":
        attention.pointer_time.weight.data = -attention.pointer_time.weight
    elif fault == "absent":
        encoder.absent = -encoder.absent
    else:
        encoder.scale, encoder.bias = 10.0, -5.0
    for path in out.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    export.write_memory(family, tmp_path, log)
    with pytest.raises(Mismatch, match="^tracking: "):
        video_proof.prove(family, tmp_path, False, log)


def test_a_tracker_that_uses_the_wrong_temporal_encodings_is_refused(bundle, log, monkeypatch):
    family, out, _ = bundle

    def shifted(self, tracked, frame, reverse):
        return [(record, max(row - 1, 0)) for record, row in memories(self, tracked, frame, reverse)]

    memories = video_reference.Tracker.memories
    monkeypatch.setattr(video_reference.Tracker, "memories", shifted)
    with pytest.raises(Mismatch, match="^tracking: "):
        video_proof.prove(family, out, False, log)


def test_the_memory_of_edgetam_agrees_with_transformers(log, tmp_path):
    family = edgetam.build("small", None, 5)
    export.export(family, "name", "source", tmp_path / "out", ("fp32",), log)
    memory = json.loads((tmp_path / "out/bundle.json").read_text())["memory"]
    assert memory["shape"] == [32, 16]
    assert max(memory["parity"]["fp32"][part] for part in ("low_res", "pointers", "scores")) < 1e-4
    assert not any("hardly compared" in line for line in log)
    # The window latents in reverse order are a fault.
    perceiver = family.memory.encoder.perceiver
    perceiver.latents_2d.data = perceiver.latents_2d.flip(0)
    export.write_memory(family, tmp_path / "out", log)
    with pytest.raises(Mismatch, match="^tracking: "):
        video_proof.prove(family, tmp_path / "out", False, log)


def test_memory_can_be_left_out(tmp_path):
    arguments = ["sam2", "--model", "small", "--random-weights", "5", "--variants", "fp32", "--no-memory"]
    assert cli.main([*arguments, str(tmp_path / "out")]) == 0
    description = json.loads((tmp_path / "out/bundle.json").read_text())
    assert "memory" not in description and set(description["files"]) == {
        "image_encoder.onnx",
        "mask_decoder.onnx",
        "prompt_encoder.safetensors",
    }


def test_the_first_version_has_no_pointer_times_and_object_scores():
    first, second = (sam2.build("small", None, 5, version=v).memory for v in ("sam2", "sam2.1"))
    assert "pointer_times" not in first.attention_inputs((1, 32, 16, 16))
    assert "object_score_logits" not in first.encoder_inputs((1, 32, 16, 16), 64)
    assert "pointer_times" in second.attention_inputs((1, 32, 16, 16))
    assert "object_score_logits" in second.encoder_inputs((1, 32, 16, 16), 64)


def test_rounding_to_bfloat16_agrees_with_pytorch():
    values = np.random.default_rng(0).normal(size=10000).astype(np.float32)
    # Ties.
    values[:4] = np.array([0x3F808000, 0x3F818000, 0xBF808000, 0x3F808001], np.uint32).view(np.float32)
    expected = torch.from_numpy(values).bfloat16().float().numpy()
    assert np.array_equal(video_reference.to_bfloat16(values), expected)

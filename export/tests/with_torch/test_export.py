"""Tests that a bundle is written only if it agrees with PyTorch."""

import json
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import promptseg_export.export
import pytest
import torch
from promptseg_export import bundle, checks, cli, graphs, mobile_sam, parity, sam, sam_hq
from promptseg_export.export import export
from promptseg_export.parity import Mismatch, Proof

ALL = ("fp32", "fp16", "int8")


class Faulty(torch.nn.Module):
    """A module whose first output has an error, proportional to positive values."""

    def __init__(self, module, part):
        super().__init__()
        self.module, self.part = module, part

    def forward(self, *inputs):
        outputs = self.module(*inputs)
        first = outputs if torch.is_tensor(outputs) else outputs[0]
        # Only positive values, so that no norm or softmax cancels the error.
        wrong = first + self.part * torch.relu(first)
        return wrong if torch.is_tensor(outputs) else (wrong, *outputs[1:])


def test_all_precisions_are_in_the_bundle(smallest, log, tmp_path):
    measured = export(smallest, "name", "source", tmp_path / "out", ALL, log)
    description = json.loads((tmp_path / "out/bundle.json").read_text())
    assert [v["precision"] for v in description["variants"]] == list(ALL) == list(measured)
    assert description["variants"][1]["encoder"] == "image_encoder.fp16.onnx"
    assert description["variants"][2]["decoder"] == "mask_decoder.onnx"
    parities = [v["parity"] for v in description["variants"]]
    assert all(0 < p["low_res"] < parity.LOW_RES[name] for p, name in zip(parities, ALL))
    assert parities[0]["low_res"] < parities[1]["low_res"] < parities[2]["low_res"]
    assert {p.name for p in tmp_path.iterdir()} == {"out"}
    # Weights and activations are in half precision, inputs and outputs in f32.
    half = onnx.load(tmp_path / "out/image_encoder.fp16.onnx")
    kinds = {n.op_type: set() for n in half.graph.node}
    types = {t.name: t.data_type for t in half.graph.initializer}
    for node in half.graph.node:
        kinds[node.op_type] |= {types[i] for i in node.input if i in types}
    assert kinds["MatMul"] == kinds["Conv"] == {onnx.TensorProto.FLOAT16}
    assert onnx.TensorProto.FLOAT16 not in kinds["LayerNormalization"]
    assert half.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    # All MatMul with weights are in 8 bits, convolutions are not.
    int8 = onnx.load(tmp_path / "out/image_encoder.int8.onnx")
    operators = [n.op_type for n in int8.graph.node]
    assert operators.count("MatMulInteger") == 8 and operators.count("Conv") == 3 and "ConvInteger" not in operators


@pytest.mark.parametrize("where", ["encoder", "decoder"])
def test_a_wrong_graph_is_refused_and_nothing_is_touched(where, smallest, log, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "bundle.json").write_text('{"files": {}}')
    setattr(smallest, where, Faulty(getattr(smallest, where), 0.05))
    with pytest.raises(Mismatch, match="of their range, limit 1e-03"):
        export(smallest, "name", "source", out, ("fp32",), log)
    assert {p.name for p in tmp_path.iterdir()} == {"out"}
    assert [p.read_text() for p in out.iterdir()] == ['{"files": {}}']


def test_a_difference_within_the_limit_passes(smallest, log, tmp_path):
    smallest.decoder = Faulty(smallest.decoder, 2e-4)
    measured = export(smallest, "name", "source", tmp_path / "out", ("fp32",), log)
    assert 1e-5 < measured["fp32"].low_res < 1e-3


def test_not_a_number_is_refused(smallest, log, tmp_path):
    smallest.decoder = Faulty(smallest.decoder, float("nan"))
    with pytest.raises(Mismatch):
        export(smallest, "name", "source", tmp_path / "out", ("fp32",), log)


def test_the_command_reports_a_difference_from_pytorch(smallest, monkeypatch, tmp_path, capsys):
    smallest.encoder = Faulty(smallest.encoder, 0.05)
    monkeypatch.setattr(sam, "build", lambda *_: smallest)
    assert cli.main(["sam", "--model", "small", "--random-weights", "1", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert "promptseg-export: not equal to PyTorch, no bundle written: " in error
    assert not (tmp_path / "out").exists()


def test_a_precision_beyond_its_limit_is_left_out_with_a_message(smallest, log, monkeypatch, tmp_path):
    monkeypatch.setitem(parity.LOW_RES, "fp16", 1e-9)
    export(smallest, "name", "source", tmp_path / "out", ("fp32", "fp16"), log)
    description = json.loads((tmp_path / "out/bundle.json").read_text())
    assert [v["precision"] for v in description["variants"]] == ["fp32"]
    files = {p.name for p in (tmp_path / "out").iterdir()}
    assert files == {"bundle.json", "image_encoder.onnx", "mask_decoder.onnx", "prompt_encoder.safetensors"}
    assert any(line.startswith("fp16 is left out: ") for line in log)


def test_an_export_replaces_an_older_bundle(smallest, log, tmp_path):
    export(smallest, "first", "source", tmp_path, ("fp32", "int8"), log)
    (tmp_path / "notes.txt").write_text("not ours")
    export(smallest, "second", "source", tmp_path, ("fp32",), log)
    assert json.loads((tmp_path / "bundle.json").read_text())["name"] == "second"
    assert not (tmp_path / "image_encoder.int8.onnx").exists()
    assert (tmp_path / "notes.txt").read_text() == "not ours"


@pytest.fixture
def at_once(monkeypatch):
    """Replaces the export by one that takes no time."""

    def write(family, name, source, folder, *_):
        (folder / "image_encoder.onnx").write_text(name)
        bundle.write_description(folder, {"name": name})

    monkeypatch.setattr(promptseg_export.export, "write", write)


def test_out_may_be_on_another_file_system(at_once, log, tmp_path):
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("/dev/shm is not on another file system")
    with tempfile.TemporaryDirectory(dir=other) as folder:
        (tmp_path / "out").symlink_to(folder)
        for name in ("first", "second"):
            export(None, name, "source", tmp_path / "out", ("fp32",), log)
        assert {p.name for p in Path(folder).iterdir()} == {"bundle.json", "image_encoder.onnx"}
        assert (tmp_path / "out/image_encoder.onnx").read_text() == "second"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_out_may_be_the_working_folder_with_a_damaged_bundle(at_once, log, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bundle.json").write_text("{")
    export(None, "name", "source", Path("."), ("fp32",), log)
    assert {p.name for p in tmp_path.iterdir()} == {"bundle.json", "image_encoder.onnx"}


def test_large_weights_are_stored_beside_the_graph(smallest, log, monkeypatch, tmp_path):
    monkeypatch.setattr(graphs, "INLINE", 10_000)
    out = tmp_path / "out"
    export(smallest, "name", "source", out, ALL, log)
    files = json.loads((out / "bundle.json").read_text())["files"]
    assert files["image_encoder.onnx.data"]["bytes"] > 100_000 > files["image_encoder.onnx"]["bytes"]
    assert len(json.loads((out / "bundle.json").read_text())["variants"]) == 3
    # No temporary file remains.
    assert {p.name for p in out.iterdir()} == {*files, "bundle.json"}
    assert [name for name in files if name.endswith(".data")] == ["image_encoder.onnx.data"]


@pytest.mark.parametrize("module", [sam_hq, mobile_sam], ids=["sam-hq", "mobile-sam"])
def test_the_other_families_are_equal_to_their_predictors(module, log, tmp_path):
    family = module.build("small", None, 5, 128 if module is sam_hq else None)
    measured = export(family, "name", "source", tmp_path, ("fp32",), log)
    assert measured["fp32"].low_res < 1e-5 and measured["fp32"].iou < 1e-5
    kinds = {line.split("  ")[1].strip() for line in log if "of the range, IoU" in line}
    assert {"point", "negative", "box", "point and box", "mask", "three boxes", "three boxes, candidates"} <= kinds


@pytest.mark.parametrize("module", [sam_hq, mobile_sam], ids=["sam-hq", "mobile-sam"])
def test_the_published_size_agrees_with_its_predictor(module):
    """Compares the wrappers in PyTorch, without graphs, which take minutes at this size."""
    family = module.build("vit_tiny", None, 5)
    proof = Proof(family)
    with torch.no_grad():
        features = family.encoder(torch.from_numpy(proof.image))
        features = [features] if torch.is_tensor(features) else features
        for case in proof.cases:
            prompts = [torch.from_numpy(part) for part in (case.sparse, case.dense, case.wanted())]
            low_res, iou = family.decoder(*features, *prompts)
            outputs = {"low_res_masks": low_res.numpy(), "iou_predictions": iou.numpy()}
            measured = parity.difference(case, *family.answer(outputs, case.multimask))
            assert measured.low_res < 1e-5, case.prompts.name


def test_the_hq_mask_is_added_to_each_mask(tmp_path, log):
    """The features of SAM-HQ change all masks by the same amount."""
    family = sam_hq.build("small", None, 5, 128)
    proof = Proof(family)
    export(family, "name", "source", tmp_path, ("fp32",), log)
    feeds = proof.feeds(tmp_path / "image_encoder.onnx")[0]
    run = parity.session(tmp_path / "mask_decoder.onnx").run
    with_features = run(["low_res_masks"], feeds)[0]
    without = run(["low_res_masks"], {**feeds, "hq_features": 0 * feeds["hq_features"]})[0]
    difference = with_features - without
    assert np.abs(difference).max() > 0.1
    assert np.allclose(difference, difference[:, :1], atol=1e-4)


def test_positions_of_deep_heads_are_constants(tmp_path):
    """The heads of ViT-H have 80 channels on 64 x 64 cells, like those of this small model."""
    path = tmp_path / "encoder.onnx"
    graphs.export_encoder(sam.small_vit(1024, width=320).eval(), 1024, ("image_embeddings",), path)
    assert checks.file_violations(path) == []


def test_onnx_runtime_fuses_the_gelu_of_an_encoder(tmp_path):
    """As torch.export writes GELU, it has five operators, each of which reads and writes the whole tensor."""
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.GELU(), torch.nn.Conv2d(4, 4, 1), torch.nn.GELU())
    path, optimised = tmp_path / "encoder.onnx", tmp_path / "optimised.onnx"
    graphs.export_encoder(module, 32, ("features",), path)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(optimised)
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    operators = [n.op_type for n in onnx.load(optimised).graph.node]
    assert operators.count("Gelu") == 2 and "Erf" not in operators
    image = torch.randn(1, 3, 32, 32)
    (features,) = session.run(None, {"image": image.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(features, module(image).numpy(), atol=1e-6)

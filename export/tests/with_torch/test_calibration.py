"""Tests of int8 with fixed scales, and of encoders that take levels in 8 bits."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper
from PIL import Image
from promptseg_export import bundle, calibration, checks, cli, parity, qdq, recalibrate, sam2, u8_encoder
from promptseg_export.export import export
from promptseg_export.sessions import session


@pytest.fixture
def pictures(tmp_path):
    """A folder with two parts of the photo, and a file that is no picture."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    photo = Image.fromarray(parity.photo())
    photo.crop((0, 0, 300, 200)).save(folder / "a.png")
    photo.crop((250, 50, 550, 400)).save(folder / "b.jpg")
    (folder / "c.jpg").write_text("no picture")
    return folder


def int8_of(folder: Path) -> dict:
    description = json.loads((folder / "bundle.json").read_text())
    (entry,) = (v for v in description["variants"] if v["precision"] == "int8")
    return entry


def test_the_calibrated_variant_is_explicit_and_close_to_fp32(smallest, log, tmp_path, pictures):
    out = tmp_path / "out"
    measured = export(smallest, "name", "source", out, ("fp32", "int8"), log, pictures)
    assert any(line.startswith("  c.jpg is left out of the calibration: ") for line in log)
    assert measured["int8"].low_res < parity.LOW_RES["int8"]
    entry = int8_of(out)
    assert set(entry["calibration"]) == {"pictures", "low_res", "mask_iou", "lowest_mask_iou", "time"}
    assert entry["calibration"]["pictures"] == 2 and 0 < entry["calibration"]["low_res"] < 0.1
    assert entry["calibration"]["lowest_mask_iou"] <= entry["calibration"]["mask_iou"] <= 1
    assert entry["providers"] == (["cpu"] if entry["calibration"]["time"] <= calibration.GAIN else [])
    assert entry["decoder"] == "mask_decoder.onnx"
    graph = onnx.load(out / entry["encoder"]).graph
    assert checks.file_violations(out / entry["encoder"]) == []
    makers = {name: node.op_type for node in graph.node for name in node.output}
    kinds = [[makers.get(name) for name in node.input] for node in graph.node if node.op_type == "MatMul"]
    # All MatMul with weights, and no product of attention.
    assert kinds.count(["DequantizeLinear", "DequantizeLinear"]) == 8 and len(kinds) > 8
    assert not any("DequantizeLinear" in kind for kind in kinds if kind != ["DequantizeLinear", "DequantizeLinear"])
    values = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in values:
            weights, scales = values[node.input[0]], values[node.input[1]]
            assert weights.dtype == np.int8 and np.abs(weights).max() <= 64
            assert scales.shape == (weights.shape[1],)
            # The largest weight of each channel uses the whole range.
            assert (np.abs(weights).max(0) >= 63).all()


def test_the_products_run_in_8_bits_on_the_cpu(smallest, log, tmp_path, pictures):
    out = tmp_path / "out"
    export(smallest, "name", "source", out, ("fp32", "int8"), log, pictures)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(str(out / "image_encoder.int8.onnx"), options, providers=["CPUExecutionProvider"])
    operators = [node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node]
    assert operators.count("MatMulIntegerToFloat") == 8 and "DequantizeLinear" not in operators


def test_the_scales_follow_the_pictures(smallest, log, tmp_path, pictures):
    export(smallest, "name", "source", tmp_path / "out", ("fp32",), log)
    encoder = tmp_path / "out/image_encoder.onnx"

    def scales(factor: float) -> np.ndarray:
        images = [factor * np.ones((1, 3, 128, 128), np.float32)]
        assert qdq.int8(encoder, tmp_path / "int8.onnx", images) == 8
        graph = onnx.load(tmp_path / "int8.onnx").graph
        values = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
        return np.array([values[n.input[1]] for n in graph.node if n.op_type == "QuantizeLinear"])

    assert not np.allclose(scales(0.1), scales(3.0), rtol=0.01)


def test_an_existing_bundle_is_calibrated_without_pytorch(smallest, log, tmp_path, pictures):
    export(smallest, "name", "source", tmp_path / "plain", ("fp32", "int8"), log)
    assert cli.main(["calibrate", str(tmp_path / "plain"), str(pictures), str(tmp_path / "out")]) == 0
    before, after = (json.loads((tmp_path / name / "bundle.json").read_text()) for name in ("plain", "out"))
    assert [v["precision"] for v in after["variants"]] == ["fp32", "int8"]
    assert after["variants"][0] == before["variants"][0] and int8_of(tmp_path / "out")["calibration"]["pictures"] == 2
    operators = {n.op_type for n in onnx.load(tmp_path / "out/image_encoder.int8.onnx").graph.node}
    assert "QuantizeLinear" in operators and "MatMulInteger" not in operators
    assert set(after["files"]) == {p.name for p in (tmp_path / "out").iterdir()} - {"bundle.json"}


def test_the_clicks_of_the_comparison_are_those_of_pytorch(smallest, log, tmp_path):
    out = tmp_path / "out"
    export(smallest, "name", "source", out, ("fp32",), log)
    photo = np.ascontiguousarray(parity.photo()[:128, :128])
    smallest.set_image(photo)
    description = json.loads((out / "bundle.json").read_text())
    found = calibration.prompts(out, description, (128, 128))
    places = (np.arange(3, dtype=np.float32) + 0.5) / 3 * 128
    points = np.stack(np.meshgrid(places, places), -1).reshape(-1, 1, 2)
    sparse, dense = smallest.embed(parity.Prompts("grid", points, np.ones((9, 1), np.int64)))
    assert np.allclose(found["sparse_prompt_embeddings"], sparse, atol=1e-5)
    assert np.allclose(found["dense_prompt_embeddings"], dense, atol=1e-6)


def test_pictures_are_resized_as_the_family_does(smallest):
    photo = parity.photo()[:300, :401]
    expected = smallest.set_image(np.ascontiguousarray(photo))
    found = calibration.sample(Image.fromarray(photo), smallest.description())
    assert np.abs(found.image - expected).max() < 1e-6 and found.content == (128, 96)


def test_refusals_name_the_reason(smallest, log, tmp_path, pictures, monkeypatch, capsys):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(calibration.NoPictures, match="0 files of .jpg, .jpeg, .png"):
        export(smallest, "name", "source", tmp_path / "out", ("fp32", "int8"), log, empty)
    assert not (tmp_path / "out").exists()
    small = ["sam", "--model", "small", "--random-weights", "1"]
    assert cli.main([*small, "--calibrate", str(tmp_path / "nowhere"), str(tmp_path / "out")]) == 2
    assert "no such folder, expected a folder of JPEG or PNG pictures" in capsys.readouterr().err
    assert cli.main([*small, "--variants", "fp32", "--calibrate", str(pictures), str(tmp_path / "out")]) == 2
    assert "expected int8 among --variants" in capsys.readouterr().err
    assert cli.main(["calibrate", str(empty), str(pictures), str(tmp_path / "out")]) == 1
    assert "is not a bundle: bundle.json: " in capsys.readouterr().err
    export(smallest, "name", "source", tmp_path / "plain", ("fp32",), log)
    monkeypatch.setattr(recalibrate, "LOWEST_MEAN", 1.1)
    assert cli.main(["calibrate", str(tmp_path / "plain"), str(pictures), str(tmp_path / "out")]) == 1
    assert "the masks have a mean IoU of" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_levels_give_the_features_of_normalised_values(smallest, log, tmp_path):
    out = tmp_path / "out"
    export(smallest, "name", "source", out, ("fp32", "fp16", "int8"), log, levels=True)
    variants = {v["precision"]: v for v in json.loads((out / "bundle.json").read_text())["variants"]}
    assert variants["fp32"]["u8_encoder"] == "image_encoder.u8.onnx"
    assert variants["fp16"]["u8_encoder"] == "image_encoder.fp16.u8.onnx"
    assert "u8_encoder" not in variants["int8"], "int8 is meant for no GPU"
    sample = calibration.sample(Image.fromarray(parity.photo()), smallest.description())
    # The padding holds arbitrary levels in the buffers of the node.
    sample.levels[0, sample.content[1] :] = 77
    for precision in ("fp32", "fp16"):
        plain, levels = (out / variants[precision][key] for key in ("encoder", "u8_encoder"))
        assert u8_encoder.difference(plain, levels, sample) <= u8_encoder.LIMIT
        (picture, *content) = session(levels).get_inputs()
        assert (picture.name, picture.type, picture.shape) == ("image", "tensor(uint8)", [1, 128, 128, 3])
        assert [value.name for value in content] == ["content_rows", "content_columns"]


def test_a_family_that_resizes_in_floating_point_gets_no_levels(log, tmp_path):
    family = sam2.build_2_1("small", None, 5, with_memory=False)
    export(family, "name", "source", tmp_path, ("fp32",), log, levels=True)
    assert "u8_encoder" not in json.loads((tmp_path / "bundle.json").read_text())["variants"][0]
    assert not (tmp_path / bundle.levels_of(bundle.ENCODER)).exists()
    assert "encoders that take levels are left out: the family does not resize to whole levels" in log

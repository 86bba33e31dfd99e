"""The graphs in this repository compile in TensorRT, with the shape profiles that the node asks for.

    ./dev test --tensorrt

The compiler is TensorRT for RTX, which needs no GPU. It is not the TensorRT of a Jetson, but reads ONNX in the same way.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engines import ROOT, Plan, compiled, plans, read_plans

DESCRIPTIONS = sorted((ROOT / "tests/golden").glob("*/bundle.json"))
# Text models have no engines yet.
BUNDLES = [f.parent for f in DESCRIPTIONS if json.loads(f.read_text()).get("kind") != "text"] + [ROOT / "models/tiny"]
FIXTURES = ROOT / "tests/fixtures"
# Its int8 variant has fixed scales, and it has an encoder that takes levels in 8 bits.
CALIBRATED = "calibrated"


def variants(bundle: Path) -> list[str]:
    description = json.loads((bundle / "bundle.json").read_text())
    return [v["precision"] for v in description.get("variants", [{"precision": "fp32"}])]


VARIANTS = [(bundle, precision) for bundle in BUNDLES for precision in variants(bundle)]


@pytest.mark.parametrize("bundle, precision", VARIANTS, ids=[f"{b.name}-{p}" for b, p in VARIANTS])
def test_every_graph_of_a_bundle_compiles(bundle: Path, precision: str) -> None:
    asked = plans(bundle, precision=precision)
    assert len(asked) >= 2, "encoder and decoder"
    for plan in asked:
        engine = compiled(plan)
        if ".int8." in plan.graph.name and bundle.name != CALIBRATED:
            # Dynamic quantisation is for the CPU: the bundle lists this variant for no GPU.
            assert any("DynamicQuantizeLinear" in error for error in engine.errors), engine.errors
            continue
        assert not engine.errors, f"{plan.graph.name}: {engine.errors}"
        assert engine.bytes > 10_000 and engine.layers > 0
        expected = 1.0 if ".fp16." in plan.graph.name else 0.0
        assert engine.half == expected, f"{plan.graph.name}: {engine.half:.0%} of the products in 16 bits"
        assert (engine.quantised > 0) == (".int8." in plan.graph.name), f"{plan.graph.name}: {engine.quantised} layers"
        if ".u8." in plan.graph.name:
            assert engine.inputs == {"image": "UINT8", "content_rows": "FLOAT", "content_columns": "FLOAT"}
    levels = any(".u8." in plan.graph.name for plan in asked)
    assert levels == (bundle.name == CALIBRATED and precision == "fp32"), [plan.graph.name for plan in asked]


# Encoder and decoder of other exporters.
SAM_FILES = ("encoder.onnx", "decoder.onnx")
TRANSFORMERS_FILES = ("vision_encoder.onnx", "prompt_encoder_mask_decoder.onnx")
LAYOUTS = {
    "edgesam": SAM_FILES,
    "efficientsam": SAM_FILES,
    "nanosam": SAM_FILES,
    "onnxruntime_sam2": SAM_FILES,
    "rectlabel_sam2": SAM_FILES,
    "sam_hq": SAM_FILES,
    "samexporter_sam": SAM_FILES,
    "samexporter_sam2": SAM_FILES,
    "transformers_sam": TRANSFORMERS_FILES,
    "transformersjs_edgetam": TRANSFORMERS_FILES,
    "transformersjs_sam2": TRANSFORMERS_FILES,
    "transformersjs_sam3_tracker": TRANSFORMERS_FILES,
}
# Decoders that compile only as promptseg opens them: without the resize to a size that is an input of floats.
CUT = {"samexporter_sam", "sam_hq"}
FLOAT_SIZE = "Network input orig_im_size is a shape tensor and must have type Int32 or Int64. Type is Float"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_graphs_of_other_exporters_compile(layout: str) -> None:
    files = [FIXTURES / layout / file for file in LAYOUTS[layout]]
    asked = plans(*files)
    assert len(asked) == 2
    for plan in asked:
        engine = compiled(plan)
        assert not engine.errors, f"{plan.graph.name}: {engine.errors}"
    as_it_is = compiled(Plan(files[1], asked[1].profile, asked[1].first_run)).errors
    assert (FLOAT_SIZE in " ".join(as_it_is)) if layout in CUT else not as_it_is, as_it_is


def test_a_graph_that_tensorrt_cannot_read_fails(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes((ROOT / "models/tiny/image_encoder.onnx").read_bytes()[:1000])
    [plan, _] = plans(ROOT / "models/tiny")
    plan.graph = damaged
    assert compiled(plan).errors


def test_a_profile_without_an_input_fails() -> None:
    [_, plan] = plans(ROOT / "models/tiny")
    plan.profile.pop("point_coords")
    plan.first_run.clear()
    assert compiled(plan).errors == ["the input point_coords has neither a shape profile nor a first run"]


def test_the_log_of_the_stub_is_read() -> None:
    [plan] = read_plans([
        "append tensorrt device_id=0 trt_profile_min_shapes=a:1x1x2,b:1 trt_profile_opt_shapes=a:1x2x2,b:1 "
        "trt_profile_max_shapes=a:64x16x2,b:64",
        "session tensorrt a folder/decoder.onnx",
        "bind-input image[1, 3, 8, 8]",
        "run tensorrt a@host[1x2x2]",
        "append cuda device_id=0",
        "session cuda decoder.onnx",
    ])  # fmt: skip
    assert plan.graph == Path("a folder/decoder.onnx")
    assert plan.profile == {"a": ((1, 1, 2), (1, 2, 2), (64, 16, 2)), "b": ((1,), (1,), (64,))}
    assert plan.first_run["image"] == (1, 3, 8, 8)

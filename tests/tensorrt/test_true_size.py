"""The published models compile in TensorRT: every graph of every family at its true size, with random weights.

The test needs PyTorch and some minutes for each model, so it runs with `./dev test --tensorrt` alone. Its results are the table of
docs/providers.md (`-- --docs`).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from engines import CAPABILITIES, ROOT, compiled, plans

DOCUMENT = ROOT / "docs/providers.md"
BEGIN, END = "<!-- engines: begin -->", "<!-- engines: end -->"
# The smallest model of each family: the larger ones have more layers of the same kinds. TinySAM has the graphs of MobileSAM, SAM 2
# those of SAM 2.1.
MODELS = {
    "MobileSAM": ("mobile-sam", "vit_tiny"),
    "RepViT-SAM": ("repvit-sam", "repvit"),
    "EfficientViT-SAM L0": ("efficientvit-sam", "l0"),
    "EfficientViT-SAM XL0": ("efficientvit-sam", "xl0"),
    "SAM-HQ ViT-tiny": ("sam-hq", "vit_tiny"),
    "SAM ViT-B": ("sam", "vit_b"),
    "SAM 2.1 tiny": ("sam2.1", "hiera_tiny"),
    "EfficientTAM Ti": ("efficienttam", "ti"),
    "EfficientTAM Ti, pooled": ("efficienttam", "ti_1"),
    "EdgeTAM": ("edgetam", "repvit_m1"),
}
# Of convolutions alone: their encoders have no product with weights, which is what int8 converts.
WITHOUT_INT8 = {"RepViT-SAM", "EfficientViT-SAM L0", "EfficientViT-SAM XL0", "EdgeTAM"}
# The sums of linear attention are too large for half precision: the exporter leaves operators that read or write them in fp32. With
# random weights, this is the least part of the products of the encoder in 16 bits.
LARGE_SUMS = {"EfficientViT-SAM L0": 0.7, "EfficientViT-SAM XL0": 0.4}
CALIBRATION = ("000.png", "001.png", "002.png")
"""Scenes of tests/scenes. The scales of an int8 variant decide its values, not its layers."""
ROWS: dict[tuple[str, str, str], str] = {}


@pytest.fixture(params=MODELS, scope="module")
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    if not request.config.getoption("--true-size"):
        pytest.skip("only with --true-size: exports need PyTorch, and minutes")
    family, model = MODELS[request.param]
    folder = tmp_path_factory.mktemp(family)
    pictures = folder / "pictures"
    pictures.mkdir()
    for name in CALIBRATION:
        shutil.copy(ROOT / "tests/scenes" / name, pictures)
    command = [os.environ["PROMPTSEG_TORCH"], "-W", "ignore", "-m", "promptseg_export", family, "--model", model,
               "--random-weights", "1", "--calibrate", pictures, folder / "bundle"]  # fmt: skip
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": str(ROOT / "export")}, stdout=subprocess.DEVNULL)
    yield request.param, folder / "bundle"
    shutil.rmtree(folder)


@pytest.fixture(scope="module", autouse=True)
def table(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if not ROWS or not request.config.getoption("--docs"):
        return
    head = "| model | graph | precision | reduced | layers | MB | s |\n|---|---|---|---|--:|--:|--:|\n"
    before, rest = DOCUMENT.read_text().split(BEGIN)
    written, after = rest.split(END)
    # Rows of models that were not compiled this time (`-k`) stay.
    kept = [line for line in written.splitlines(keepends=True) if line.startswith("| ") and not line.startswith("| model |")]
    rows = [row for row in kept if model_of(row) in MODELS and model_of(row) not in {model_of(new) for new in ROWS.values()}]
    rows = sorted([*rows, *ROWS.values()], key=lambda row: list(MODELS).index(model_of(row)))
    DOCUMENT.write_text(f"{before}{BEGIN}\n{head}{''.join(rows)}{END}{after}")


def model_of(row: str) -> str:
    return row.split(" | ")[0].removeprefix("| ")


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_every_graph_compiles(bundle: tuple[str, Path], precision: str) -> None:
    name, folder = bundle
    variants = [v["precision"] for v in json.loads((folder / "bundle.json").read_text())["variants"]]
    if precision == "int8" and name in WITHOUT_INT8:
        assert precision not in variants
        return
    assert precision in variants, f"the exporter's parity check dropped {precision}; it wrote {variants}"
    for plan in plans(folder, precision=precision):
        engine = compiled(plan)
        file = plan.graph.name
        assert not engine.errors, f"{file}: {engine.errors}"
        if ".fp16." in file:
            least = LARGE_SUMS.get(name, 1.0) if "encoder" in file else 1.0
            assert engine.half >= least, f"{file}: {engine.half:.0%} of the products in 16 bits, without {engine.full}"
        else:
            assert engine.half == 0, f"{file}: {engine.half:.0%} of the products in 16 bits"
        assert (engine.quantised > 0) == (".int8." in file), f"{file}: {engine.quantised} layers"
        if ".u8." in file:
            assert engine.inputs["image"] == "UINT8"
        graph = file.split(".")[0].replace("_", " ") + (", levels" if ".u8." in file else "")
        computed = next((kind for kind in ("fp16", "int8") if f".{kind}." in file), "fp32")
        # One file for all compute capabilities.
        size = engine.bytes / 1e6 / len(CAPABILITIES)
        bits = f"{engine.quantised} layers" if engine.quantised else f"{engine.half:.0%}" if engine.half else ""
        ROWS[name, graph, computed] = (
            f"| {name} | {graph} | {computed} | {bits} | {engine.layers} | {size:.0f} | {engine.seconds:.0f} |\n"
        )

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
# The smallest model of each family: the larger ones have more layers of the same kinds.
MODELS = {
    "MobileSAM": ("mobile-sam", "vit_tiny"),
    "SAM ViT-B": ("sam", "vit_b"),
    "SAM-HQ ViT-tiny": ("sam-hq", "vit_tiny"),
    "SAM 2.1 tiny": ("sam2.1", "hiera_tiny"),
    "EdgeTAM": ("edgetam", "repvit_m1"),
}
ROWS: dict[tuple[str, str, str], str] = {}


@pytest.fixture(params=MODELS, scope="module")
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    if not request.config.getoption("--true-size"):
        pytest.skip("only with --true-size: exports need PyTorch, and minutes")
    family, model = MODELS[request.param]
    folder = tmp_path_factory.mktemp(family)
    command = [os.environ["PROMPTSEG_TORCH"], "-W", "ignore", "-m", "promptseg_export", family, "--model", model,
               "--random-weights", "1", "--variants", "fp32,fp16", folder / "bundle"]  # fmt: skip
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": str(ROOT / "export")}, stdout=subprocess.DEVNULL)
    yield request.param, folder / "bundle"
    shutil.rmtree(folder)


@pytest.fixture(scope="module", autouse=True)
def table(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if not ROWS or not request.config.getoption("--docs"):
        return
    head = "| model | graph | precision | layers | MB | s |\n|---|---|---|--:|--:|--:|\n"
    before, rest = DOCUMENT.read_text().split(BEGIN)
    after = rest.split(END)[1]
    DOCUMENT.write_text(f"{before}{BEGIN}\n{head}{''.join(ROWS.values())}{END}{after}")


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_every_graph_compiles(bundle: tuple[str, Path], precision: str) -> None:
    name, folder = bundle
    variants = [v["precision"] for v in json.loads((folder / "bundle.json").read_text())["variants"]]
    assert precision in variants, f"the exporter's parity check dropped {precision}; it wrote {variants}"
    for plan in plans(folder, precision=precision):
        engine = compiled(plan)
        assert not engine.errors, f"{plan.graph.name}: {engine.errors}"
        assert engine.half == (1.0 if ".fp16." in plan.graph.name else 0.0), f"{plan.graph.name}: {engine.half:.0%}"
        graph, computed = plan.graph.name.split(".")[0].replace("_", " "), "fp16" if engine.half else "fp32"
        # One file for all compute capabilities.
        size = engine.bytes / 1e6 / len(CAPABILITIES)
        ROWS[name, graph, computed] = f"| {name} | {graph} | {computed} | {engine.layers} | {size:.0f} | {engine.seconds:.0f} |\n"

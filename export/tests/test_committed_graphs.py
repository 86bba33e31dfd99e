"""Tests that TensorRT can build every graph of the repository's bundles. Needs only onnx and numpy."""

import hashlib
import json
from pathlib import Path

import pytest
from promptseg_export import checks

ROOT = Path(__file__).parents[2]
BUNDLES = sorted(p.parent for folder in ("models", "tests") for p in (ROOT / folder).rglob("bundle.json"))
GRAPHS = sorted(graph for bundle in BUNDLES for graph in bundle.glob("*.onnx"))


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_the_bundles_are_found():
    names = {name(bundle) for bundle in BUNDLES}
    assert {"models/tiny", "tests/golden/sam", "tests/golden/variants"} <= names


@pytest.mark.parametrize("graph", GRAPHS, ids=name)
def test_graph_has_no_violation(graph):
    assert checks.file_violations(graph) == []


@pytest.mark.parametrize("bundle", BUNDLES, ids=name)
def test_bundle_lists_its_files(bundle):
    description = json.loads((bundle / "bundle.json").read_text())
    # The folders also contain the reference values of the golden tests.
    weights = ("prompt_encoder", "memory", "tokenizer")
    files = {p.name for p in bundle.iterdir() if p.suffix in (".onnx", ".data") or p.stem in weights}
    assert files == set(description["files"])
    for file, entry in description["files"].items():
        content = (bundle / file).read_bytes()
        assert entry == {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}, file
    for variant in description.get("variants", []):
        graphs = ["encoder", "decoder"] + ["memory_attention", "memory_encoder"] * ("memory" in description)
        assert {variant[graph] for graph in graphs} <= files
        assert set(variant["parity"]) == {"low_res", "iou", "mask_iou"}

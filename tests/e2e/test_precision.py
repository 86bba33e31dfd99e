"""A bundle with several variants: the variant that runs, and where the node reports it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import NodeProcess, Peer
from robot import Robot

VARIANTS = Path(__file__).resolve().parents[2] / "tests" / "golden" / "variants"


def test_the_node_says_which_variant_runs(start_robot: Callable[..., Robot]) -> None:
    robot = start_robot({"model": str(VARIANTS)}).connect()
    assert "encoder on cpu, int8, decoder on cpu, fp32" in robot.process.log()
    values = robot.diagnostic_values(robot.diagnostics.mark())
    assert values["encoder provider"].startswith("cpu, int8")
    assert values["decoder provider"].startswith("cpu, fp32")


def test_what_is_asked_for_runs(peer: Peer, start_node: Callable[..., NodeProcess]) -> None:
    node = start_node(peer.domain, "-p", f"model:={VARIANTS}", "-p", "precision:=fp16")
    node.wait_ready()
    assert "encoder on cpu, fp16, decoder on cpu, fp16" in node.log()


def test_a_variant_that_does_not_open_gives_way_to_fp32(
    peer: Peer, start_node: Callable[..., NodeProcess], tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(VARIANTS, bundle)
    content = b"\x08\x09 no graph"
    (bundle / "image_encoder.int8.onnx").write_bytes(content)
    description = json.loads((bundle / "bundle.json").read_text())
    entry = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    description["files"]["image_encoder.int8.onnx"] = entry
    (bundle / "bundle.json").write_text(json.dumps(description))
    node = start_node(peer.domain, "-p", f"model:={bundle}")
    node.wait_ready()
    assert "encoder on cpu, fp32" in node.log()
    assert "not on cpu, int8: " in node.log()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("precision:=int8", "has no int8 variant; it has fp32"),
        ("precision:=bf16", "one of auto, fp32, fp16, int8"),
    ],
)
def test_a_precision_that_cannot_be_had_ends_it(
    peer: Peer, start_node: Callable[..., NodeProcess], given: str, words: str
) -> None:
    node = start_node(peer.domain, "-p", given)
    assert node.exit_status() == 1
    assert words in node.log()

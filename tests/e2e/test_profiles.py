"""The parameter files of config/ start the node on any machine: without a GPU the model runs on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import ROOT, NodeProcess, Peer
from robot import get_parameters

PROFILES = sorted((ROOT / "config").glob("*.yaml"))


def test_all_are_there() -> None:
    names = {p.stem for p in PROFILES}
    assert names >= {"promptseg", "cpu", "desktop_cuda", "jetson_orin_nano", "jetson_agx_orin", "jetson_thor"}


def with_dots(parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters by their names: `max_objects` below `track` is `track.max_objects`."""
    named = {}
    for name, value in parameters.items():
        named |= {f"{name}.{key}": v for key, v in value.items()} if isinstance(value, dict) else {name: value}
    return named


@pytest.mark.parametrize("profile", PROFILES, ids=lambda p: p.stem)
def test_a_profile(peer: Peer, start_node: Callable[..., NodeProcess], profile: Path) -> None:
    """Every name exists and every value is accepted: otherwise the node warns or does not start."""
    node = start_node(peer.domain, "--params-file", str(profile))
    node.wait_ready()
    log = node.log()
    assert "there is no parameter" not in log and "[WARN]" not in log, log
    values = with_dots(yaml.safe_load(profile.read_text())["/**"]["ros__parameters"])
    assert get_parameters(peer, *values) == list(values.values())


@pytest.mark.parametrize(
    ("line", "words"),
    [("keep_frame: 3", "did you mean 'keep.frames'?"), ("keep.frames: 0", "1 to 10000")],
)
def test_a_mistake_in_a_profile_is_seen(
    peer: Peer, start_node: Callable[..., NodeProcess], tmp_path: Path, line: str, words: str
) -> None:
    """A wrong name or value has the effects that the test above excludes."""
    file = tmp_path / "wrong.yaml"
    file.write_text((ROOT / "config" / "cpu.yaml").read_text() + f"    {line}\n")
    node = start_node(peer.domain, "--params-file", str(file))
    if line.startswith("keep.frames"):
        assert node.exit_status() == 1
    else:
        node.wait_ready()
    assert words in node.log()

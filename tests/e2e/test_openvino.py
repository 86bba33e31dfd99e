"""The node on the real OpenVINO, if `PROMPTSEG_OPENVINO` names an ONNX Runtime that has it (./dev test sets it)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from robot import Robot
from scenes import Scene

RUNTIME = os.environ.get("PROMPTSEG_OPENVINO", "")
pytestmark = pytest.mark.skipif(not RUNTIME, reason="no ONNX Runtime with OpenVINO: its wheel exists for x86-64 only")


def test_a_click_is_answered_on_openvino(start_robot: Callable[..., Robot], scene: Scene, tmp_path: Path) -> None:
    environment = {"ORT_DYLIB_PATH": RUNTIME, "XDG_CACHE_HOME": str(tmp_path)}
    robot = start_robot({"providers": ["openvino", "cpu"]}, env=environment)
    robot.connect()
    # OpenVINO 2025.4 cannot run this decoder for two objects, which is found while the model is opened.
    values = robot.diagnostic_values(robot.diagnostics.mark())
    assert values["encoder provider"].startswith("openvino, ") and values["decoder provider"].startswith("cpu, ")
    assert "decoder: not on openvino: it opens and then fails" in values["better providers"]
    robot.click_answered(scene)


def test_the_choice_of_providers_is_in_diagnostics(start_robot: Callable[..., Robot], scene: Scene, tmp_path: Path) -> None:
    environment = {"ORT_DYLIB_PATH": RUNTIME, "XDG_CACHE_HOME": str(tmp_path)}
    robot = start_robot(env=environment)
    robot.connect()
    values = robot.diagnostic_values(robot.diagnostics.mark())
    assert " ms, cpu " in values["encoder provider"], values
    robot.click_answered(scene)

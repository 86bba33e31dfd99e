"""The node starts in any order with other nodes, stops at once, and gives a clear reason if it cannot start."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from promptseg_msgs.msg import MaskArray, PromptArray

from harness import NodeProcess, Peer, eventually
from messages import image, prompt, prompts
from robot import Robot
from scenes import Scene

# The promised time is one second; a busy machine gets a little more.
STOPS_WITHIN = 1.5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_an_idle_node(peer: Peer, start_node: Callable[..., NodeProcess], number: signal.Signals) -> None:
    node = start_node(peer.domain)
    node.wait_ready()
    since = time.monotonic()
    node.send(number)
    assert node.exit_status() == 0, node.log()
    assert time.monotonic() - since < STOPS_WITHIN
    assert "stopping" in node.log() and "panicked" not in node.log()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_node_at_work(start_robot: Callable[..., Robot], scene: Scene, number: signal.Signals) -> None:
    robot = start_robot()
    robot.connect()
    robot.show(scene.rgb)
    stop = threading.Event()

    def camera() -> None:
        while not stop.wait(0.005):
            robot.peer.publish("image", image(scene.rgb, robot.stamp()), wait=False)

    thread = threading.Thread(target=camera, daemon=True)
    thread.start()
    try:
        robot.peer.publish("prompts", prompts(PromptArray.SET, *(prompt(box=s.box) for s in scene.shapes)))
        robot.masks.wait("masks", lambda m: len(m.masks) == 3)
        since = time.monotonic()
        robot.process.send(number)
        assert robot.process.exit_status() == 0, robot.process.log()
        assert time.monotonic() - since < STOPS_WITHIN
    finally:
        stop.set()
        thread.join()
    assert "panicked" not in robot.process.log()


def test_a_signal_while_the_model_loads(peer: Peer, start_node: Callable[..., NodeProcess]) -> None:
    node = start_node(peer.domain)
    eventually("the start", lambda: "loading model" in node.log())
    node.send(signal.SIGTERM)
    assert node.exit_status() == 0, node.log()


def test_a_model_that_is_not_there(peer: Peer, start_node: Callable[..., NodeProcess], tmp_path: Path) -> None:
    node = start_node(peer.domain, "-p", f"model:={tmp_path}/nowhere")
    assert node.exit_status() == 1
    assert f"{tmp_path}/nowhere" in node.log()


def test_a_folder_that_is_no_model(peer: Peer, start_node: Callable[..., NodeProcess], tmp_path: Path) -> None:
    node = start_node(peer.domain, "-p", f"model:={tmp_path}")
    assert node.exit_status() == 1
    assert str(tmp_path) in node.log()


def test_no_onnx_runtime(peer: Peer, start_node: Callable[..., NodeProcess]) -> None:
    node = start_node(peer.domain, env={"ORT_DYLIB_PATH": "/nowhere/libonnxruntime.so"})
    assert node.exit_status() == 1
    assert "/nowhere/libonnxruntime.so" in node.log()
    assert "ORT_DYLIB_PATH" in node.log()


def publish_until_answered(peer: Peer, scene: Scene) -> MaskArray:
    """Runs a camera at 20 Hz and an operator who clicks until there is a mask."""
    masks = peer.subscribe(MaskArray, "/promptseg/masks")
    peer.node.create_timer(0.5, lambda: peer.publish("prompts", fresh_prompt(scene), wait=False))
    tick = 0

    def look() -> list[MaskArray]:
        nonlocal tick
        tick += 1
        stamp = peer.node.get_clock().now().to_msg()
        peer.publish("image", image(scene.rgb, stamp), wait=False)
        time.sleep(0.05)
        return [m for m in masks.all() if m.masks]

    return eventually("a mask", look, 60)[0]


def fresh_prompt(scene: Scene) -> PromptArray:
    return prompts(PromptArray.SET, prompt(box=scene.shapes[0].box))


def test_the_node_is_there_before_the_camera(peer: Peer, start_node: Callable[..., NodeProcess], scene: Scene) -> None:
    start_node(peer.domain).wait_ready()
    assert publish_until_answered(peer, scene).width == scene.width


def test_the_camera_is_there_before_the_node(peer: Peer, start_node: Callable[..., NodeProcess], scene: Scene) -> None:
    for _ in range(5):
        peer.publish("image", image(scene.rgb, peer.node.get_clock().now().to_msg()), wait=False)
    start_node(peer.domain)
    assert publish_until_answered(peer, scene).width == scene.width


def test_two_cameras_after_each_other(robot: Robot, scene: Scene) -> None:
    """A restarted camera may send older stamps: its newest frame is still the newest frame."""
    robot.show(scene.rgb)
    robot.set_clock_back()
    stamp = robot.show(scene.rgb)
    before = robot.masks.mark()
    robot.send_click(*scene.shapes[0].centre)
    assert robot.masks.wait("masks", lambda m: m.masks, before).header.stamp == stamp
    grey = np.full((48, 64, 3), 90, np.uint8)
    robot.show(grey)

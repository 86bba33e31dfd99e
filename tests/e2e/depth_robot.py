"""A robot with a depth camera: what the tests of objects in metres have in common, fixtures included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from promptseg_msgs.msg import MaskArray
from rclpy.qos import QoSProfile
from vision_msgs.msg import Detection3D, Detection3DArray

import depth_camera
import terminal
from depth_camera import LENS, slope
from harness import Inbox, eventually
from messages import whole_mask
from pointing import calibrate
from robot import Robot
from scenes import Scene

PARAMETERS = {
    "projection": "raw",
    "depth.timeout": 10.0,
    **{f"qos_overrides./{t}.subscription.reliability": "reliable" for t in ("depth", "depth/compressedDepth")},
}
DEPTH_QOS = QoSProfile(depth=5)
SLOPE = slope()


def subscribed(robot: Robot) -> Inbox:
    return robot.peer.subscribe(Detection3DArray, "/promptseg/detections_3d", 50)


@pytest.fixture
def robot(robot: Robot) -> Robot:
    """The shared robot, whose results wait for depth as long as a test does."""
    robot.set(**{"depth.timeout": 10.0})
    return robot


@pytest.fixture(scope="module")
def detections(shared_robot: Robot) -> Inbox:
    return subscribed(shared_robot)


@pytest.fixture(scope="module")
def certain(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """The certain part of the mask of a click on the card."""
    return terminal.certain_part(tmp_path_factory.mktemp("terminal"), scene.rgb, scene.shapes[1].centre)


def send(robot: Robot, stamp: Time, depth: np.ndarray = SLOPE, encoding: str = "32FC1", **options: Any) -> None:
    robot.peer.publish("depth", depth_camera.image(depth, stamp, encoding, **options), DEPTH_QOS)


def measured(robot: Robot, inbox: Inbox, rgb: np.ndarray, at: tuple[float, float],
             publish: Callable[[Time], None]) -> tuple[MaskArray, Detection3DArray]:  # fmt: skip
    """Shows an image, clicks on it and publishes its depth; returns the masks and the objects in metres.

    Again until the node has the calibration and the subscriptions of its depth camera, which no message confirms.
    """

    def tried() -> tuple[MaskArray, Detection3DArray] | None:
        calibrate(robot, LENS)
        before = inbox.mark()
        stamp = robot.show(rgb)
        robot.trigger("new_object")
        publish(stamp)
        masks = robot.click(*at, stamp)
        answered = inbox.wait(f"objects in metres of {stamp}", lambda m: m.header.stamp == stamp, before)
        found = [m for m in inbox.all(before) if m.header.stamp == stamp and m.detections]
        if not found:
            assert not answered.detections
            robot.clear()
            return None
        return masks, found[0]

    return eventually("an object in metres", tried, timeout=60)


def position(d: Detection3D) -> np.ndarray:
    p = d.results[0].pose.pose.position
    return np.array([p.x, p.y, p.z])


def of_click(robot: Robot, inbox: Inbox, scene: Scene, depth: np.ndarray = SLOPE, **options: Any) -> tuple[Any, Any]:
    """The mask of a click on the card, and the object in metres."""
    masks, found = measured(robot, inbox, scene.rgb, scene.shapes[1].centre, lambda s: send(robot, s, depth, **options))
    assert len(found.detections) == len(masks.masks) == 1
    return whole_mask(masks, masks.masks[0]), found

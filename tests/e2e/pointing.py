"""Common steps of the tests of 3-D clicks."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from builtin_interfaces.msg import Time
from promptseg_msgs.msg import MaskArray
from rclpy.qos import QoSProfile

from cameras import STATIC_QOS, TF_QOS, Lens, Rig, clicked, later, yaw
from harness import TIMEOUT, eventually
from messages import FRAME_ID
from robot import Robot

# Log level at which the node logs the pixel of a 3-D click.
DEBUG = "info,promptseg::pointing=debug"
CLICK = re.compile(r'click \(.*\) in "(.*)" at (\S+) is pixel \((-?[\d.]+), (-?[\d.]+)\) of image (\d+)\.(\d+)')


@dataclass
class Click:
    """The pixel of a 3-D click and the stamp of its image."""

    pixel: np.ndarray
    image: Time


def calibrate(robot: Robot, lens: Lens, frame_id: str = FRAME_ID) -> None:
    """Publishes a calibration. The node receives it before the next image, but no message confirms this."""
    robot.peer.publish("camera_info", lens.info(robot.stamp(), frame_id), QoSProfile(depth=5))


def drive(robot: Robot, rig: Rig, since: Time, steps: int, every: float = 80.0) -> None:
    """Publishes poses of a turning and moving base, starting before `since`, at times that differ from image stamps."""
    robot.peer.publish("/tf_static", rig.static(), STATIC_QOS)
    for i in range(steps):
        angle = 0.06 * i
        pose = yaw(angle, (0.05 * i, 0.02 * i * i, 0.01 * i))
        robot.peer.publish("/tf", rig.move(later(since, -30 + every * i), *pose), TF_QOS)


def click_of(log: str) -> Click:
    """The click in a line of the log."""
    match = CLICK.search(log)
    assert match, log
    _, _, x, y, sec, nanosec = match.groups()
    return Click(np.array([float(x), float(y)]), Time(sec=int(sec), nanosec=int(nanosec)))


def click(
    robot: Robot, point: np.ndarray, frame_id: str, stamp: Time, timeout: float = TIMEOUT
) -> tuple[Click, MaskArray]:
    """Clicks on a point; returns the click's pixel and the answer for its image."""
    return answered(robot, lambda: robot.peer.publish("clicked_point", clicked(point, frame_id, stamp)), timeout)


def click_until(
    robot: Robot, point: np.ndarray, frame_id: str, stamp: Time, lens: Lens, pixel: np.ndarray
) -> tuple[Click, MaskArray]:
    """Clicks until the click has the expected pixel: the node does not report a new calibration or transform."""

    def expected() -> tuple[Click, MaskArray] | None:
        calibrate(robot, lens)
        robot.trigger("new_object")
        try:
            logged, answer = click(robot, point, frame_id, stamp, timeout=3.0)
        except AssertionError:
            # Refused, because the calibration or the transform has not arrived.
            return None
        return (logged, answer) if np.abs(logged.pixel - pixel).max() < 0.5 else None

    return eventually(f"a click on pixel {pixel}; the log:\n{robot.process.log()[-2000:]}", expected, timeout=60)


def answered(robot: Robot, send: Callable[[], None], timeout: float = TIMEOUT) -> tuple[Click, MaskArray]:
    """Sends a click; returns its pixel from the log and the answer for its image."""
    logs, masks = robot.rosout.mark(), robot.masks.mark()
    send()
    line = robot.rosout.wait("the pixel of the click", lambda m: CLICK.search(m.msg) is not None, logs, timeout)
    logged = click_of(line.msg)
    answer = robot.masks.wait(f"masks on {logged.image}", lambda m: m.header.stamp == logged.image and m.masks, masks)
    return logged, answer

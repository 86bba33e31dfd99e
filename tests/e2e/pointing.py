"""The gestures of the tests that point in 3-D."""

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

# The node says at this level which pixel a click became.
DEBUG = "info,promptseg::node=debug"
CLICK = re.compile(r'click \(.*\) in "(.*)" at (\S+) is pixel \((-?[\d.]+), (-?[\d.]+)\) of image (\d+)\.(\d+)')


@dataclass
class Click:
    pixel: np.ndarray
    image: Time


def calibrate(robot: Robot, lens: Lens, frame_id: str = FRAME_ID) -> None:
    """Publishes a calibration. Nothing says when the node has it; it comes before the image that is shown next."""
    robot.peer.publish("camera_info", lens.info(robot.stamp(), frame_id), QoSProfile(depth=5))


def drive(robot: Robot, rig: Rig, since: Time, steps: int, every: float = 80.0) -> None:
    """Publishes poses of a base that turns and moves, from before `since` on, at other times than those of images."""
    robot.peer.publish("/tf_static", rig.static(), STATIC_QOS)
    for i in range(steps):
        angle = 0.06 * i
        pose = yaw(angle, (0.05 * i, 0.02 * i * i, 0.01 * i))
        robot.peer.publish("/tf", rig.move(later(since, -30 + every * i), *pose), TF_QOS)


def click_of(log: str) -> Click:
    found = CLICK.search(log)
    assert found, log
    _, _, x, y, sec, nanosec = found.groups()
    return Click(np.array([float(x), float(y)]), Time(sec=int(sec), nanosec=int(nanosec)))


def click(
    robot: Robot, point: np.ndarray, frame_id: str, stamp: Time, timeout: float = TIMEOUT
) -> tuple[Click, MaskArray]:
    """Clicks; the pixel that it became, and the answer on that image."""
    return answered(robot, lambda: robot.peer.publish("clicked_point", clicked(point, frame_id, stamp)), timeout)


def click_until(
    robot: Robot, point: np.ndarray, frame_id: str, stamp: Time, lens: Lens, pixel: np.ndarray
) -> tuple[Click, MaskArray]:
    """Nothing says when the node has a new calibration or new transforms: clicks until the pixel is the right one."""

    def right() -> tuple[Click, MaskArray] | None:
        calibrate(robot, lens)
        robot.trigger("new_object")
        try:
            said, answer = click(robot, point, frame_id, stamp, timeout=3.0)
        except AssertionError:
            # Refused: not yet.
            return None
        return (said, answer) if np.abs(said.pixel - pixel).max() < 0.5 else None

    return eventually(f"a click on pixel {pixel}; the log:\n{robot.process.log()[-2000:]}", right, timeout=60)


def answered(robot: Robot, send: Callable[[], None], timeout: float = TIMEOUT) -> tuple[Click, MaskArray]:
    logs, masks = robot.rosout.mark(), robot.masks.mark()
    send()
    said = robot.rosout.wait("the pixel of the click", lambda m: CLICK.search(m.msg) is not None, logs, timeout)
    said = click_of(said.msg)
    answer = robot.masks.wait(f"masks on {said.image}", lambda m: m.header.stamp == said.image and m.masks, masks)
    return said, answer

"""Common functions of the demo's ROS nodes: time, messages, spinning and stopping."""

from __future__ import annotations

import array
import io
import signal
import sys
import threading
import time
from collections.abc import Callable

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from PIL import Image as Picture
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

OPTICAL_FRAME = "camera_optical_frame"
TABLE_FRAME = "table"


def to_time(seconds: float) -> Time:
    nanoseconds = round(seconds * 1e9)
    return Time(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)


def to_seconds(stamp: Time) -> float:
    return stamp.sec + stamp.nanosec * 1e-9


def image_message(picture: Picture.Image, stamp: Time) -> Image:
    return Image(
        header=Header(stamp=stamp, frame_id=OPTICAL_FRAME),
        height=picture.height,
        width=picture.width,
        encoding="rgb8",
        step=picture.width * 3,
        data=array.array("B", picture.tobytes()),
    )


def depth_message(millimetres: np.ndarray, stamp: Time) -> Image:
    height, width = millimetres.shape
    return Image(
        header=Header(stamp=stamp, frame_id=OPTICAL_FRAME),
        height=height,
        width=width,
        encoding="16UC1",
        step=width * 2,
        data=array.array("B", millimetres.astype("<u2").tobytes()),
    )


def jpeg_message(picture: Picture.Image, stamp: Time, quality: int = 95) -> CompressedImage:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    header = Header(stamp=stamp, frame_id=OPTICAL_FRAME)
    return CompressedImage(header=header, format="rgb8; jpeg compressed bgr8", data=array.array("B", file.getvalue()))


def mask_in_picture(mask: Image, x: int, y: int, width: int, height: int) -> np.ndarray:
    """Places a cropped mask into the whole picture: bool, [height, width]."""
    whole = np.zeros((height, width), bool)
    if mask.width and mask.height:
        rows = np.frombuffer(mask.data, np.uint8).reshape(mask.height, mask.step)[:, : mask.width]
        whole[y : y + mask.height, x : x + mask.width] = rows > 127
    return whole


class Stopped(Exception):
    """The process received SIGINT or SIGTERM."""


class Runner:
    """Spins a node on a separate thread, so that the program of the node can be written sequentially."""

    def __init__(self, name: str) -> None:
        self.stopping = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self.stopping.set())
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        self.node = Node(name)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        # Not spin(): stopping spin() from another thread destroys objects that a running callback uses.
        while not self._closing.is_set():
            self._executor.spin_once(timeout_sec=0.1)

    def sleep(self, seconds: float) -> None:
        if self.stopping.wait(max(0.0, seconds)):
            raise Stopped

    def wait_until(self, ready: Callable[[], bool], timeout: float) -> bool:
        end = time.monotonic() + timeout
        while not ready():
            if time.monotonic() >= end:
                return False
            self.sleep(0.01)
        return True

    def close(self) -> None:
        self._closing.set()
        self._thread.join(timeout=2.0)
        self._executor.shutdown(timeout_sec=1.0)
        self.node.destroy_node()
        rclpy.try_shutdown()


def run_node(name: str, program: Callable[[Runner], None]) -> int:
    """Runs the program of a node until it ends or receives SIGINT or SIGTERM."""
    runner = Runner(name)
    try:
        program(runner)
    except Stopped:
        pass
    finally:
        runner.close()
    sys.stdout.flush()
    return 0

#!/usr/bin/env python3
"""A camera node: publishes a drawn scene, or a picture repeatedly, on `image`, and `camera_info`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image as Picture
from PIL import ImageOps
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from ros import OPTICAL_FRAME, Runner, image_message, jpeg_message, run_node, to_time


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--image", type=Path, help="publish this picture instead of the drawn scene")
    parser.add_argument("--rate", type=float, default=15.0, help="pictures per second")
    parser.add_argument("--compressed", action="store_true", help="publish JPEG on image/compressed instead of image")
    parser.add_argument("--epoch", type=float, help="time (s) at which the scene begins (default: now)")
    return parser.parse_args()


def load(path: Path) -> Picture.Image:
    """Loads a picture, rotated as its EXIF data says, without transparency."""
    return ImageOps.exif_transpose(Picture.open(path)).convert("RGB")


def source(args: argparse.Namespace, epoch: float) -> Callable[[float], Picture.Image]:
    """Returns a function from time to picture."""
    if args.image:
        still = load(args.image)
        return lambda _: still
    from scene import Scene

    scene = Scene()
    return lambda t: scene.picture(t - epoch)


def program(runner: Runner, args: argparse.Namespace) -> None:
    epoch = time.time() if args.epoch is None else args.epoch
    picture_at = source(args, epoch)
    qos = QoSProfile(depth=2)
    topic, kind = ("image/compressed", CompressedImage) if args.compressed else ("image", Image)
    images = runner.node.create_publisher(kind, topic, qos)
    infos = runner.node.create_publisher(CameraInfo, "camera_info", qos)
    make = jpeg_message if args.compressed else image_message
    tick = max(0, int((time.time() - epoch) * args.rate) + 1)
    while True:
        at = epoch + tick / args.rate
        picture = picture_at(at)
        runner.sleep(at - time.time())
        stamp = to_time(at)
        images.publish(make(picture, stamp))
        header = Header(stamp=stamp, frame_id=OPTICAL_FRAME)
        infos.publish(CameraInfo(header=header, width=picture.width, height=picture.height))
        # A machine that is too slow for the rate skips pictures, so that no picture is late.
        tick = max(tick + 1, int((time.time() - epoch) * args.rate))


if __name__ == "__main__":
    options = arguments()
    sys.exit(run_node("camera", lambda runner: program(runner, options)))

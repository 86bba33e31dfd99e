#!/usr/bin/env python3
"""A camera node: publishes a drawn scene, or a picture repeatedly, on `image`, and `camera_info`.

The drawn scene has a depth camera too, on `depth`, and the pose of the camera above the table, on `/tf_static`.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from pathlib import Path

from geometry_msgs.msg import Quaternion, TransformStamped
from PIL import Image as Picture
from PIL import ImageOps
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from ros import OPTICAL_FRAME, TABLE_FRAME, Runner, depth_message, image_message, jpeg_message, run_node, to_time
from scene import CAMERA_HEIGHT, FOCAL, PITCH, Scene


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


def calibration(header: Header, picture: Picture.Image, drawn: bool) -> CameraInfo:
    """The calibration of the drawn scene's camera; that of a picture is unknown."""
    info = CameraInfo(header=header, width=picture.width, height=picture.height)
    if drawn:
        x, y = picture.width / 2, picture.height / 2
        info.k = [FOCAL, 0.0, x, 0.0, FOCAL, y, 0.0, 0.0, 1.0]
    return info


def camera_on_table() -> TransformStamped:
    """The pose of the camera in the frame of the table: x ahead, y to the left, z up."""
    pose = TransformStamped(header=Header(frame_id=TABLE_FRAME), child_frame_id=OPTICAL_FRAME)
    pose.transform.translation.z = CAMERA_HEIGHT
    w = math.sqrt(1 - math.sin(PITCH)) / 2
    x, z = -math.cos(PITCH) / (4 * w), (math.sin(PITCH) - 1) / (4 * w)
    pose.transform.rotation = Quaternion(x=x, y=-x, z=z, w=w)
    return pose


def program(runner: Runner, args: argparse.Namespace) -> None:
    epoch = time.time() if args.epoch is None else args.epoch
    scene = None if args.image else Scene()
    still = load(args.image) if args.image else None
    qos = QoSProfile(depth=2)
    topic, kind = ("image/compressed", CompressedImage) if args.compressed else ("image", Image)
    images = runner.node.create_publisher(kind, topic, qos)
    infos = runner.node.create_publisher(CameraInfo, "camera_info", qos)
    depths = runner.node.create_publisher(Image, "depth", qos) if scene else None
    if scene:
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        transforms = runner.node.create_publisher(TFMessage, "/tf_static", latched)
        transforms.publish(TFMessage(transforms=[camera_on_table()]))
    make = jpeg_message if args.compressed else image_message
    tick = max(0, int((time.time() - epoch) * args.rate) + 1)
    while True:
        at = epoch + tick / args.rate
        picture = scene.picture(at - epoch) if scene else still
        depth = scene.depth(at - epoch) if scene and depths.get_subscription_count() else None
        runner.sleep(at - time.time())
        stamp = to_time(at)
        images.publish(make(picture, stamp))
        header = Header(stamp=stamp, frame_id=OPTICAL_FRAME)
        infos.publish(calibration(header, picture, bool(scene)))
        if depth is not None:
            depths.publish(depth_message(depth, stamp))
        # A machine that is too slow for the rate skips pictures, so that no picture is late.
        tick = max(tick + 1, int((time.time() - epoch) * args.rate))


if __name__ == "__main__":
    options = arguments()
    sys.exit(run_node("camera", lambda runner: program(runner, options)))

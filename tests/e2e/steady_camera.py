"""A camera with a steady rate, as a process of its own: so many ready-made images, counted.

    python steady_camera.py --size 1280x720 --rate 30 --count 360 [--compressed] [--best-effort] [--topic image]

Waits for a subscriber, publishes, and prints how many images it handed to the middleware.
"""

from __future__ import annotations

import argparse
import io
import struct
import time

import numpy as np
import rclpy
from PIL import Image as Picture
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, Image


def message(width: int, height: int, compressed: bool) -> Image | CompressedImage:
    y, x = np.mgrid[:height, :width]
    rgb = np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], -1).astype(np.uint8)
    rgb[height // 4 : height // 2, width // 4 : width // 2] = (220, 60, 40)
    if not compressed:
        return Image(height=height, width=width, encoding="rgb8", step=3 * width, data=rgb.tobytes())
    # With noise, as a sensor has: a JPEG of a real camera is not smaller.
    noisy = np.clip(rgb.astype(int) + np.random.default_rng(1).integers(-12, 13, rgb.shape), 0, 255).astype(np.uint8)
    jpeg = io.BytesIO()
    Picture.fromarray(noisy).save(jpeg, "JPEG", quality=90)
    return CompressedImage(format="jpeg", data=jpeg.getvalue())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="1280x720")
    parser.add_argument("--rate", type=float, default=30.0)
    parser.add_argument("--count", type=int, default=360)
    parser.add_argument("--compressed", action="store_true")
    parser.add_argument("--best-effort", action="store_true")
    parser.add_argument("--depth", type=int, default=10)
    parser.add_argument("--topic", default="image")
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    rclpy.init()
    node = rclpy.create_node("steady_camera")
    reliability = ReliabilityPolicy.BEST_EFFORT if arguments.best_effort else ReliabilityPolicy.RELIABLE
    topic = arguments.topic + ("/compressed" if arguments.compressed else "")
    image = message(width, height, arguments.compressed)
    publisher = node.create_publisher(type(image), topic, QoSProfile(depth=arguments.depth, reliability=reliability))
    cdr = bytearray(serialize_message(image))
    while not publisher.get_subscription_count():
        time.sleep(0.02)
    time.sleep(1.0)  # until the node has taken over the reliability of this publisher
    due = time.monotonic()
    for _ in range(arguments.count):
        now = time.time_ns()
        # Behind the four bytes of the encapsulation: seconds, nanoseconds.
        struct.pack_into("<iI", cdr, 4, now // 10**9, now % 10**9)
        publisher.publish(bytes(cdr))
        due += 1 / arguments.rate
        time.sleep(max(0.0, due - time.monotonic()))
    print(arguments.count, flush=True)
    time.sleep(2.0)  # the middleware repairs what was lost on the way
    node.destroy_node()
    rclpy.try_shutdown()


if __name__ == "__main__":
    main()

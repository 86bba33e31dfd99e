"""The subscriber of the node's pictures in the soak test: prints topic and stamp of every picture.

A process of its own, because a picture takes Python milliseconds to receive: the answers would wait for them in one process.
"""

from __future__ import annotations

import struct

import rclpy
from rclpy.executors import ExternalShutdownException
from sensor_msgs.msg import Image

TOPICS = ("mask", "overlay")


def main() -> None:
    rclpy.init()
    node = rclpy.create_node("soak_pictures")

    def print_stamp(topic: str, cdr: bytes) -> None:
        sec, nanosec = struct.unpack_from("<iI", cdr, 4)
        print(topic, sec * 10**9 + nanosec, flush=True)

    for topic in TOPICS:
        node.create_subscription(Image, f"/promptseg/{topic}", lambda m, t=topic: print_stamp(t, m), 5, raw=True)
    print("ready", flush=True)
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass


if __name__ == "__main__":
    main()

"""The camera process of the soak test: publishes pictures of a moving ball at a constant rate.

The messages are serialized in advance. The position of the ball follows from the stamp, so that the test knows it.
"""

from __future__ import annotations

import struct
import time

import numpy as np
import rclpy
from PIL import Image as Picture
from PIL import ImageDraw
from rclpy.qos import QoSProfile
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image

WIDTH, HEIGHT, RATE = 1280, 720, 30
FRAME_ID = "soak_optical_frame"
RADIUS = 70
# Number of different pictures; afterwards the ball is back at its first position.
PICTURES = 30
PERIOD_NS = 10**9 // RATE


def centre(stamp_ns: int) -> tuple[int, int]:
    """Centre of the ball at a time."""
    turn = 2 * np.pi * (stamp_ns // PERIOD_NS % PICTURES) / PICTURES
    return int(WIDTH / 2 + 420 * np.cos(turn)), int(HEIGHT / 2 + 220 * np.sin(turn))


def box(stamp_ns: int) -> tuple[float, float, float, float]:
    x, y = centre(stamp_ns)
    return x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS


def picture(number: int) -> np.ndarray:
    ground = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    ground[:] = (104, 112, 100)
    drawn = Picture.fromarray(ground)
    ImageDraw.Draw(drawn).ellipse(box(number * PERIOD_NS), fill=(214, 70, 44))
    noise = np.random.default_rng(number).integers(-4, 5, ground.shape)
    return np.clip(np.asarray(drawn).astype(int) + noise, 0, 255).astype(np.uint8)


def main() -> None:
    rclpy.init()
    node = rclpy.create_node("soak_camera")
    # Reliable, with the usual queue: a message of 2.8 MB needs dozens of packets, and with best effort a busy machine loses
    # some.
    publisher = node.create_publisher(Image, "image", QoSProfile(depth=10))
    serialized = []
    for number in range(PICTURES):
        message = Image(height=HEIGHT, width=WIDTH, encoding="rgb8", step=3 * WIDTH, data=picture(number).tobytes())
        message.header.frame_id = FRAME_ID
        serialized.append(bytearray(serialize_message(message)))
    # What is published before the node has found this publisher and taken over its reliability is nobody's loss.
    while rclpy.ok() and not publisher.get_subscription_count():
        time.sleep(0.02)
    time.sleep(1.0)
    print("ready", flush=True)
    sent, late = 0, 0
    due = time.time_ns() // PERIOD_NS * PERIOD_NS
    try:
        while rclpy.ok():
            due += PERIOD_NS
            wait = due - time.time_ns()
            if wait > 0:
                time.sleep(wait / 1e9)
            elif -wait > PERIOD_NS:
                late += 1
                continue  # like a camera, which does not send missed frames later
            cdr = serialized[due // PERIOD_NS % PICTURES]
            # Seconds and nanoseconds follow the four bytes of the encapsulation.
            struct.pack_into("<iI", cdr, 4, due // 10**9, due % 10**9)
            publisher.publish(bytes(cdr))
            sent += 1  # passed to the middleware; the diagnostics of the node count received images
            if sent % (RATE * 5) == 0:
                print(f"{sent} {late}", flush=True)
    except (KeyboardInterrupt, RuntimeError):
        pass  # stopped, or the middleware was shut down
    print(f"{sent} {late}", flush=True)


if __name__ == "__main__":
    main()

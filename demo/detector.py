#!/usr/bin/env python3
"""A detector node: publishes boxes for a camera image, with the stamp of the image, after a delay.

The detector takes the true boxes of the drawn scene and adds small errors, so that the demo needs no second network.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

import numpy as np
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header
from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose

from ros import Runner, run_node, to_seconds
from scene import Scene, tight_box


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--epoch", type=float, required=True, help="time (s) at which the scene began")
    parser.add_argument("--things", nargs="+", default=["parcel", "apple"], help="objects to detect")
    parser.add_argument("--latency", type=float, default=0.35, help="seconds per image")
    parser.add_argument("--rate", type=float, default=1.0, help="processed images per second")
    parser.add_argument("--error", type=float, default=2.0, help="standard deviation of box sides, in pixels")
    return parser.parse_args()


def detection(header: Header, name: str, corners: np.ndarray) -> Detection2D:
    x_min, y_min, x_max, y_max = (float(v) for v in corners)
    message = Detection2D(header=header, id=name)
    message.bbox.center.position.x = (x_min + x_max) / 2
    message.bbox.center.position.y = (y_min + y_max) / 2
    message.bbox.size_x, message.bbox.size_y = x_max - x_min, y_max - y_min
    hypothesis = ObjectHypothesisWithPose()
    hypothesis.hypothesis.class_id = name
    hypothesis.hypothesis.score = 0.9
    message.results.append(hypothesis)
    return message


def program(runner: Runner, args: argparse.Namespace) -> None:
    newest: list[Header] = []

    def on_info(info: CameraInfo) -> None:
        newest[:] = [info.header]

    runner.node.create_subscription(CameraInfo, "camera_info", on_info, QoSProfile(depth=1))
    publisher = runner.node.create_publisher(Detection2DArray, "detections", QoSProfile(depth=5))
    scene, rng = Scene(), np.random.default_rng(3)
    runner.wait_until(lambda: bool(newest) and publisher.get_subscription_count() > 0, timeout=60)
    while True:
        started = time.monotonic()
        header = newest[0]
        truth = scene.truth(to_seconds(header.stamp) - args.epoch)
        detections = [
            detection(header, name, np.array(tight_box(truth[name])) + rng.normal(0, args.error, 4))
            for name in args.things
            if truth[name].any()
        ]
        runner.sleep(started + args.latency - time.monotonic())
        publisher.publish(Detection2DArray(header=header, detections=detections))
        event = {"stamp": [header.stamp.sec, header.stamp.nanosec], "boxes": [d.id for d in detections]}
        print(json.dumps(event | {"age": round(time.time() - to_seconds(header.stamp), 2)}), flush=True)
        runner.sleep(started + 1 / args.rate - time.monotonic())


if __name__ == "__main__":
    options = arguments()
    sys.exit(run_node("detector", lambda runner: program(runner, options)))

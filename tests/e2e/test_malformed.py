"""Floods of messages that are wrong in every way that bytes can be, over real DDS.

PROMPTSEG_MALFORMED=100000 sends that many; without it a number that a test run can afford.
"""

from __future__ import annotations

import os
import random
import struct
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from geometry_msgs.msg import Point, PointStamped, TransformStamped
from promptseg_msgs.msg import PromptArray
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, RegionOfInterest
from tf2_msgs.msg import TFMessage

from harness import eventually
from messages import compressed, detection, detections, header, ids, image, prompt, prompts, whole_mask
from robot import Robot
from scenes import Scene, iou

MESSAGES = int(os.environ.get("PROMPTSEG_MALFORMED", "3000"))
BATCH = 50
# A queue for messages that arrive while the node is busy.
DEPTH = 1000


def small(robot: Robot) -> dict[str, Any]:
    """A valid message for every input of the node, by topic."""
    stamp = robot.stamp()
    rgb = np.full((6, 8, 3), 120, np.uint8)
    object_prompt = prompt(object_id=3, points=[(2, 3, 1), (5, 5, 0)], box=(1, 1, 6, 5), class_id="cup")
    object_prompt.mask = image(np.full((6, 8), 255, np.uint8), stamp, "mono8")
    transform = TransformStamped(header=header(stamp, "map"), child_frame_id="camera")
    transform.transform.rotation.w = 1.0
    info = CameraInfo(header=header(stamp), width=8, height=6, distortion_model="plumb_bob", d=[0.1] * 5)
    info.k = [8.0, 0.0, 4.0, 0.0, 8.0, 3.0, 0.0, 0.0, 1.0]
    return {
        "image": image(rgb, stamp),
        "image/compressed": compressed(rgb, stamp, "JPEG"),
        "point": Point(x=2.0, y=3.0),
        "pixel": PointStamped(header=header(stamp), point=Point(x=2.0, y=3.0)),
        "clicked_point": PointStamped(header=header(stamp, "map"), point=Point(x=0.1, y=0.1, z=1.0)),
        "camera_info": info,
        "region": RegionOfInterest(x_offset=1, y_offset=1, width=4, height=4),
        "mask_prompt": image(np.full((6, 8), 255, np.uint8), stamp, "mono8"),
        "detections": detections(stamp, detection((1, 1, 6, 5), "cup", "7")),
        "prompts": prompts(1, object_prompt, stamp=stamp),
        "/tf": TFMessage(transforms=[transform]),
    }


def spoilt(chance: random.Random, cdr: bytes) -> bytes:
    """The message with some bytes changed."""
    spoilt = bytearray(cdr)
    for _ in range(chance.randint(1, 4)):
        match chance.randrange(6):
            case 0:  # cut off
                del spoilt[chance.randint(4, max(4, len(spoilt))) :]
            case 1 | 2 if len(spoilt) > 8:  # a wrong number: lengths, sizes, coordinates
                at = chance.randrange(4, len(spoilt) - 4) & ~3
                wild = [0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000, 0x7FC00000, 0x7F800000, chance.getrandbits(32)]
                spoilt[at : at + 4] = struct.pack("<I", chance.choice(wild))
            case 3 if len(spoilt) > 16:
                at = chance.randrange(4, len(spoilt) - 8)
                spoilt[at : at + 8] = struct.pack("<d", chance.choice([float("nan"), float("inf"), -1e300, 1e300]))
            case 4 if len(spoilt) > 4:
                spoilt[chance.randrange(4, len(spoilt))] = chance.getrandbits(8)
            case _:  # trailing bytes
                spoilt += chance.randbytes(chance.randint(1, 64))
    return bytes(spoilt)


def refused(values: dict[str, str]) -> int:
    return sum(int(v) for k, v in values.items() if k.startswith("refused: "))


@pytest.mark.parametrize("transport", ["raw", "compressed"])
def test_malformed_messages(start_robot: Callable[..., Robot], scene: Scene, transport: str) -> None:
    sent_at_once = MESSAGES // 2
    robot = start_robot({"image_transport": transport, "prompt_timeout": 0.1, "keep.frames": 5, "keep.images": 2})
    robot.process.wait_ready()
    good = small(robot)
    del good["image" if transport == "compressed" else "image/compressed"]
    publishers = {topic: robot.peer.node.create_publisher(type(m), topic, DEPTH) for topic, m in good.items()}
    for topic, publisher in publishers.items():
        eventually(f"a subscriber of {topic}", publisher.get_subscription_count)
    raw = {topic: serialize_message(m) for topic, m in good.items()}
    chance = random.Random(1)

    def node_is_there() -> dict[str, str]:
        assert robot.process.is_running(), robot.process.log()[-4000:]
        return robot.diagnostic_values(robot.diagnostics.mark())

    began, settled, sent = time.monotonic(), None, 0
    before = refused(node_is_there())
    while sent < sent_at_once:
        for _ in range(BATCH):
            topic = chance.choice(list(raw))
            try:
                publishers[topic].publish(spoilt(chance, raw[topic]))
                sent += 1
            except RuntimeError:
                pass  # more bytes than a type of fixed size has: the sender's middleware refuses to send the message
        time.sleep(0.005)  # leaves processor time for the node
        assert robot.process.is_running(), robot.process.log()[-4000:]
        if settled is None and sent >= sent_at_once // 3:
            node_is_there()
            settled = robot.process.resident_megabytes()
    values = node_is_there()
    assert settled is not None
    grown = robot.process.resident_megabytes() - settled
    print(f"\n{transport}: {sent} messages in {time.monotonic() - began:.1f} s, {refused(values) - before} refused, "
          f"resident memory {grown:+.1f} MB over the last two thirds; {values}")  # fmt: skip
    assert grown < 64, f"{grown:.1f} MB more"
    assert refused(values) - before > sent / 20, "what was wrong is counted"

    # The node continues its work.
    eventually("an empty queue", lambda: node_is_there()["prompts waiting"] == "0")
    robot.trigger("clear")
    show = good["image/compressed" if transport == "compressed" else "image"]
    stamp = robot.stamp()
    if transport == "compressed":
        show = compressed(scene.rgb, stamp, "PNG")
    else:
        show = image(scene.rgb, stamp)
    box = scene.shapes[0].box

    def answered() -> list[Any]:
        publishers["image/compressed" if transport == "compressed" else "image"].publish(show)
        publishers["prompts"].publish(prompts(PromptArray.SET, prompt(object_id=1, box=box), stamp=stamp))
        time.sleep(0.2)
        return [m for m in robot.masks.all() if m.header.stamp == stamp and m.masks]

    answer = eventually("a mask", answered, 60)[-1]
    assert ids(answer) == [1]
    assert iou(whole_mask(answer, answer.masks[0]), scene.truth[0]) >= 0.75
    assert "panicked" not in robot.process.log()

"""`promptseg label` on a bag has the pixels that the live node publishes for the same images, boxes and prompts."""

from __future__ import annotations

import array
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path

import bags
import messages
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from PIL import Image as Picture
from promptseg_msgs.msg import MaskArray, PromptArray
from pycocotools import mask as coco_mask
from sensor_msgs.msg import CompressedImage

from harness import ROOT, START_TIMEOUT, eventually
from robot import Robot
from scenes import Scene
from test_label import CLASSES, label, scenes
from test_label_files import records

MODEL = ROOT / "models" / "tiny"
FRAMES = 6


@pytest.fixture(scope="module", params=["raw", "compressed"])
def live(request: pytest.FixtureRequest) -> Iterator[tuple[str, Robot]]:
    """A node with the model of the tests, on one thread; prompts belong to their own frame."""
    robot = Robot({
        "model": str(MODEL),
        "session.threads": 1,
        "providers": ["cpu"],
        "image_transport": request.param,
        "persistence.default": "once",
        "persistence.prompts": "once",
    })  # fmt: skip
    yield request.param, robot
    robot.close()


def jpeg(scene: Scene) -> bytes:
    content = io.BytesIO()
    Picture.fromarray(scene.rgb).save(content, "JPEG", quality=90)
    return content.getvalue()


def show(robot: Robot, transport: str, scene: Scene, stamp: Time) -> None:
    """Publishes a frame again until the node answers with its overlay: the next one follows when the answer is there."""
    before = robot.overlay.mark()
    if transport == "raw":
        message = messages.image(scene.rgb, stamp)
        robot.peer.publish("image", message)
    else:
        data = array.array("B", jpeg(scene))
        robot.peer.publish("image/compressed", CompressedImage(header=messages.header(stamp), format="jpeg", data=data))
    robot.wait_encoded(stamp, before)


def whole_masks(answer: MaskArray) -> dict[str, np.ndarray]:
    """The masks of an answer by class."""
    found = {mask.class_id: messages.whole_mask(answer, mask) for mask in answer.masks}
    assert len(found) == len(answer.masks)
    return found


def prompted(frame: int) -> tuple[list[list[float]], tuple[float, ...]]:
    """Points on and beside the egg, and a box around the card."""
    disk, card, egg = scenes(frame + 1)[frame].shapes
    return [[*egg.centre], [egg.centre[0] + 12, egg.centre[1], 1], [*disk.centre, 0]], card.box


def test_masks_of_the_bag_are_those_of_the_node(live: tuple[str, Robot], tmp_path: Path) -> None:
    transport, robot = live
    connect(robot, transport)
    frames = scenes(FRAMES)
    recorded, prompts, answers = [], [], {}
    for frame, scene in enumerate(frames):
        stamp = robot.stamp()
        at = stamp.sec * 10**9 + stamp.nanosec
        show(robot, transport, scene, stamp)
        # Boxes a few pixels off, on one half of the frames; on the others points and a box of an operator.
        if frame % 2 == 0:
            boxes = [(name, 0.9 - 0.1 * i, offset(shape.box, i)) for i, (name, shape) in enumerate(zip(CLASSES, scene.shapes))]
            detected = [messages.detection(box, name, str(i), score) for i, (name, score, box) in enumerate(boxes)]
            answers[frame] = whole_masks(robot.detect(stamp, *detected))
            recorded.append(bags.Recorded("/detections", bags.DETECTIONS, at + 1, bags.detections(boxes, at)))
        else:
            points, box = prompted(frame)
            of_node = [(x, y, *(label or [1])) for x, y, *label in points]
            egg = messages.prompt(points=of_node, class_id="egg")
            card = messages.prompt(box=box, class_id="card")
            answers[frame] = whole_masks(robot.prompt(PromptArray.SET, egg, card, stamp=stamp))
            prompts.append({"frame": frame, "object": 1, "class": "egg", "points": points})
            prompts.append({"frame": frame, "object": 2, "class": "card", "box": list(box)})
        message = (
            (bags.IMAGE, at, bags.image(scene.rgb, at))
            if transport == "raw"
            else (bags.COMPRESSED, at, bags.compressed(jpeg(scene), at))
        )
        recorded.append(bags.Recorded("/camera/image", *message))
    bag = bags.write(tmp_path / "drive", sorted(recorded, key=lambda message: message.time))
    (tmp_path / "prompts.json").write_text(json.dumps(prompts))
    out = tmp_path / "out"
    options = ["--model", MODEL, "--providers", "cpu", "--detections", "/detections", "--prompts", tmp_path / "prompts.json"]
    label(bag, *options, "--out", out)
    compared = 0
    for frame, record in records(out).items():
        width, height = record["size"]
        found = {}
        for entry in record["objects"]:
            mask = coco_mask.decode({"size": [height, width], "counts": entry["counts"]})
            found[entry["class"]] = mask.astype(bool)
        assert sorted(found) == sorted(answers[frame]), frame
        for name, mask in found.items():
            assert np.array_equal(mask, answers[frame][name]), (frame, name, np.count_nonzero(mask ^ answers[frame][name]))
            assert mask.sum() > 1000
            compared += 1
    assert compared == FRAMES // 2 * (3 + 2)


def offset(box: tuple[int, ...], shift: int) -> tuple[int, ...]:
    x0, y0, x1, y1 = box
    return x0 - 3 - shift, y0 + 2, x1 + 1, y1 + 4 + shift


def connect(robot: Robot, transport: str) -> None:
    if transport == "raw":
        robot.connect()
        return
    robot.process.wait_ready()

    def shown() -> bool:
        data = array.array("B", jpeg(scenes(1)[0]))
        message = CompressedImage(header=messages.header(robot.stamp()), format="jpeg", data=data)
        robot.peer.publish("image/compressed", message)
        robot.peer.publish("pixel", messages.pixel(80, 100))
        time.sleep(0.2)
        return all(inbox.mark() for inbox in (robot.overlay, robot.masks))

    eventually("an overlay and masks", shown, START_TIMEOUT)
    robot.clear()

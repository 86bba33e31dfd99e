"""`~/annotations`: what Foxglove and Lichtblick draw over their own image panel."""

from __future__ import annotations

import json

import numpy as np
from foxglove_msgs.msg import ImageAnnotations, PointsAnnotation
from PIL import Image, ImageDraw

from harness import ROOT, START_TIMEOUT, eventually
from messages import prompt, whole_mask
from robot import Robot
from scenes import CARD, DISK, Scene, iou


def filled(annotations: ImageAnnotations) -> list[np.ndarray]:
    """The masks that the filled outlines surround. Corners of pixels: the image is drawn eight times as large."""
    masks = []
    for shape in annotations.points:
        if shape.type == PointsAnnotation.LINE_LOOP and shape.fill_color.a > 0:
            large = Image.new("L", (320 * 8, 240 * 8))
            ImageDraw.Draw(large).polygon([(8 * p.x, 8 * p.y) for p in shape.points], fill=255)
            masks.append(np.asarray(large)[4::8, 4::8] > 127)
    return masks


def test_masks_clicks_and_labels_are_annotations_of_their_frame(robot: Robot, scene: Scene) -> None:
    inbox = robot.peer.subscribe(ImageAnnotations, f"{robot.prefix}/annotations")

    def found() -> bool:
        robot.show(scene.rgb)
        return inbox.mark() > 0

    eventually("annotations", found, START_TIMEOUT)
    stamp = robot.show(scene.rgb)
    before = inbox.mark()
    answer = robot.click(*DISK.centre, stamp)
    clicked = inbox.wait("the annotations of a click", lambda m: bool(m.texts), before)
    (mask,) = filled(clicked)
    assert iou(mask, whole_mask(answer, answer.masks[0])) > 0.99
    (clicks,) = [shape for shape in clicked.points if shape.type == PointsAnnotation.POINTS]
    assert [(p.x, p.y) for p in clicks.points] == [(DISK.centre[0] + 0.5, DISK.centre[1] + 0.5)]
    assert clicked.texts[0].text == f"#1 {answer.masks[0].iou:.2f}"
    assert all(shape.timestamp == stamp for shape in clicked.points)
    # A box is a line of four corners without a fill.
    assert robot.trigger("new_object").success
    before = inbox.mark()
    robot.add(prompt(box=CARD.box), stamp=stamp)
    both = inbox.wait("the annotations of two objects", lambda m: len(m.texts) == 2, before)
    assert len(filled(both)) == 2
    boxes = [s for s in both.points if s.type == PointsAnnotation.LINE_LOOP and s.fill_color.a == 0]
    assert [(p.x, p.y) for p in boxes[-1].points][::2] == [CARD.box[:2], CARD.box[2:]]
    # A frame without objects has none.
    before = inbox.mark()
    robot.clear()
    inbox.wait("annotations without objects", lambda m: not m.points and not m.texts, before)


def test_the_layout_names_topics_and_services_of_the_node(robot: Robot) -> None:
    panels = json.loads((ROOT / "config/foxglove_layout.json").read_text())["configById"].values()
    images = [panel["imageMode"] for panel in panels if "imageMode" in panel]
    named = {image["imageTopic"] for image in images} | {topic for image in images for topic in image.get("annotations", {})}
    topics = {name for name, _ in robot.peer.node.get_topic_names_and_types()}
    assert "/promptseg/annotations" in named and named <= topics, named - topics
    services = {panel["serviceName"] for panel in panels if "serviceName" in panel}
    assert services <= {name for name, _ in robot.peer.node.get_service_names_and_types()}

#!/usr/bin/env python3
"""Writes the pictures of docs/prompting.md: the real node with all kinds of prompts, on the drawn scene of the demo.

Run this in the environment of the tests: ./dev shell -- python demo/prompting.py
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

HERE = Path(__file__).resolve().parent
# For `Robot` of the tests: a running node with its camera and its subscribers.
sys.path.append(str(HERE.parent / "tests" / "e2e"))

import messages  # noqa: E402
import yolo_msgs.msg as yolo_msgs  # noqa: E402
from builtin_interfaces.msg import Time  # noqa: E402
from geometry_msgs.msg import Point  # noqa: E402
from promptseg_msgs.msg import MaskArray, PromptArray  # noqa: E402
from robot import Robot  # noqa: E402
from sensor_msgs.msg import Image as ImageMessage  # noqa: E402
from sensor_msgs.msg import RegionOfInterest  # noqa: E402
from std_srvs.srv import SetBool, Trigger  # noqa: E402

from scene import Scene, innermost, tight_box  # noqa: E402

OUT = HERE.parent / "docs" / "images"
PAPER, INK = (24, 26, 30), (236, 236, 232)
TILE, CAPTION, GAP = (300, 225), 22, 6


def strip(name: str, panels: list[tuple[np.ndarray, str]]) -> None:
    """Writes panels in a row, each with a caption, as a small PNG."""
    sheet = Image.new("RGB", (GAP + len(panels) * (TILE[0] + GAP), TILE[1] + CAPTION + 2 * GAP), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for i, (rgb, caption) in enumerate(panels):
        x = GAP + i * (TILE[0] + GAP)
        sheet.paste(Image.fromarray(rgb).resize(TILE, Image.Resampling.LANCZOS), (x, GAP))
        draw.text((x + 3, TILE[1] + GAP + 3), caption, INK, font)
    OUT.mkdir(exist_ok=True)
    path = OUT / f"{name}.png"
    sheet.quantize(96, Image.Quantize.MEDIANCUT, kmeans=2, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size // 1000} kB")


class Photographer:
    """Shows times of the drawn scene to the node and takes pictures of its overlay."""

    def __init__(self, robot: Robot) -> None:
        self.robot, self.scene, self.t, self.stamp = robot, Scene(), 0.0, Time()

    def show(self, t: float) -> None:
        """Publishes the picture of the scene at time `t`."""
        self.t = t
        self.stamp = self.robot.show(np.asarray(self.scene.picture(t)))

    def start(self, t: float = 0.0) -> None:
        self.robot.reset()
        self.show(t)

    def truth(self, name: str) -> np.ndarray:
        return self.scene.truth(self.t)[name]

    def middle(self, name: str) -> tuple[float, float]:
        x, y = innermost(self.truth(name))
        return float(x), float(y)

    def box(self, name: str) -> tuple[int, int, int, int]:
        return tight_box(self.truth(name))

    def overlay(self, send: Callable[[], object] = lambda: None, stamp: Time | None = None) -> np.ndarray:
        """Sends a prompt, and returns the last overlay of the frame after no more overlays arrive."""
        send()
        stamp, count = stamp or self.stamp, -1
        while count != self.robot.overlay.mark():
            count = self.robot.overlay.mark()
            time.sleep(0.8)
        return messages.pixels([m for m in self.robot.overlay.all() if m.header.stamp == stamp][-1]).copy()

    def publish(self, topic: str, message: object) -> Callable[[], None]:
        return lambda: self.robot.peer.publish(topic, message)

    def region(self, name: str) -> Callable[[], None]:
        x0, y0, x1, y1 = self.box(name)
        return self.publish("region", RegionOfInterest(x_offset=x0, y_offset=y0, width=x1 - x0, height=y1 - y0))


def clicks(p: Photographer) -> None:
    p.start()
    x, y = p.middle("cup")
    on_overlay = p.overlay(p.publish("/promptseg/overlay_mouse_left", Point(x=x, y=y)))
    p.start(3.0)
    clicked, (x, y) = p.stamp, p.middle("book")
    p.show(5.0)
    late = p.overlay(lambda: p.robot.send_click(x, y, clicked), clicked)
    p.start()
    strip(
        "clicks",
        [
            (on_overlay, "rqt: a click on ~/overlay"),
            (late, "pixel: on the frame of its stamp, 2 s ago"),
            (p.overlay(p.region("ball")), "region: a box"),
        ],
    )


def mask_prompt(p: Photographer) -> None:
    p.start()
    x0, y0, x1, y1 = p.box("cup")
    drawn = Image.new("L", (640, 480))
    ImageDraw.Draw(drawn).ellipse((x0 - 6, y0 + 6, x1 - 20, y1 + 4), fill=255)
    rough = np.asarray(drawn)
    shown = np.asarray(p.scene.picture(0)).copy()
    shown[rough > 0] = shown[rough > 0] // 2 + np.array([110, 110, 0], np.uint8)
    message = messages.image(rough, p.stamp, "mono8")
    strip("mask_prompt", [(shown, "a rough mask, drawn"), (p.overlay(p.publish("mask_prompt", message)), "the answer")])


def corrections(p: Photographer) -> None:
    p.start()
    (x0, y0, _, _), (_, _, x1, y1) = p.box("book"), p.box("ball")
    both = RegionOfInterest(x_offset=x0, y_offset=y0, width=x1 - x0, height=y1 - y0)
    first = p.overlay(p.publish("region", both))
    p.robot.changed.add("click.label")
    p.robot.peer.call(SetBool, "/promptseg/set_click_label", SetBool.Request(data=False))
    second = p.overlay(lambda: p.robot.send_click(*p.middle("ball"), p.stamp))
    third = p.overlay(lambda: p.robot.trigger("undo"))
    strip("corrections", [(first, "a box around too much"), (second, "a background click"), (third, "~/undo")])


def box_mode(p: Photographer) -> None:
    p.start()
    p.robot.set({"click.mode": "box"})
    x0, y0, x1, y1 = p.box("book")
    first = p.overlay(lambda: p.robot.send_click(x0, y0, p.stamp))
    strip("box_mode", [(first, "the first click"), (p.overlay(lambda: p.robot.send_click(x1, y1, p.stamp)), "the second")])


def detectors(p: Photographer) -> None:
    p.start()
    names = [thing.name for thing in p.scene.things]
    vision = messages.detections(p.stamp, *(messages.detection(p.box(n), n, n) for n in names))
    first = p.overlay(p.publish("detections", vision))
    p.start()
    detections = []
    for number, name in ((73, "book"), (41, "cup")):
        x0, y0, x1, y1 = map(float, p.box(name))
        detection = yolo_msgs.Detection(class_id=number, class_name=name, score=0.8, id=str(number))
        detection.bbox.center.position.x, detection.bbox.center.position.y = (x0 + x1) / 2, (y0 + y1) / 2
        detection.bbox.size.x, detection.bbox.size.y = x1 - x0, y1 - y0
        detections.append(detection)
    message = yolo_msgs.DetectionArray(header=messages.header(p.stamp), detections=detections)
    second = p.overlay(p.publish("yolo_detections", message))
    strip("detectors", [(first, "vision_msgs: six boxes, one batch"), (second, "yolo_ros")])


def prompts(p: Photographer) -> None:
    p.start()
    drawn = messages.prompt(object_id=3, box=p.box("banana"), class_id="banana")
    drawn.mask = messages.image(p.truth("banana").astype(np.uint8) * 255, p.stamp, "mono8")
    objects = [
        messages.prompt(object_id=1, points=[(*p.middle("cup"), 1), (*p.middle("ball"), 0)], class_id="cup"),
        messages.prompt(object_id=2, box=p.box("ball"), class_id="ball"),
        drawn,
    ]
    message = messages.prompts(PromptArray.SET, *objects, stamp=p.stamp)
    strip("prompts", [(p.overlay(p.publish("prompts", message)), "SET: points, a box, a mask")])


def segment(p: Photographer) -> None:
    p.start()
    objects = [messages.prompt(points=[(*p.middle("book"), 1)])]
    answer = p.robot.segment(stamp=p.stamp, objects=objects, all_candidates=True).result
    panels = []
    for mask in answer.masks:
        rgb = np.asarray(p.scene.picture(0)).copy()
        inside = messages.whole_mask(answer, mask)
        rgb[inside] = rgb[inside] // 2 + np.array([20, 60, 127], np.uint8)
        panels.append((rgb, f"candidate, predicted IoU {mask.iou:.2f}"))
    strip("segment", panels)


def tracking(p: Photographer) -> None:
    p.start()
    p.robot.set({"persistence.default": "track", "track.min_iou": 0.8})
    panels = [(p.overlay(p.region("cup")), "a box around the cup")]
    for step in range(1, 25):
        p.show(step * 0.25)
    panels.append((p.overlay(), "6 s later"))
    p.scene.things = [thing for thing in p.scene.things if thing.name != "cup"]
    p.show(6.25)
    panels.append((p.overlay(), "taken away"))
    strip("tracking", panels)


def cameras() -> None:
    """One node with two cameras, and a click on each."""
    scene = Scene()
    robot = Robot({"cameras": "[front, rear]"})
    try:
        robot.process.wait_ready()
        panels = []
        for name, t, thing in (("front", 0.0, "cup"), ("rear", 4.0, "book")):
            overlay = robot.peer.subscribe(ImageMessage, f"/promptseg/{name}/overlay")
            masks = robot.peer.subscribe(MaskArray, f"/promptseg/{name}/masks")
            x, y = innermost(scene.truth(t)[thing])
            while not any(m.masks for m in masks.all()):
                stamp = robot.stamp()
                robot.peer.publish(f"{name}/image", messages.image(np.asarray(scene.picture(t)), stamp), 5)
                robot.peer.publish(f"{name}/pixel", messages.pixel(x, y, stamp))
                time.sleep(1.0)
                robot.peer.call(Trigger, f"/promptseg/{name}/new_object", Trigger.Request())
            answered = next(m for m in masks.all() if m.masks).header.stamp
            time.sleep(0.5)
            drawn = [m for m in overlay.all() if m.header.stamp == answered][-1]
            panels.append((messages.pixels(drawn), f"/promptseg/{name}/overlay"))
        strip("cameras", panels)
    finally:
        robot.close()


def main() -> None:
    cameras()
    robot = Robot({"keep.frames": 100})
    try:
        robot.connect()
        for make in (clicks, mask_prompt, corrections, box_mode, detectors, prompts, segment, tracking):
            make(Photographer(robot))
    finally:
        robot.close()


if __name__ == "__main__":
    main()

"""Invalid input of every kind: the node logs the reason, counts the refusal and continues its work."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from math import inf, nan
from typing import Any

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point
from promptseg_msgs.msg import BoxPrompt, ObjectPrompt, PointPrompt, PromptArray
from sensor_msgs.msg import Image, RegionOfInterest

from harness import eventually
from messages import detection, detections, ids, image, prompt, prompts, whole_mask
from robot import Robot
from scenes import HEIGHT, WIDTH, Scene, iou

ADD, REMOVE = PromptArray.ADD, PromptArray.REMOVE
BOX = (40, 60, 120, 140)

Send = Callable[[Robot, Time], None]


def unfilled(**fields: Any) -> ObjectPrompt:
    """Sends further prompts of the existing object."""
    return ObjectPrompt(object_id=1, refine=True, **fields)


def click_without_label() -> ObjectPrompt:
    return unfilled(points=[PointPrompt(x=60.0, y=80.0)])


def bad_image(change: Callable[[Image], None]) -> Send:
    """Sends an invalid image from the camera."""

    def send(robot: Robot, _: Time) -> None:
        message = image(np.full((HEIGHT, WIDTH, 3), 99, np.uint8), robot.stamp())
        change(message)
        robot.publish_image(message)

    return send


def on_topic(topic: str, make: Callable[[Time], object]) -> Send:
    return lambda robot, stamp: robot.peer.publish(topic, make(stamp))


def point(x: float, y: float) -> Send:
    return lambda robot, stamp: robot.send_click(x, y, stamp)


def changed(**values: object) -> Callable[[Image], None]:
    def change(message: Image) -> None:
        for name, value in values.items():
            setattr(message, name, value)

    return change


def wrong_mask() -> object:
    made = prompt(object_id=1, box=BOX)
    made.mask = image(np.zeros((7, 9), np.uint8), Time(), "mono8")
    return made


def two_boxes_removed(stamp: Time) -> object:
    return prompts(REMOVE, prompt(object_id=77), stamp=stamp)


# name: (reason in diagnostics, words of the warning, input)
CASES: dict[str, tuple[str, str, Send]] = {
    "less data than step * height": ("bad_image", "bytes of data, expected", bad_image(changed(data=[1, 2, 3]))),
    "a height that the data has not": ("bad_image", "bytes of data, expected", bad_image(changed(height=HEIGHT + 1))),
    "a step below a row": ("bad_image", "smaller than a row", bad_image(changed(step=WIDTH))),
    "an unknown encoding": ("bad_image", 'unknown encoding "rgb7"', bad_image(changed(encoding="rgb7"))),
    "an empty encoding": ("bad_image", 'unknown encoding ""', bad_image(changed(encoding=""))),
    "an image without pixels": ("bad_image", "without pixels", bad_image(changed(width=0, height=0, step=0, data=[]))),
    "an absurd size": ("bad_image", "at most", bad_image(changed(width=2**31, height=2**31, step=2**31))),
    "a click that is not a number": ("bad_prompt", "not finite", point(nan, 5)),
    "an infinite click": ("bad_prompt", "not finite", point(5, inf)),
    "an unstamped click that is not a number": (
        "bad_prompt",
        "not finite",
        on_topic("point", lambda _: Point(x=nan, y=1.0)),
    ),
    "a click outside the image": ("bad_prompt", f"outside the image of {WIDTH}x{HEIGHT}", point(WIDTH + 1.5, 10)),
    "a click far outside": ("bad_prompt", "outside the image", point(-1e9, 10)),
    "a region without area": (
        "bad_prompt",
        "no area",
        on_topic("region", lambda _: RegionOfInterest(x_offset=10, y_offset=10, width=0, height=20)),
    ),
    "a region outside the image": (
        "bad_prompt",
        "no area",
        on_topic("region", lambda _: RegionOfInterest(x_offset=WIDTH, y_offset=10, width=20, height=20)),
    ),
    "a box without area": (
        "bad_prompt",
        "no area",
        on_topic("prompts", lambda t: prompts(ADD, prompt(object_id=1, box=(50, 50, 50, 90)), stamp=t)),
    ),
    "a box inside out": (
        "bad_prompt",
        "no area",
        on_topic("prompts", lambda t: prompts(ADD, prompt(object_id=1, box=(90, 50, 50, 90)), stamp=t)),
    ),
    "a box that is not a number": (
        "bad_prompt",
        "not finite",
        on_topic("prompts", lambda t: prompts(ADD, prompt(object_id=1, box=(nan, 50, 60, 90)), stamp=t)),
    ),
    "a prompt that says nothing": (
        "bad_prompt",
        "without point, box or mask",
        on_topic("prompts", lambda t: prompts(ADD, prompt(object_id=2), stamp=t)),
    ),
    "background clicks only": (
        "bad_prompt",
        "only background",
        on_topic("prompts", lambda t: prompts(ADD, prompt(object_id=2, points=[(5, 5, 0)]), stamp=t)),
    ),
    "an object twice": (
        "bad_prompt",
        "twice",
        on_topic("prompts", lambda t: prompts(ADD, prompt(2, box=BOX), prompt(2, box=BOX), stamp=t)),
    ),
    "a number that labels cannot hold": (
        "bad_prompt",
        "out of range",
        on_topic("prompts", lambda t: prompts(ADD, prompt(70_000, box=BOX), stamp=t)),
    ),
    "a mask of another size": ("bad_prompt", "9x7", on_topic("prompts", lambda t: prompts(ADD, wrong_mask(), stamp=t))),
    "an unknown label": (
        "bad_message",
        "label 3",
        on_topic("prompts", lambda t: prompts(ADD, prompt(1, points=[(50, 50, 3)]), stamp=t)),
    ),
    "a label that was not filled in": (
        "bad_message",
        "point label 0 (UNSPECIFIED",
        on_topic("prompts", lambda t: prompts(ADD, click_without_label(), stamp=t)),
    ),
    "objects with an operation that was not filled in": (
        "bad_message",
        "operation 0 (UNSPECIFIED",
        on_topic("prompts", lambda t: prompts(0, prompt(2, box=BOX), stamp=t)),
    ),
    # Every message of promptseg_msgs that was not filled in, alone and nested in other messages.
    "a PromptArray that was not filled in": (
        "bad_message",
        "operation 0 (UNSPECIFIED",
        on_topic("prompts", lambda _: PromptArray()),
    ),
    "an added ObjectPrompt that was not filled in": (
        "bad_prompt",
        "without point, box or mask",
        on_topic("prompts", lambda _: PromptArray(operation=ADD, objects=[ObjectPrompt()])),
    ),
    "an ObjectPrompt that was not filled in, in the place of the others": (
        "bad_prompt",
        "without point, box or mask",
        on_topic("prompts", lambda _: PromptArray(operation=PromptArray.SET, objects=[ObjectPrompt()])),
    ),
    "a removed ObjectPrompt that was not filled in": (
        "unknown_object",
        "object 0",
        on_topic("prompts", lambda _: PromptArray(operation=REMOVE, objects=[ObjectPrompt()])),
    ),
    "an object that is there, without a prompt": (
        "bad_prompt",
        "without point, box or mask",
        on_topic("prompts", lambda _: PromptArray(operation=ADD, objects=[ObjectPrompt(object_id=1)])),
    ),
    "a PointPrompt that was not filled in": (
        "bad_message",
        "point label 0",
        on_topic("prompts", lambda _: PromptArray(operation=ADD, objects=[unfilled(points=[PointPrompt()])])),
    ),
    "a BoxPrompt that was not filled in": (
        "bad_prompt",
        "no area",
        on_topic("prompts", lambda _: PromptArray(operation=ADD, objects=[unfilled(box=[BoxPrompt()])])),
    ),
    "an unknown operation": (
        "bad_message",
        "operation 9",
        on_topic("prompts", lambda t: prompts(9, prompt(1, box=BOX), stamp=t)),
    ),
    "an unknown object": ("unknown_object", "object 77", on_topic("prompts", two_boxes_removed)),
    "a click on a frame that never was": (
        "frame_gone",
        "is gone",
        lambda robot, _: robot.send_click(50, 50, Time(sec=7)),
    ),
    "a detection on a frame that never was": (
        "frame_gone",
        "is gone",
        on_topic("detections", lambda _: detections(Time(sec=7), detection(BOX, "disk", "1"))),
    ),
    "a detection without area": (
        "bad_prompt",
        "no area",
        on_topic("detections", lambda t: detections(t, detection((50, 50, 50, 90), "disk", "1"))),
    ),
    "a detection that is not a number": (
        "bad_prompt",
        "not finite",
        on_topic("detections", lambda t: detections(t, detection((nan, 50, 60, 90), "disk", "1"))),
    ),
}


@pytest.fixture
def working(robot: Robot, scene: Scene) -> Iterator[tuple[Robot, Time]]:
    """A node with an object on every frame, which the node must still have after the test."""
    stamp = robot.show(scene.rgb)
    robot.add(prompt(object_id=1, box=scene.shapes[0].box), stamp=stamp)
    yield robot, stamp
    assert robot.process.is_running(), robot.process.log()
    before = robot.masks.mark()
    stamp = robot.show(scene.rgb)
    answer = robot.masks.wait("masks", lambda m: m.header.stamp == stamp, before)
    assert ids(answer) == [1]
    assert iou(whole_mask(answer, answer.masks[0]), scene.truth[0]) >= 0.75


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_refused(working: tuple[Robot, Time], name: str) -> None:
    robot, stamp = working
    reason, words, send = CASES[name]
    robot.expect_refusal(reason, words, lambda: send(robot, stamp))


@pytest.mark.parametrize(("x", "y"), [(-1, 100), (WIDTH, 100), (80, -1), (80, HEIGHT)])
def test_a_click_one_pixel_outside_is_clamped(robot: Robot, scene: Scene, x: float, y: float) -> None:
    stamp = robot.show(scene.rgb)
    outside = robot.click(x, y, stamp)
    robot.clear()
    stamp = robot.show(scene.rgb)
    inside = robot.click(min(max(x, 0), WIDTH - 1), min(max(y, 0), HEIGHT - 1), stamp)
    assert np.array_equal(whole_mask(outside, outside.masks[0]), whole_mask(inside, inside.masks[0]))


def test_many_bad_messages_are_a_few_warnings_and_all_counted(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    before, warnings, began = robot.refused("bad_message"), robot.rosout.mark(), time.monotonic()
    bad = prompts(9, stamp=stamp)

    def counted() -> bool:
        # DDS loses some messages of a flood.
        for _ in range(50):
            robot.peer.publish("prompts", bad)
        return robot.refused("bad_message") >= before + 20

    eventually("the count", counted)
    logged = [m.msg for m in robot.rosout.all(warnings) if "operation 9" in m.msg]
    assert 1 <= len(logged) <= 2 + time.monotonic() - began, "one a second"
    robot.click(*scene.shapes[0].centre, stamp)


def test_a_flood_of_clicks_does_not_hold_up_the_node(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    for i in range(60):
        robot.send_click(40 + i % 80, 60 + i % 60, stamp)
    robot.clear()
    stamp = robot.show(scene.rgb)
    assert robot.click(*scene.shapes[1].centre, stamp).masks

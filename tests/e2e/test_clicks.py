"""Prompts of one object: clicks of rqt, stamped clicks, regions, masks; corrections, boxes by two clicks, undo."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point
from promptseg_msgs.msg import MaskArray
from rcl_interfaces.msg import ParameterEvent
from sensor_msgs.msg import RegionOfInterest
from std_srvs.srv import SetBool

from harness import eventually
from messages import ids, image, masks_by_id, pixels, prompt, whole_mask
from robot import Robot, get_parameters
from scenes import DISK, Scene, iou

GOOD = 0.75
OVERLAY_CLICKS = "/promptseg/overlay_mouse_left"


def only_mask(answer: MaskArray) -> np.ndarray:
    assert len(answer.masks) == 1, ids(answer)
    return whole_mask(answer, answer.masks[0])


def region(box: tuple[int, int, int, int]) -> RegionOfInterest:
    x0, y0, x1, y1 = box
    return RegionOfInterest(x_offset=x0, y_offset=y0, width=x1 - x0, height=y1 - y0)


def point(at: tuple[float, float]) -> Point:
    return Point(x=float(at[0]), y=float(at[1]))


# ------------------------------------------------------------------------------------------------- sources of clicks


@pytest.mark.parametrize("topic", ["point", OVERLAY_CLICKS])
def test_a_click_without_stamp_is_for_the_newest_frame(robot: Robot, topic: str) -> None:
    """Clicks of rqt on the camera's image are remapped to `point`; clicks on the overlay need no remapping."""
    robot.show(Scene(shapes=(DISK.moved(140, 60),)).rgb)
    scene = Scene(shapes=(DISK,))
    stamp = robot.show(scene.rgb)
    answer = robot.ask(lambda: robot.peer.publish(topic, point(DISK.centre)), stamp)
    assert iou(only_mask(answer), scene.truth[0]) >= GOOD


@pytest.mark.parametrize(
    ("rules", "topic"),
    [
        ([], "/cam/image_raw_mouse_left"),
        ([], "/point"),
        (["image_mouse_left:=/clicks"], "/clicks"),
        # The same topic under two names: a click counts once.
        (["point:=/cam/image_raw_mouse_left"], "/cam/image_raw_mouse_left"),
    ],
)
def test_rqt_on_the_cameras_own_picture(
    start_robot: Callable[..., Robot], scene: Scene, rules: list[str], topic: str
) -> None:
    remapped = [part for rule in ["image:=/cam/image_raw", *rules] for part in ("-r", rule)]
    robot = start_robot(ros_args=tuple(remapped))
    robot.image_topic = "/cam/image_raw"
    robot.process.wait_ready()
    assert robot.peer.node.count_subscribers(topic) <= 1

    def send() -> None:
        robot.publish_image(image(scene.rgb, robot.stamp()))
        robot.peer.publish(topic, point(scene.shapes[0].centre))

    answer = robot.until_answered(send, robot.masks)
    assert robot.peer.node.count_subscribers(topic) == 1
    assert whole_mask(answer, answer.masks[0])[scene.truth[0]].mean() > 0.5


def test_a_region_is_a_box_for_the_current_object(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    answer = robot.ask(lambda: robot.peer.publish("region", region(scene.shapes[1].box)), stamp)
    assert iou(only_mask(answer), scene.truth[1]) >= GOOD
    # A second region replaces the first, on the same object.
    answer = robot.ask(lambda: robot.peer.publish("region", region(scene.shapes[0].box)), stamp)
    assert ids(answer) == [1]


# ------------------------------------------------------------------------------------------------- masks


def test_a_mask_on_the_frame_of_its_stamp(robot: Robot) -> None:
    original, moved = Scene(shapes=(DISK,)), Scene(shapes=(DISK.moved(140, 60),))
    earlier = robot.show(original.rgb)
    robot.show(moved.rgb)
    drawn = image(original.truth[0].astype(np.uint8) * 255, earlier, "mono8")
    answer = robot.ask(lambda: robot.peer.publish("mask_prompt", drawn), earlier)
    assert ids(answer) == [1]
    # The mask is decoded on the frame of its stamp, together with the object's other prompts.
    answer = robot.ask(lambda: robot.send_click(*original.shapes[0].centre, earlier), earlier)
    assert only_mask(answer)[original.truth[0]].mean() > 0.5


def test_a_mask_without_stamp_is_for_the_newest_frame(robot: Robot, scene: Scene) -> None:
    """A mask as 32FC1 logits gives the same answer as the drawn mask."""
    stamp = robot.show(scene.rgb)
    truth = scene.truth[0]
    drawn = image(truth.astype(np.uint8) * 255, Time(), "mono8")
    first = robot.ask(lambda: robot.peer.publish("mask_prompt", drawn), stamp)
    robot.clear()
    stamp = robot.show(scene.rgb)
    logits = image(np.where(truth, 10.0, -10.0).astype(np.float32), Time(), "32FC1")
    second = robot.ask(lambda: robot.peer.publish("mask_prompt", logits), stamp)
    assert np.array_equal(only_mask(first), only_mask(second))


def test_a_mask_counts_with_the_box_of_its_object(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    robot.ask(lambda: robot.peer.publish("region", region(scene.shapes[0].box)), stamp)
    drawn = image(scene.truth[0].astype(np.uint8) * 255, stamp, "mono8")
    answer = robot.ask(lambda: robot.peer.publish("mask_prompt", drawn), stamp)
    assert ids(answer) == [1]
    assert iou(only_mask(answer), scene.truth[0]) >= GOOD


@pytest.mark.parametrize(
    ("encoding", "data", "kind", "words"),
    [
        ("mono8", np.zeros((240, 320), np.uint8), "bad_prompt", "nothing inside"),
        ("mono8", np.full((24, 32), 255, np.uint8), "bad_prompt", "32x24"),
        ("rgb8", np.full((240, 320, 3), 255, np.uint8), "bad_message", "rgb8"),
        ("32FC1", np.full((240, 320), np.nan, np.float32), "bad_message", "not finite"),
    ],
)
def test_what_is_no_mask_is_refused(
    robot: Robot, scene: Scene, encoding: str, data: np.ndarray, kind: str, words: str
) -> None:
    stamp = robot.show(scene.rgb)
    message = image(data, stamp, encoding)
    robot.expect_refusal(kind, words, lambda: robot.peer.publish("mask_prompt", message))


# ------------------------------------------------------------------------------------------------- corrections


def set_click_label(robot: Robot, foreground: bool) -> SetBool.Response:
    return robot.peer.call(SetBool, "/promptseg/set_click_label", SetBool.Request(data=foreground))


def label_of(robot: Robot) -> object:
    return get_parameters(robot.peer, "click.label")[0]


def test_the_label_service_sets_the_parameter_and_announces_it(robot: Robot) -> None:
    events = robot.peer.subscribe(ParameterEvent, "/parameter_events")
    eventually("the publisher of /parameter_events", lambda: robot.peer.node.count_publishers("/parameter_events"))
    robot.changed.add("click.label")

    def announced(label: str) -> bool:
        # Discovery may not be complete.
        answer = set_click_label(robot, label == "foreground")
        assert answer.success and label in answer.message
        changes = [p for e in events.all() for p in e.changed_parameters if e.node == "/promptseg"]
        return any((p.name, p.value.string_value) == ("click.label", label) for p in changes)

    for label in ("background", "foreground"):
        eventually(f"the event that clicks are {label}", lambda: announced(label))
        assert label_of(robot) == label


def test_a_negative_click_by_the_service(robot: Robot, scene: Scene) -> None:
    """A box around two shapes; a background click on one of them excludes it."""
    stamp = robot.show(scene.rgb)
    (x0, y0, _, _), (_, _, x1, y1) = scene.shapes[1].box, scene.shapes[2].box
    both = (min(x0, 170), y0, max(x1, 280), y1)
    first = only_mask(robot.ask(lambda: robot.peer.publish("region", region(both)), stamp))
    robot.changed.add("click.label")
    assert set_click_label(robot, False).success
    answer = robot.click(*scene.shapes[2].centre, stamp)
    assert ids(answer) == [1]
    second = only_mask(answer)
    # How far the mask changes depends on the model.
    assert second[scene.truth[2]].mean() < first[scene.truth[2]].mean()


def test_undo_brings_the_mask_back_that_was_there(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    (x, y), shape = scene.shapes[0].centre, scene.shapes[0]
    masks = [only_mask(robot.click(x, y, stamp))]
    masks.append(only_mask(robot.ask(lambda: robot.peer.publish("region", region(shape.box)), stamp)))
    drawn = image(scene.truth[1].astype(np.uint8) * 255, stamp, "mono8")
    masks.append(only_mask(robot.ask(lambda: robot.peer.publish("mask_prompt", drawn), stamp)))
    robot.click(x + 60, y + 10, stamp)
    for was, words in zip(
        reversed(masks), ("the foreground click at (140, 110): object 1 has 1 point, a box, a mask", "the mask", "the box")
    ):
        before = robot.masks.mark()
        answer = robot.trigger("undo")
        assert answer.success and words in answer.message, answer.message
        again = robot.masks.wait("the masks of before", lambda m: m.header.stamp == stamp, before)
        assert np.array_equal(only_mask(again), was)
    before = robot.masks.mark()
    assert "object 1 is gone" in robot.trigger("undo").message
    robot.masks.wait("an answer without objects", lambda m: not m.masks, before)
    answer = robot.trigger("undo")
    assert not answer.success and answer.message == "there is no prompt to take back"


def test_undo_goes_back_over_objects_and_live_frames(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    robot.click(*scene.shapes[0].centre, stamp)
    assert robot.trigger("new_object").success
    assert ids(robot.click(*scene.shapes[1].centre, stamp)) == [1, 2]
    stamp = robot.show(scene.rgb)
    before = robot.masks.mark()
    assert "object 2 is gone" in robot.trigger("undo").message
    answer = robot.masks.wait("masks without object 2", lambda m: ids(m) == [1], before)
    assert answer.header.stamp == stamp
    assert iou(masks_by_id(answer)[1], scene.truth[0]) >= GOOD


# ------------------------------------------------------------------------------------------------- two clicks are a box


def overlay_after(robot: Robot, send: Callable[[], None], stamp: Time) -> np.ndarray:
    before = robot.overlay.mark()
    send()
    return pixels(robot.overlay.wait("the overlay", lambda m: m.header.stamp == stamp, before)).astype(int)


def test_two_clicks_are_a_box_and_the_first_is_shown(robot: Robot, scene: Scene) -> None:
    robot.set({"click.mode": "box"})
    stamp = robot.show(scene.rgb)
    x0, y0, x1, y1 = scene.shapes[1].box
    marked = overlay_after(robot, lambda: robot.send_click(x1, y0, stamp), stamp)
    around = np.abs(marked - scene.rgb)[y0 - 10 : y0 + 11, x1 - 10 : x1 + 11].max()
    elsewhere = np.abs(marked - scene.rgb)[150:, :].max()
    assert around > 60 and elsewhere == 0
    answer = robot.click(x0, y1, stamp)
    assert iou(only_mask(answer), scene.truth[1]) >= GOOD
    straight = robot.segment(stamp=stamp, objects=[prompt(box=scene.shapes[1].box)]).result
    assert np.array_equal(only_mask(answer), only_mask(straight))


def test_a_second_click_on_the_first_is_refused_and_the_first_still_waits(robot: Robot, scene: Scene) -> None:
    robot.set({"click.mode": "box"})
    stamp = robot.show(scene.rgb)
    x0, y0, x1, y1 = scene.shapes[0].box
    overlay_after(robot, lambda: robot.send_click(x0, y0, stamp), stamp)
    robot.expect_refusal("bad_prompt", "the first one still waits", lambda: robot.send_click(x0, y1, stamp))
    robot.expect_refusal("bad_prompt", "outside the image", lambda: robot.send_click(999, y1, stamp))
    assert iou(only_mask(robot.click(x1, y1, stamp)), scene.truth[0]) >= GOOD


def test_undo_and_new_object_between_two_corners(robot: Robot, scene: Scene) -> None:
    robot.set({"click.mode": "box"})
    stamp = robot.show(scene.rgb)
    x0, y0, x1, y1 = scene.shapes[0].box
    u0, v0, u1, v1 = scene.shapes[1].box
    # Undo takes back a corner in the wrong place.
    overlay_after(robot, lambda: robot.send_click(300, 200, stamp), stamp)
    assert robot.trigger("undo").message == "took back the first corner of a box, at (300, 200)"
    robot.send_click(x0, y0, stamp)
    assert iou(only_mask(robot.click(x1, y1, stamp)), scene.truth[0]) >= GOOD
    # A new object discards a waiting corner.
    overlay_after(robot, lambda: robot.send_click(10, 10, stamp), stamp)
    before = robot.rosout.mark()
    assert robot.trigger("new_object").success
    robot.rosout.wait("the report on the corner", lambda m: "(10, 10), is forgotten" in m.msg, before)
    robot.send_click(u0, v0, stamp)
    answer = robot.ask(lambda: robot.send_click(u1, v1, stamp), stamp, lambda m: len(m.masks) == 2)
    assert iou(masks_by_id(answer)[2], scene.truth[1]) >= GOOD
    # A background click corrects the existing box.
    robot.set({"click.label": "background"})
    answer = robot.click(u0 - 4, v0 - 4, stamp)
    assert ids(answer) == [1, 2]
    assert "the background click" in robot.trigger("undo").message

"""A camera that changes its resolution while objects are held."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image as Picture
from promptseg_msgs.msg import ObjectMask

from messages import detection, ids, image, prompt, whole_mask
from robot import GOOD, Robot
from scenes import Scene, Shape, iou

# On the right of the image: a click at (280, 100) is outside an image of half the size.
BALL = Shape("ellipse", (240, 60, 312, 140), (214, 70, 44))
SCENE = Scene(shapes=(BALL,))


def resized(width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """The scene and the true mask of its ball at a size."""
    rgb = Picture.fromarray(SCENE.rgb).resize((width, height), Picture.Resampling.BICUBIC)
    truth = Picture.fromarray(SCENE.truth[0]).resize((width, height), Picture.Resampling.NEAREST)
    return np.asarray(rgb), np.asarray(truth)


@pytest.mark.parametrize("prompted_by", ["click", "box"])
def test_held_prompts_scale_with_the_picture(robot: Robot, prompted_by: str) -> None:
    stamp = robot.show(SCENE.rgb)
    if prompted_by == "click":
        robot.click(280, 100, stamp)
    else:
        robot.add(prompt(object_id=1, box=BALL.box), stamp=stamp)
    log = robot.rosout.mark()
    for width, height in ((160, 120), (640, 480), (320, 240)):
        rgb, truth = resized(width, height)
        stamp = robot.stamp()
        answer = robot.ask(lambda: robot.publish_image(image(rgb, stamp)), stamp)
        assert (ids(answer), answer.masks[0].state, answer.width) == ([1], ObjectMask.STATE_VISIBLE, width)
        assert iou(whole_mask(answer, answer.masks[0]), truth) >= GOOD, f"at {width}x{height}"
        robot.rosout.wait("the log", lambda m: f"is {width}x{height} now: the prompts of 1 objects are scaled" in m.msg, log)


def test_a_held_object_is_lost_in_a_picture_of_other_proportions(robot: Robot) -> None:
    stamp = robot.show(SCENE.rgb)
    robot.click(280, 100, stamp)
    lost, log = int(robot.diagnostic_values()["objects lost"]), robot.rosout.mark()
    turned = np.ascontiguousarray(SCENE.rgb.transpose(1, 0, 2))
    for _ in range(2):
        stamp = robot.stamp()
        answer = robot.ask(lambda: robot.publish_image(image(turned, stamp)), stamp)
        reason = "the camera's picture was 320x240 and is 240x320 now: point at the object again"
        assert ids(answer) == [1]
        assert (answer.masks[0].state, answer.masks[0].reason, answer.masks[0].area) == (ObjectMask.STATE_LOST, reason, 0)
    robot.rosout.wait("the warning", lambda m: m.level == 30 and f"object 1 is lost: {reason}" in m.msg, log)
    robot.diagnostics.wait("the count", lambda _: int(robot.diagnostic_values()["objects lost"]) == lost + 1)
    # After a new prompt, the mask is that of the ball in this image.
    answer = robot.click(100, 280, stamp)
    assert (ids(answer), answer.masks[0].state) == ([1], ObjectMask.STATE_VISIBLE)
    assert iou(whole_mask(answer, answer.masks[0]), SCENE.truth[0].T) >= GOOD


def test_detections_of_the_new_size_stand_beside_scaled_objects(robot: Robot) -> None:
    stamp = robot.show(SCENE.rgb)
    robot.click(280, 100, stamp)
    rgb, truth = resized(160, 120)
    stamp = robot.show(rgb)
    answer = robot.detect(stamp, detection((120, 30, 156, 70), "ball", "1"))
    assert len(ids(answer)) == 2
    for mask in answer.masks:
        assert iou(whole_mask(answer, mask), truth) >= GOOD

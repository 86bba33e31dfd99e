"""Boxes of an upstream detector."""

from __future__ import annotations

import math

import pytest
from vision_msgs.msg import ObjectHypothesisWithPose

from messages import detection, ids, masks_by_id, whole_mask
from robot import Robot
from scenes import Scene, iou

GOOD = 0.75


def test_class_and_id_go_through(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    before = robot.detections.mark()
    found = [detection(s.box, name, f"track-{name}") for s, name in zip(scene.shapes, ("disk", "card", "egg"))]
    answer = robot.detect(stamp, *found)
    assert [m.class_id for m in answer.masks] == ["disk", "card", "egg"]
    assert len(set(ids(answer))) == 3 and min(ids(answer)) > 1000
    for mask, truth in zip(masks_by_id(answer).values(), scene.truth):
        assert iou(mask, truth) >= GOOD
    out = robot.detections.wait("detections", lambda m: m.header.stamp == stamp, before).detections
    assert [d.id for d in out] == ["track-disk", "track-card", "track-egg"]
    assert [d.results[0].hypothesis.class_id for d in out] == ["disk", "card", "egg"]


def test_the_class_is_that_of_the_best_hypothesis(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    found = detection(scene.shapes[0].box, "cat", "1", score=0.3)
    better = ObjectHypothesisWithPose()
    better.hypothesis.class_id, better.hypothesis.score = "dog", 0.6
    found.results.append(better)
    assert robot.detect(stamp, found).masks[0].class_id == "dog"


def test_a_detection_without_hypotheses_has_no_class(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    found = detection(scene.shapes[0].box, "", "1")
    found.results = []
    assert robot.detect(stamp, found).masks[0].class_id == ""


def test_a_box_over_the_border_counts_as_far_as_it_is_inside(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    x0, y0, x1, y1 = scene.shapes[0].box
    answer = robot.detect(stamp, detection((x0 - 500, y0, x1, y1), "disk", "1"))
    assert len(answer.masks) == 1
    assert 0 < answer.masks[0].area < scene.width * scene.height


def test_a_turned_box_is_taken_with_its_hull(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    straight = robot.detect(stamp, detection(scene.shapes[1].box, "card", "1"))
    turned = detection(scene.shapes[1].box, "card", "1")
    turned.bbox.center.theta = math.pi / 2
    turned.bbox.size_x, turned.bbox.size_y = turned.bbox.size_y, turned.bbox.size_x
    answer = robot.detect(stamp, turned)
    assert iou(whole_mask(answer, answer.masks[0]), whole_mask(straight, straight.masks[0])) > 0.98


def test_a_bad_box_does_not_take_the_good_ones_with_it(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    bad = detection((50, 50, 50, 90), "flat", "2")
    good = detection(scene.shapes[0].box, "disk", "1")
    answer = robot.detect(stamp, bad, good)
    assert [m.class_id for m in answer.masks] == ["disk"]


def test_a_new_message_for_a_frame_replaces_the_old_one(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    robot.detect(stamp, detection(scene.shapes[0].box, "disk", "1"), detection(scene.shapes[1].box, "card", "2"))
    assert [m.class_id for m in robot.detect(stamp, detection(scene.shapes[2].box, "egg", "3")).masks] == ["egg"]


def test_an_empty_message_is_answered_with_no_masks(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    assert robot.detect(stamp).masks == []


@pytest.mark.parametrize("count", [100])
def test_many_boxes(robot: Robot, scene: Scene, count: int) -> None:
    stamp = robot.show(scene.rgb)
    found = [
        detection((i % 20 * 10, i // 20 * 10, i % 20 * 10 + 40, i // 20 * 10 + 40), f"{i}", f"{i}")
        for i in range(count)
    ]
    answer = robot.detect(stamp, *found)
    assert [m.class_id for m in answer.masks] == [f"{i}" for i in range(count)]

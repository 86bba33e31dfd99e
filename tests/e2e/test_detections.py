"""Boxes of an upstream detector."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest
import yolo_msgs.msg as yolo_msgs
from builtin_interfaces.msg import Time
from promptseg_msgs.msg import MaskArray
from vision_msgs.msg import Detection2D, ObjectHypothesisWithPose

from harness import eventually
from messages import detection, detections, header, ids, image, masks_by_id, stamp_of, whole_mask
from robot import Robot
from scenes import DISK, Scene, iou

GOOD = 0.75
NOT_TAKEN = "detections not taken (score, class, number)"


def test_class_and_id_go_through(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    before = robot.detections.mark()
    detected = [detection(s.box, name, f"track-{name}") for s, name in zip(scene.shapes, ("disk", "card", "egg"))]
    answer = robot.detect(stamp, *detected)
    assert [m.class_id for m in answer.masks] == ["disk", "card", "egg"]
    assert len(set(ids(answer))) == 3 and min(ids(answer)) > 1000
    for mask, truth in zip(masks_by_id(answer).values(), scene.truth):
        assert iou(mask, truth) >= GOOD
    out = robot.detections.wait("detections", lambda m: m.header.stamp == stamp, before).detections
    assert [d.id for d in out] == ["track-disk", "track-card", "track-egg"]
    assert [d.results[0].hypothesis.class_id for d in out] == ["disk", "card", "egg"]


def test_the_detectors_own_score_goes_through(robot: Robot, scene: Scene) -> None:
    """The detector's score is always in ~/masks, and in ~/detections by parameter. Without a score, ~/masks has NaN and
    ~/detections the predicted IoU."""
    stamp = robot.show(scene.rgb)
    clicked = robot.click(*scene.shapes[2].centre, stamp)
    assert math.isnan(clicked.masks[0].detection_score)
    detected = [detection(s.box, "", name, score) for s, name, score in zip(scene.shapes, "ab", (0.71, 0.123456789))]
    silent = detection(scene.shapes[2].box, "", "c")
    silent.results = []
    for source in ("predicted_iou", "detection_score"):
        robot.set({"output.detections_score": source})
        before = robot.detections.mark()
        answer = robot.detect(stamp, *detected, silent)
        own = [m.detection_score for m in answer.masks]
        assert own[1:3] == [0.71, 0.123456789] and math.isnan(own[0]) and math.isnan(own[3])
        out = robot.detections.wait("detections", lambda m: m.header.stamp == stamp, before).detections
        assert [d.id for d in out] == ["1", "a", "b", "c"]
        predicted = [float(m.iou) for m in answer.masks]
        expected = predicted if source == "predicted_iou" else [predicted[0], 0.71, 0.123456789, predicted[3]]
        assert [d.results[0].hypothesis.score for d in out] == expected


def test_the_class_is_that_of_the_best_hypothesis(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    detected = detection(scene.shapes[0].box, "cat", "1", score=0.3)
    better = ObjectHypothesisWithPose()
    better.hypothesis.class_id, better.hypothesis.score = "dog", 0.6
    detected.results.append(better)
    best = robot.detect(stamp, detected).masks[0]
    assert (best.class_id, best.detection_score) == ("dog", 0.6)


def test_a_detection_without_hypotheses_has_no_class(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    detected = detection(scene.shapes[0].box, "", "1")
    detected.results = []
    assert robot.detect(stamp, detected).masks[0].class_id == ""


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


def grid(count: int) -> list[Detection2D]:
    """Boxes all over the image with rising scores; the id is the index in the list."""
    detected = []
    for i in range(count):
        x, y = i % 40 * 7, i // 40 % 25 * 8
        detected.append(detection((x, y, x + 40, y + 40), f"{i}", f"{i}", score=(i + 1) / (count + 1)))
    return detected


def test_a_score_threshold(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    robot.set({"detections.min_score": 0.5})
    before = int(robot.diagnostic_values().get(NOT_TAKEN, 0))
    detected = [detection(s.box, name, name, score) for s, name, score in zip(scene.shapes, "abc", (0.5, 0.49, 0.9))]
    silent = detection(scene.shapes[0].box, "", "d")
    silent.results = []
    assert [m.class_id for m in robot.detect(stamp, *detected, silent).masks] == ["a", "c"]
    robot.diagnostics.wait(
        "the count of what was not taken",
        lambda _: int(robot.diagnostic_values()[NOT_TAKEN]) == before + 2,
        robot.diagnostics.mark(),
    )


def test_a_class_filter(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    robot.set({"detections.classes": ["egg", "disk"]})
    detected = [detection(s.box, name, name) for s, name in zip(scene.shapes, ("disk", "card", "egg"))]
    assert [m.class_id for m in robot.detect(stamp, *detected).masks] == ["disk", "egg"]


def test_at_most_so_many_by_score(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    robot.set({"detections.max_count": 2})
    detected = [detection(s.box, name, name, score) for s, name, score in zip(scene.shapes, "abc", (0.7, 0.2, 0.9))]
    assert [m.class_id for m in robot.detect(stamp, *detected).masks] == ["a", "c"]


def test_an_image_that_was_passed_over_is_encoded_for_the_detector(robot: Robot) -> None:
    """The camera is faster than the encoder: every superseded image is still kept."""
    robot.set({"keep.images": 100})

    def counts() -> dict[str, int]:
        values = robot.diagnostic_values(robot.diagnostics.mark())
        names = ("images in", "images superseded by a newer one", "refused: frame_gone")
        return {name: int(values.get(name, 0)) for name in names}

    before, answers = counts(), robot.masks.mark()
    frames = [(Scene(shapes=(DISK.moved(8 * i, 4 * i),)), robot.stamp()) for i in range(16)]
    for scene, stamp in frames:
        robot.publish_image(image(scene.rgb, stamp))
        time.sleep(0.005)
    robot.wait_encoded(frames[-1][1])
    received = {name: count - before[name] for name, count in counts().items()}
    assert received["images superseded by a newer one"] > 0, "the camera was not fast enough for this test"
    for scene, stamp in frames:
        robot.peer.publish("detections", detections(stamp, detection(scene.shapes[0].box, "disk", "1")))
        time.sleep(0.05)

    def answered() -> dict[tuple[int, int], MaskArray]:
        return {stamp_of(m): m for m in robot.masks.all(answers) if m.masks}

    # DDS may lose an image; a detection on it is refused.
    eventually("an answer on every received image", lambda: len(answered()) >= received["images in"])
    for scene, stamp in frames:
        if answer := answered().get((stamp.sec, stamp.nanosec)):
            assert iou(whole_mask(answer, answer.masks[0]), scene.truth[0]) >= GOOD
    lost = len(frames) - received["images in"]
    robot.diagnostics.wait(
        "the refusals", lambda _: robot.refused("frame_gone") == before["refused: frame_gone"] + lost
    )


@pytest.mark.parametrize("count", [100])
def test_many_boxes(robot: Robot, scene: Scene, count: int) -> None:
    stamp = robot.show(scene.rgb)
    answer = robot.detect(stamp, *grid(count))
    assert [m.class_id for m in answer.masks] == [f"{i}" for i in range(count)]


def test_a_thousand_boxes_neither_hold_up_a_click_nor_fill_the_memory(robot: Robot, scene: Scene) -> None:
    robot.set({"detections.max_count": 1000})
    stamp = robot.show(scene.rgb)
    # The runtime keeps memory for a chunk from the first chunk on.
    robot.detect(stamp, *grid(64))
    stamp = robot.show(scene.rgb)
    before, memory = robot.masks.mark(), robot.process.resident_megabytes()
    robot.peer.publish("detections", detections(stamp, *grid(1000)))
    robot.send_click(*scene.shapes[0].centre, stamp)
    all_boxes = lambda m: sum(i > 1000 for i in ids(m)) == 1000  # noqa: E731
    robot.masks.wait("the answer with all boxes", all_boxes, before, timeout=120)
    answers = [m for m in robot.masks.all(before) if m.header.stamp == stamp]
    clicked = next(n for n, m in enumerate(answers) if 1 in ids(m))
    assert not all_boxes(answers[clicked]), "the click does not wait for earlier boxes"
    assert robot.process.resident_megabytes() - memory < 100


def test_a_message_of_very_many_boxes_is_cut_to_the_best(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    before = robot.masks.mark()
    robot.peer.publish("detections", detections(stamp, *grid(1000)))
    answer = robot.masks.wait("the answer", lambda m: m.header.stamp == stamp, before, timeout=60)
    assert [m.class_id for m in answer.masks] == [f"{i}" for i in range(700, 1000)]


# ------------------------------------------------------------------------------------------------- yolo_ros


def yolo(box: tuple[float, float, float, float], name: str, number: int, tag: str, score: float = 0.8) -> Any:
    x0, y0, x1, y1 = map(float, box)
    detected = yolo_msgs.Detection(class_id=number, class_name=name, score=score, id=tag)
    detected.bbox.center.position.x, detected.bbox.center.position.y = (x0 + x1) / 2, (y0 + y1) / 2
    detected.bbox.size.x, detected.bbox.size.y = x1 - x0, y1 - y0
    return detected


def test_the_boxes_of_yolo_ros(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    robot.show(Scene(shapes=()).rgb)
    turned = yolo(scene.shapes[1].box, "card", 1, "", score=0.7)
    turned.bbox.center.theta = -math.pi / 2
    turned.bbox.size.x, turned.bbox.size.y = turned.bbox.size.y, turned.bbox.size.x
    detected = [yolo(scene.shapes[0].box, "disk", 0, "7"), turned, yolo(scene.shapes[2].box, "", 46, "9")]
    message = yolo_msgs.DetectionArray(header=header(stamp), detections=detected)
    boxes = robot.detections.mark()
    answer = robot.ask(lambda: robot.peer.publish("yolo_detections", message), stamp)
    assert [m.class_id for m in answer.masks] == ["disk", "card", "46"]
    assert [m.detection_score for m in answer.masks] == [0.8, 0.7, 0.8]
    for mask, truth in zip(masks_by_id(answer).values(), scene.truth):
        assert iou(mask, truth) >= GOOD
    out = robot.detections.wait("detections", lambda m: m.header.stamp == stamp, boxes).detections
    assert [d.id for d in out] == ["7", "1002", "9"]


def test_the_filters_are_for_yolo_ros_too(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    robot.set({"detections.min_score": 0.5, "detections.classes": ["disk", "46"]})
    shapes = zip(scene.shapes, ("disk", "card", "egg"), (0, 1, 46), (0.4, 0.9, 0.9))
    detected = [yolo(shape.box, name, number, name, score) for shape, name, number, score in shapes]
    message = yolo_msgs.DetectionArray(header=header(stamp), detections=detected)
    answer = robot.ask(lambda: robot.peer.publish("yolo_detections", message), stamp)
    assert [m.class_id for m in answer.masks] == ["egg"]


def test_a_yolo_detection_on_a_frame_that_is_gone_is_counted_and_said(robot: Robot, scene: Scene) -> None:
    robot.show(scene.rgb)
    gone = yolo_msgs.DetectionArray(header=header(Time(sec=7)), detections=[yolo(scene.shapes[0].box, "disk", 0, "7")])
    robot.expect_refusal("frame_gone", "is gone", lambda: robot.peer.publish("yolo_detections", gone))

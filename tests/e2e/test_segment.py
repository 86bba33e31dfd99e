"""The service ~/segment: one question, one answer, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from promptseg_msgs.srv import Segment

from harness import eventually
from messages import ids, image, masks_by_id, prompt, whole_mask
from robot import Robot
from scenes import DISK, Scene, iou

GOOD = 0.75


def test_an_image_of_its_own(robot: Robot, scene: Scene) -> None:
    """Other than the camera's, and without a camera."""
    message = image(scene.rgb, robot.stamp())
    objects = [
        prompt(object_id=9, points=[(*scene.shapes[0].centre, 1)], class_id="disk"),
        prompt(box=scene.shapes[1].box),
    ]
    answer = robot.segment(image=message, objects=objects)
    assert answer.success and answer.message == ""
    assert answer.result.header == message.header
    assert ids(answer.result) == [9, 1]
    assert [m.class_id for m in answer.result.masks] == ["disk", ""]
    masks = list(masks_by_id(answer.result).values())
    assert iou(masks[0], scene.truth[0]) >= GOOD
    assert iou(masks[1], scene.truth[1]) >= GOOD


def test_a_kept_frame_by_its_stamp(robot: Robot) -> None:
    here, there = Scene(shapes=(DISK,)), Scene(shapes=(DISK.moved(140, 60),))
    then = robot.show(here.rgb)
    robot.show(there.rgb)
    answer = robot.segment(stamp=then, objects=[prompt(points=[(*here.shapes[0].centre, 1)])])
    assert answer.success, answer.message
    assert answer.result.header.stamp == then
    assert iou(whole_mask(answer.result, answer.result.masks[0]), here.truth[0]) >= GOOD


def test_without_stamp_the_newest_frame(robot: Robot, scene: Scene) -> None:
    robot.show(Scene(shapes=()).rgb)
    now = robot.show(scene.rgb)
    answer = robot.segment(stamp=Time(), objects=[prompt(box=scene.shapes[2].box)])
    assert answer.success, answer.message
    assert answer.result.header.stamp == now


def test_the_current_objects_are_neither_used_nor_changed(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    robot.add(prompt(object_id=1, box=scene.shapes[0].box), stamp=stamp)
    answer = robot.segment(stamp=stamp, objects=[prompt(object_id=1, box=scene.shapes[1].box)])
    assert iou(whole_mask(answer.result, answer.result.masks[0]), scene.truth[1]) >= GOOD
    after = robot.add(prompt(object_id=2, box=scene.shapes[2].box), stamp=stamp)
    assert ids(after) == [1, 2]
    assert iou(masks_by_id(after)[1], scene.truth[0]) >= GOOD


def test_all_candidates_best_first(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    objects = [prompt(object_id=4, points=[(*s.centre, 1)]) for s in scene.shapes[:1]]
    one = robot.segment(stamp=stamp, objects=objects).result
    every = robot.segment(stamp=stamp, objects=objects, all_candidates=True).result
    assert len(one.masks) == 1
    assert len(every.masks) == len(every.masks[0].candidate_ious) > 1
    assert set(ids(every)) == {4}
    scores = [m.iou for m in every.masks]
    assert scores == sorted(scores, reverse=True)
    assert sorted(scores) == pytest.approx(sorted(every.masks[0].candidate_ious), abs=1e-6)
    assert np.array_equal(whole_mask(one, one.masks[0]), whole_mask(every, every.masks[0]))


def test_many_questions_at_once(robot: Robot) -> None:
    """Each gets the answer to its own image."""
    scenes = [Scene(shapes=(DISK.moved(25 * i, 12 * i),)) for i in range(8)]
    pending = []
    for scene in scenes:
        message = image(scene.rgb, robot.stamp())
        request = Segment.Request(image=message, objects=[prompt(box=scene.shapes[0].box)])
        pending.append((scene, message, robot.peer.start_call(Segment, "/promptseg/segment", request)))
    for scene, message, future in pending:
        eventually("an answer", future.done)
        answer = future.result()
        assert answer.success, answer.message
        assert answer.result.header == message.header
        assert iou(whole_mask(answer.result, answer.result.masks[0]), scene.truth[0]) >= GOOD


def test_failures_say_why(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    robot.set(prompt_timeout=0.1)
    gone = Time(sec=5)
    broken = image(scene.rgb, robot.stamp())
    broken.step += 1
    box = prompt(box=scene.shapes[0].box)
    for request, says in [
        ({"stamp": stamp}, "no objects"),
        ({"stamp": gone, "objects": [box]}, "5.000000000 is gone"),
        ({"image": broken, "objects": [box]}, "bytes of data"),
        ({"stamp": stamp, "objects": [prompt()]}, "without point, box or mask"),
        ({"stamp": stamp, "objects": [prompt(points=[(5, 5, 0)])]}, "only background"),
        ({"stamp": stamp, "objects": [prompt(points=[(5, 5, 9)])]}, "label 9"),
        ({"stamp": stamp, "objects": [prompt(points=[(900, 5, 1)])]}, "outside the image of 320x240"),
        (
            {"stamp": stamp, "objects": [prompt(object_id=3, box=(1, 1, 9, 9)), prompt(object_id=3, box=(1, 1, 9, 9))]},
            "twice",
        ),
    ]:
        answer = robot.segment(**request)
        assert not answer.success
        assert says in answer.message, answer.message
        assert answer.result.masks == []

"""The service ~/segment: one answer for each request, and no other effect."""

from __future__ import annotations

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from promptseg_msgs.srv import Segment

from harness import Peer, eventually
from messages import ids, image, masks_by_id, prompt, whole_mask
from robot import Robot
from scenes import DISK, Scene, iou

GOOD = 0.75


def test_an_image_of_its_own(robot: Robot, scene: Scene) -> None:
    """The request's image differs from the camera's images, or there is no camera."""
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
    original, moved = Scene(shapes=(DISK,)), Scene(shapes=(DISK.moved(140, 60),))
    earlier = robot.show(original.rgb)
    robot.show(moved.rgb)
    answer = robot.segment(stamp=earlier, objects=[prompt(points=[(*original.shapes[0].centre, 1)])])
    assert answer.success, answer.message
    assert answer.result.header.stamp == earlier
    assert iou(whole_mask(answer.result, answer.result.masks[0]), original.truth[0]) >= GOOD


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
    """Each client gets the answer to its own image."""
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


def test_three_clients_at_once_get_their_own_answers(robot: Robot) -> None:
    """Interleaved requests on their own images and on kept frames, with and without candidates, and one invalid request."""
    clients = [Peer(robot.domain, f"client_{i}") for i in range(3)]
    try:
        shapes = [DISK.moved(50 * i, 20 * i) for i in range(4)]
        kept = [(Scene(shapes=(shape,)), robot.show(Scene(shapes=(shape,)).rgb)) for shape in shapes]
        pending = []
        for round_, (scene, stamp) in enumerate(kept):
            for i, client in enumerate(clients):
                own = Scene(shapes=(DISK.moved(30 * i + 40 * round_, 10 * i),))
                box = prompt(object_id=10 * i + round_ + 1, box=own.shapes[0].box, class_id=f"{i}/{round_}")
                request = Segment.Request(image=image(own.rgb, robot.stamp()), objects=[box])
                expected = own
                if i == 1:
                    box = prompt(object_id=round_ + 1, points=[(*scene.shapes[0].centre, 1)], class_id=f"{i}/{round_}")
                    request = Segment.Request(stamp=stamp, objects=[box], all_candidates=True)
                    expected = scene
                elif i == 2 and round_ == 2:
                    request, expected = Segment.Request(stamp=stamp), None
                future = client.start_call(Segment, "/promptseg/segment", request)
                pending.append((request, expected, future))
        for request, expected, future in pending:
            eventually("an answer", future.done)
            answer = future.result()
            if expected is None:
                assert not answer.success and "no objects" in answer.message
                continue
            assert answer.success, answer.message
            stamp = request.image.header.stamp if request.image.width else request.stamp
            assert answer.result.header.stamp == stamp
            requested = request.objects[0]
            assert set(ids(answer.result)) == {requested.object_id}
            assert {m.class_id for m in answer.result.masks} == {requested.class_id}
            assert (len(answer.result.masks) > 1) == request.all_candidates
            assert iou(whole_mask(answer.result, answer.result.masks[0]), expected.truth[0]) >= GOOD
    finally:
        for client in clients:
            client.close()


def test_a_drawn_mask_and_several_points_in_one_question(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    drawn = prompt(object_id=2, box=scene.shapes[1].box)
    drawn.mask = image(scene.truth[1].astype(np.uint8) * 255, stamp, "mono8")
    points = prompt(object_id=1, points=[(*scene.shapes[0].centre, 1), (*scene.shapes[2].centre, 0)])
    answer = robot.segment(stamp=stamp, objects=[points, drawn])
    assert ids(answer.result) == [1, 2]
    for mask, truth in zip(masks_by_id(answer.result).values(), scene.truth):
        assert iou(mask, truth) >= 0.7


def test_failures_say_why(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    robot.set(prompt_timeout=0.1)
    gone = Time(sec=5)
    broken = image(scene.rgb, robot.stamp())
    broken.step += 1
    box = prompt(box=scene.shapes[0].box)
    for request, words in [
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
        assert words in answer.message, answer.message
        assert answer.result.masks == []

"""How long a click lives: `once`, `hold` and `track`, changed while the node runs."""

from __future__ import annotations

from promptseg_msgs.msg import MaskArray, ObjectMask
from sensor_msgs.msg import RegionOfInterest

from messages import detection, ids, image, pixels, prompt, whole_mask
from robot import Robot
from scenes import DISK, Scene, iou

GOOD = 0.75


def masks_on_next_frame(robot: Robot, scene: Scene) -> MaskArray:
    """Publishes a frame without a prompt; returns its answer."""
    stamp = robot.stamp()
    return robot.ask(lambda: robot.publish_image(image(scene.rgb, stamp)), stamp)


def test_hold_prompts_every_frame_in_the_same_place(robot: Robot) -> None:
    original, moved = Scene(shapes=(DISK,)), Scene(shapes=(DISK.moved(8, 6),))
    stamp = robot.show(original.rgb)
    robot.click(*original.shapes[0].centre, stamp)
    for _ in range(3):
        answer = masks_on_next_frame(robot, moved)
        assert ids(answer) == [1]
        assert iou(whole_mask(answer, answer.masks[0]), moved.truth[0]) >= GOOD


def test_once_is_for_one_frame(robot: Robot, scene: Scene) -> None:
    robot.set({"persistence.default": "once"})
    stamp = robot.show(scene.rgb)
    assert ids(robot.click(*scene.shapes[0].centre, stamp)) == [1]
    before = robot.masks.mark()
    stamp = robot.show(scene.rgb)
    assert [m for m in robot.masks.all(before) if m.masks and m.header.stamp == stamp] == []


def test_once_starts_anew_on_every_frame(robot: Robot, scene: Scene) -> None:
    """A program that publishes one click for each frame gets an answer to that click alone."""
    robot.set({"persistence.default": "once"})
    for i in (0, 1, 2, 1):
        stamp = robot.show(scene.rgb)
        answer = robot.click(*scene.shapes[i].centre, stamp)
        assert ids(answer) == [1]
        assert iou(whole_mask(answer, answer.masks[0]), scene.truth[i]) >= GOOD


def test_track_follows_a_thing_that_moves(robot: Robot) -> None:
    robot.set({"persistence.default": "track"})
    scene = Scene(shapes=(DISK,))
    stamp = robot.show(scene.rgb)
    robot.click(*scene.shapes[0].centre, stamp)
    # At the end the object is away from the click: a held click would miss it.
    for step in range(1, 21):
        scene = Scene(shapes=(DISK.moved(6 * step, 3 * step),))
        answer = masks_on_next_frame(robot, scene)
    click, (x0, y0, _, _) = DISK.centre, scene.shapes[0].box
    assert not (x0 <= click[0] and y0 <= click[1])
    assert ids(answer) == [1]
    assert iou(whole_mask(answer, answer.masks[0]), scene.truth[0]) >= 0.6


def test_a_tracked_thing_is_lost_and_found_again(robot: Robot, scene: Scene) -> None:
    """A parameter decides when an object is lost: with a limit that no mask reaches, every object is."""
    robot.set({"persistence.default": "track"})
    stamp = robot.show(scene.rgb)
    first = robot.click(*scene.shapes[0].centre, stamp)
    assert (first.masks[0].state, first.masks[0].reason) == (ObjectMask.STATE_VISIBLE, "")
    log, boxes = robot.rosout.mark(), robot.detections.mark()
    robot.set({"track.min_iou": 1.0})
    for _ in range(2):
        answer = masks_on_next_frame(robot, scene)
        assert ids(answer) == [1]
        lost = answer.masks[0]
        assert (lost.state, lost.area, lost.roi.width, len(lost.mask.data)) == (ObjectMask.STATE_LOST, 0, 0, 0)
        assert lost.reason.startswith("predicted IoU") and lost.reason.endswith("is below 1.00")
        assert 0 < lost.iou < 1, "that of the mask that was turned down"
        detected = robot.detections.wait("detections", lambda m: m.header.stamp == answer.header.stamp, boxes)
        assert detected.detections == [], "a lost object has no box"
        labels = robot.labels.wait("labels", lambda m: m.header.stamp == answer.header.stamp)
        assert not pixels(labels).any()
    robot.set({"track.min_iou": 0.0})
    answer = masks_on_next_frame(robot, scene)
    assert (answer.masks[0].state, answer.masks[0].reason) == (ObjectMask.STATE_VISIBLE, "")
    assert iou(whole_mask(answer, answer.masks[0]), scene.truth[0]) >= 0.6
    robot.rosout.wait("the log", lambda m: m.msg.startswith("object 1 is found again"), log)
    reports = [m.msg for m in robot.rosout.all(log) if m.msg.startswith("object 1 is lost: predicted IoU")]
    assert len(reports) == 1, "the log reports the change, not every frame"


def test_a_thing_that_leaves_the_picture_is_lost(robot: Robot) -> None:
    robot.set({"persistence.default": "track"})
    scene = Scene(shapes=(DISK,))
    stamp = robot.show(scene.rgb)
    robot.click(*scene.shapes[0].centre, stamp)
    # The predicted IoU depends on the model, but is lower for an object that has disappeared.
    sure = masks_on_next_frame(robot, scene).masks[0].iou
    robot.set({"track.min_iou": round(sure - 0.02, 2)})
    answer = masks_on_next_frame(robot, Scene(shapes=()))
    assert (ids(answer), answer.masks[0].state) == ([1], ObjectMask.STATE_LOST)
    assert answer.masks[0].reason.startswith("predicted IoU")
    # The object is searched where it was last seen.
    answer = masks_on_next_frame(robot, scene)
    assert answer.masks[0].state == ObjectMask.STATE_VISIBLE
    assert iou(whole_mask(answer, answer.masks[0]), scene.truth[0]) >= 0.6


def test_each_source_has_a_persistence_of_its_own(robot: Robot, scene: Scene) -> None:
    """A region for one frame, clicks that are held, prompts that are tracked; empty means `persistence.default`."""
    robot.set({"persistence.default": "once", "persistence.pixel": "hold", "persistence.prompts": "track"})
    stamp = robot.show(scene.rgb)
    robot.click(*scene.shapes[0].centre, stamp)
    assert robot.trigger("new_object").success
    x0, y0, x1, y1 = scene.shapes[1].box
    roi = RegionOfInterest(x_offset=x0, y_offset=y0, width=x1 - x0, height=y1 - y0)
    robot.ask(lambda: robot.peer.publish("region", roi), stamp)
    answer = robot.add(prompt(object_id=9, box=scene.shapes[2].box), stamp=stamp)
    assert ids(answer) == [1, 2, 9]
    # The tracked object moves and is followed; the held object is searched in the same place.
    for step in (1, 2, 3):
        moved = Scene(shapes=(scene.shapes[0], scene.shapes[1], scene.shapes[2].moved(4 * step, 0)))
        answer = masks_on_next_frame(robot, moved)
        assert ids(answer) == [1, 9]
    assert answer.masks[1].state == ObjectMask.STATE_VISIBLE
    robot.set({"persistence.pixel": ""})
    robot.clear()
    stamp = robot.show(scene.rgb)
    robot.click(*scene.shapes[0].centre, stamp)
    before = robot.masks.mark()
    stamp = robot.show(scene.rgb)
    assert [m for m in robot.masks.all(before) if m.masks and m.header.stamp == stamp] == []


def test_the_persistence_of_the_click_counts_not_of_the_frame(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    robot.click(*scene.shapes[0].centre, stamp)
    robot.set({"persistence.default": "once"})
    assert robot.trigger("new_object").success
    robot.click(*scene.shapes[1].centre, stamp)
    assert ids(masks_on_next_frame(robot, scene)) == [1]


def test_detections_live_for_their_own_frame_whatever_the_persistence(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    robot.click(*scene.shapes[0].centre, stamp)
    assert len(ids(robot.detect(stamp, detection(scene.shapes[1].box, "card", "1")))) == 2
    assert ids(masks_on_next_frame(robot, scene)) == [1]

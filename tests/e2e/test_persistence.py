"""How long a click lives: `once`, `hold` and `track`, changed while the node runs."""

from __future__ import annotations

from promptseg_msgs.msg import MaskArray

from messages import detection, ids, image, whole_mask
from robot import Robot
from scenes import DISK, Scene, iou

GOOD = 0.75


def masks_on_next_frame(robot: Robot, scene: Scene) -> MaskArray:
    """The answer that a new frame gets by itself."""
    stamp = robot.stamp()
    return robot.ask(lambda: robot.publish_image(image(scene.rgb, stamp)), stamp)


def test_hold_prompts_every_frame_in_the_same_place(robot: Robot) -> None:
    here, there = Scene(shapes=(DISK,)), Scene(shapes=(DISK.moved(8, 6),))
    stamp = robot.show(here.rgb)
    robot.click(*here.shapes[0].centre, stamp)
    for _ in range(3):
        answer = masks_on_next_frame(robot, there)
        assert ids(answer) == [1]
        assert iou(whole_mask(answer, answer.masks[0]), there.truth[0]) >= GOOD


def test_once_is_for_one_frame(robot: Robot, scene: Scene) -> None:
    robot.set(persistence="once")
    stamp = robot.show(scene.rgb)
    assert ids(robot.click(*scene.shapes[0].centre, stamp)) == [1]
    before = robot.masks.mark()
    stamp = robot.show(scene.rgb)
    assert [m for m in robot.masks.all(before) if m.masks and m.header.stamp == stamp] == []


def test_track_follows_a_thing_that_moves(robot: Robot) -> None:
    robot.set(persistence="track")
    scene = Scene(shapes=(DISK,))
    stamp = robot.show(scene.rgb)
    robot.click(*scene.shapes[0].centre, stamp)
    # In the end it is where the click was not: a held click would miss it.
    for step in range(1, 21):
        scene = Scene(shapes=(DISK.moved(6 * step, 3 * step),))
        answer = masks_on_next_frame(robot, scene)
    click, (x0, y0, _, _) = DISK.centre, scene.shapes[0].box
    assert not (x0 <= click[0] and y0 <= click[1])
    assert ids(answer) == [1]
    assert iou(whole_mask(answer, answer.masks[0]), scene.truth[0]) >= 0.6


def test_a_tracked_thing_is_lost_and_found_again(robot: Robot, scene: Scene) -> None:
    """What counts as lost is a parameter: with a limit that no mask reaches, everything is."""
    robot.set(persistence="track")
    stamp = robot.show(scene.rgb)
    robot.click(*scene.shapes[0].centre, stamp)
    before = robot.rosout.mark()
    robot.set(track_min_iou=1.0)
    assert ids(masks_on_next_frame(robot, scene)) == []
    robot.rosout.wait(
        "a warning", lambda m: m.level == 30 and m.msg.startswith("object 1 is lost: predicted IoU"), before
    )
    robot.set(track_min_iou=0.0)
    assert ids(masks_on_next_frame(robot, scene)) == [1]
    robot.rosout.wait("a message", lambda m: m.msg.startswith("object 1 is found again"), before)


def test_the_persistence_of_the_click_counts_not_of_the_frame(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    robot.click(*scene.shapes[0].centre, stamp)
    robot.set(persistence="once")
    assert robot.trigger("new_object").success
    robot.click(*scene.shapes[1].centre, stamp)
    assert ids(masks_on_next_frame(robot, scene)) == [1]


def test_detections_live_for_their_own_frame_whatever_the_persistence(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    robot.click(*scene.shapes[0].centre, stamp)
    assert len(ids(robot.detect(stamp, detection(scene.shapes[1].box, "card", "1")))) == 2
    assert ids(masks_on_next_frame(robot, scene)) == [1]

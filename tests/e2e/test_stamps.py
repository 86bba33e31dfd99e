"""Prompts are decoded on the frame of their stamp, whatever frames arrived later."""

from __future__ import annotations

from messages import detection, detections, ids, image, masks_by_id, pixel, prompt, stamp_of, whole_mask
from robot import Robot
from scenes import DISK, Scene, iou

GOOD = 0.75
HERE = Scene(shapes=(DISK,))
THERE = Scene(shapes=(DISK.moved(140, 60),))


def test_a_click_on_an_older_frame_gives_the_mask_of_that_time(robot: Robot) -> None:
    earlier = robot.show(HERE.rgb)
    for _ in range(5):
        robot.show(THERE.rgb)
    answer = robot.click(*HERE.shapes[0].centre, earlier)
    mask = whole_mask(answer, answer.masks[0])
    assert iou(mask, HERE.truth[0]) >= GOOD
    assert iou(mask, THERE.truth[0]) < 0.2


def test_a_box_on_an_older_frame_gives_the_mask_of_that_time(robot: Robot) -> None:
    earlier = robot.show(HERE.rgb)
    robot.show(THERE.rgb)
    answer = robot.add(prompt(box=HERE.shapes[0].box), stamp=earlier)
    assert iou(whole_mask(answer, answer.masks[0]), HERE.truth[0]) >= GOOD


def test_detections_are_decoded_on_the_detectors_frame(robot: Robot) -> None:
    earlier = robot.show(HERE.rgb)
    now = robot.show(THERE.rgb)
    answer = robot.detect(earlier, detection(HERE.shapes[0].box, "disk", "track-7"))
    assert iou(whole_mask(answer, answer.masks[0]), HERE.truth[0]) >= GOOD
    # Objects of detections live for their own frame.
    before = robot.masks.mark()
    robot.show(THERE.rgb)
    assert all(not m.masks for m in robot.masks.all(before))
    assert stamp_of(answer) != (now.sec, now.nanosec)


def test_a_prompt_waits_for_its_frame(robot: Robot) -> None:
    """A click may arrive before its image."""
    stamp = robot.stamp()
    before = robot.masks.mark()
    robot.send_click(*HERE.shapes[0].centre, stamp)
    robot.publish_image(image(HERE.rgb, stamp))
    answer = robot.masks.wait("masks", lambda m: m.header.stamp == stamp and m.masks, before)
    assert iou(whole_mask(answer, answer.masks[0]), HERE.truth[0]) >= GOOD


def test_a_frame_that_never_comes_is_not_waited_for_for_ever(robot: Robot) -> None:
    robot.show(HERE.rgb)
    robot.set(prompt_timeout=0.2)
    future = robot.stamp()
    future.sec += 1000
    robot.expect_refusal("frame_gone", "came within", lambda: robot.send_click(50, 50, future))


def test_a_frame_that_is_gone_is_refused(robot: Robot) -> None:
    robot.set({"keep.frames": 2, "keep.images": 0})
    gone = robot.show(HERE.rgb)
    for _ in range(3):
        robot.show(HERE.rgb)
    robot.expect_refusal("frame_gone", "is gone", lambda: robot.send_click(50, 50, gone))
    detected = detections(gone, detection(HERE.shapes[0].box, "disk", "1"))
    robot.expect_refusal("frame_gone", "is gone", lambda: robot.peer.publish("detections", detected))


def test_a_click_on_an_image_that_was_refused_says_why(robot: Robot) -> None:
    robot.show(HERE.rgb)
    broken = image(HERE.rgb, robot.stamp())
    broken.encoding = "rgb7"
    robot.expect_refusal("bad_image", "unknown encoding", lambda: robot.publish_image(broken))
    why = 'was refused: unknown encoding "rgb7"'
    robot.expect_refusal("frame_gone", why, lambda: robot.send_click(50, 50, broken.header.stamp))


def test_every_frame_of_a_burst_answers_for_itself_or_is_refused(robot: Robot) -> None:
    robot.set(prompt_timeout=0.3)
    burst = [Scene(shapes=(DISK.moved(20 * i, 10 * i),)) for i in range(6)]
    stamps = [robot.stamp() for _ in burst]
    robot.set({"persistence.default": "once"})
    values = robot.diagnostic_values(robot.diagnostics.mark())
    before, refused = robot.masks.mark(), int(values.get("refused: frame_gone", 0))
    for frame, stamp in zip(burst, stamps):
        robot.publish_image(image(frame.rgb, stamp))
    robot.wait_encoded(stamps[-1])
    for frame, stamp in zip(burst, stamps):
        assert robot.trigger("new_object").success
        robot.peer.publish("pixel", pixel(*frame.shapes[0].centre, stamp))
    robot.masks.wait("the answer on the last frame", lambda m: m.header.stamp == stamps[-1] and m.masks, before)
    answered = {stamp_of(m): m for m in robot.masks.all(before) if m.masks}
    for frame, stamp in zip(burst, stamps):
        if answer := answered.pop((stamp.sec, stamp.nanosec), None):
            newest = max(ids(answer))
            assert iou(masks_by_id(answer)[newest], frame.truth[0]) >= GOOD
        else:
            refused += 1
    assert answered == {}
    # Warnings are rate-limited, the count is not.
    robot.diagnostics.wait(
        "the count of refusals", lambda _: robot.refused("frame_gone") == refused, robot.diagnostics.mark()
    )

"""Several objects: clicks that add up, new objects, corrections, and the four operations of a PromptArray."""

from __future__ import annotations

import numpy as np
from promptseg_msgs.msg import PromptArray

from messages import ids, image, masks_by_id, pixels, prompt, prompts, whole_mask
from robot import Robot
from scenes import Scene, iou

GOOD = 0.75


def test_new_object_separates_clicks(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    robot.click(*scene.shapes[0].centre, stamp)
    assert robot.trigger("new_object").success
    robot.click(*scene.shapes[1].centre, stamp)
    assert robot.trigger("new_object").success
    answer = robot.click(*scene.shapes[2].centre, stamp)
    assert ids(answer) == [1, 2, 3]
    for number, mask in masks_by_id(answer).items():
        assert iou(mask, scene.truth[number - 1]) >= GOOD


def test_clicks_add_up_on_the_current_object(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    x, y = scene.shapes[0].centre
    robot.click(x, y, stamp)
    answer = robot.click(x + 10, y + 10, stamp)
    assert ids(answer) == [1]
    mask = whole_mask(answer, answer.masks[0])
    assert mask[int(y), int(x)] and mask[int(y) + 10, int(x) + 10]
    # The quality depends on how the model uses its own mask: this only checks that there is a mask.
    assert iou(mask, scene.truth[0]) >= 0.4


def test_clear_forgets_everything_and_numbers_begin_again(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    robot.click(*scene.shapes[0].centre, stamp)
    before = robot.masks.mark(), robot.mask.mark()
    assert robot.trigger("clear").success
    empty = robot.masks.wait("an answer without objects", lambda m: not m.masks, before[0])
    assert empty.header.stamp == stamp
    robot.mask.wait("an empty mask", lambda m: not pixels(m).any(), before[1])
    stamp = robot.show(scene.rgb)
    assert ids(robot.click(*scene.shapes[1].centre, stamp)) == [1]


def test_a_background_click_changes_the_mask(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    (x0, y0, _, _), (_, _, x1, y1) = scene.shapes[0].box, scene.shapes[2].box
    # A box around two shapes; then a background click excludes one of them.
    first = robot.add(prompt(object_id=1, box=(x0, y0, x1, y1)), stamp=stamp)
    second = robot.add(prompt(object_id=1, points=[(*scene.shapes[2].centre, 0)], refine=True), stamp=stamp)
    assert not np.array_equal(whole_mask(first, first.masks[0]), whole_mask(second, second.masks[0]))


def test_what_a_background_click_lies_on_is_not_in_the_mask(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    meant, not_meant = scene.shapes[0].centre, scene.shapes[2].centre
    answer = robot.add(prompt(object_id=1, points=[(*meant, 1), (*not_meant, 0)]), stamp=stamp)
    mask = whole_mask(answer, answer.masks[0])
    assert mask[scene.truth[0]].mean() > 0.7
    assert mask[scene.truth[2]].mean() < 0.3


def test_clicks_can_be_made_background_by_a_parameter(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    first = robot.add(prompt(object_id=1, box=scene.shapes[1].box), stamp=stamp)
    robot.set({"click.label": "background"})
    robot.expect_refusal("bad_prompt", "only background", lambda: robot.send_click(*scene.shapes[0].centre, stamp))
    assert ids(first) == [1]


def test_set_add_remove_and_clear(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    disk, card, egg = (prompt(object_id=n, box=s.box) for n, s in zip((10, 20, 30), scene.shapes))
    assert ids(robot.prompt(PromptArray.SET, disk, card, stamp=stamp)) == [10, 20]
    assert ids(robot.prompt(PromptArray.ADD, egg, stamp=stamp)) == [10, 20, 30]
    assert ids(robot.prompt(PromptArray.REMOVE, prompt(object_id=20), stamp=stamp)) == [10, 30]
    assert ids(robot.prompt(PromptArray.SET, card, stamp=stamp)) == [20]
    assert ids(robot.prompt(PromptArray.CLEAR, stamp=stamp)) == []


def test_an_object_without_number_gets_the_next_free_one(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    boxes = [prompt(box=s.box) for s in scene.shapes]
    assert ids(robot.add(boxes[0], stamp=stamp)) == [1]
    assert ids(robot.add(boxes[1], boxes[2], stamp=stamp)) == [1, 2, 3]


def test_a_drawn_mask_is_a_prompt(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    drawn = prompt(object_id=1, box=scene.shapes[0].box)
    drawn.mask = image(scene.truth[0].astype(np.uint8) * 255, stamp, "mono8")
    answer = robot.add(drawn, stamp=stamp)
    assert iou(whole_mask(answer, answer.masks[0]), scene.truth[0]) >= GOOD


def test_refining_differs_from_starting_again(robot: Robot, scene: Scene) -> None:
    """With refine, points are added to the existing points; without it, they replace them."""
    stamp = robot.show(scene.rgb)
    on, beside = (*scene.shapes[0].centre, 1), (*scene.shapes[1].centre, 1)
    robot.add(prompt(object_id=1, points=[on]), stamp=stamp)
    again = robot.add(prompt(object_id=1, points=[beside]), stamp=stamp)
    alone = robot.prompt(PromptArray.SET, prompt(object_id=1, points=[beside]), stamp=stamp)
    assert np.array_equal(whole_mask(again, again.masks[0]), whole_mask(alone, alone.masks[0]))


def test_refine_feeds_the_previous_logits_back(robot: Robot, scene: Scene) -> None:
    """The same two points, one after the other with `refine`, and both at once, without an earlier mask."""
    stamp = robot.show(scene.rgb)
    (x, y) = scene.shapes[0].centre
    on, also = (x, y, 1), (x + 15, y + 15, 1)
    robot.add(prompt(object_id=1, points=[on]), stamp=stamp)
    refined = robot.add(prompt(object_id=1, points=[also], refine=True), stamp=stamp)
    at_once = robot.prompt(PromptArray.SET, prompt(object_id=1, points=[on, also]), stamp=stamp)
    assert not np.array_equal(whole_mask(refined, refined.masks[0]), whole_mask(at_once, at_once.masks[0]))


def test_several_objects_with_mixed_prompts_in_one_message(robot: Robot, scene: Scene) -> None:
    """Objects with a box, with points of both kinds, and with a mask and a box. One is refined, the others stay unchanged."""
    stamp = robot.show(scene.rgb)
    drawn = prompt(object_id=3, box=scene.shapes[2].box, class_id="egg")
    drawn.mask = image(scene.truth[2].astype(np.uint8) * 255, stamp, "mono8")
    points = prompt(object_id=1, points=[(*scene.shapes[0].centre, 1), (*scene.shapes[2].centre, 0)], class_id="disk")
    answer = robot.prompt(PromptArray.SET, points, prompt(object_id=2, box=scene.shapes[1].box), drawn, stamp=stamp)
    assert [(m.object_id, m.class_id) for m in answer.masks] == [(1, "disk"), (2, ""), (3, "egg")]
    before = masks_by_id(answer)
    for number, mask in before.items():
        assert iou(mask, scene.truth[number - 1]) >= 0.7
    answer = robot.add(prompt(object_id=1, points=[(5, 5, 0)], refine=True), stamp=stamp)
    after = masks_by_id(answer)
    assert answer.masks[0].class_id == "disk", "a refinement without a class keeps it"
    assert np.array_equal(before[2], after[2]) and np.array_equal(before[3], after[3])


def test_clear_does_not_read_the_objects(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    robot.add(prompt(object_id=1, box=scene.shapes[0].box), stamp=stamp)
    nonsense = prompt(object_id=3), prompt(object_id=3), prompt(object_id=70_000, points=[(1, 1, 9)])
    assert ids(robot.prompt(PromptArray.CLEAR, *nonsense, stamp=stamp)) == []
    stamp = robot.show(scene.rgb)
    assert ids(robot.add(prompt(box=scene.shapes[0].box), stamp=stamp)) == [1]


def test_many_objects_in_one_message(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    x, y = scene.shapes[0].centre
    many = [prompt(object_id=n, points=[(x + n % 7, y + n // 7, 1)]) for n in range(1, 41)]
    answer = robot.add(*many, stamp=stamp)
    assert ids(answer) == list(range(1, 41))


def test_prompts_of_a_stopped_program_cost_nothing(robot: Robot, scene: Scene) -> None:
    """An empty ADD is no error, and leaves the existing objects unchanged."""
    stamp = robot.show(scene.rgb)
    robot.add(prompt(object_id=5, box=scene.shapes[0].box), stamp=stamp)
    robot.peer.publish("prompts", prompts(PromptArray.ADD, stamp=stamp))
    more = prompts(PromptArray.ADD, prompt(object_id=6, box=scene.shapes[1].box), stamp=stamp)
    answer = robot.ask(lambda: robot.peer.publish("prompts", more), stamp, lambda m: 6 in ids(m))
    assert ids(answer) == [5, 6]

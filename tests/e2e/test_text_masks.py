"""Text prompts with a text model that makes masks itself, as SAM 3 does: its masks are published without the decoder.

The text model of tests/fixtures/colour_masks knows the colours of the scene. Its scores are constants, by which its masks are told
from those of the decoder.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from promptseg_msgs.msg import MaskArray, ObjectMask, TextPhrase
from vision_msgs.msg import Detection3DArray

import depth_camera
from depth_camera import LENS, slope
from depth_robot import DEPTH_QOS, position
from depth_robot import PARAMETERS as DEPTH
from harness import ROOT, Inbox, eventually
from lifecycle import Manager
from messages import ids, masks_by_id, whole_mask
from phrases import classes, end, mask_of, named, robot, say, set_text, values_of
from pointing import calibrate
from robot import Robot
from scenes import CARD, DISK, EGG, Scene, iou

COLOURS = ROOT / "tests" / "fixtures" / "colour_masks"
POINTS_ALONE = ROOT / "tests" / "fixtures" / "transformers_sam"
PARAMETERS = {"text.model": str(COLOURS), "text.rate": 30.0} | DEPTH
LOG_LEVEL = "info"
# Score and presence of a colour that a phrase names: those of the constructed model.
SCORE, PRESENCE = 0.99298, 8.0
# Lowest IoU of a mask of the text model with the true mask.
EXACT = 0.9


@pytest.fixture(scope="module")
def objects(shared_robot: Robot) -> Inbox:
    return shared_robot.peer.subscribe(Detection3DArray, "/promptseg/detections_3d", 50)


def is_own(mask: ObjectMask) -> bool:
    """Whether a mask has the scores that the text model gives."""
    same = [mask.iou, mask.detection_score, *mask.candidate_ious]
    return same == pytest.approx([SCORE] * 3, abs=1e-4) and mask.object_score == pytest.approx(PRESENCE, abs=1e-3)


def fits(answer: MaskArray, class_id: str, scene: Scene, shape: int) -> bool:
    mask = mask_of(answer, class_id)
    return is_own(mask) and iou(whole_mask(answer, mask), scene.truth[shape]) >= EXACT


def test_phrases_by_topic_are_masks_on_every_output(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    marks = {name: inbox.mark() for name, inbox in robot.outputs.items()}
    say(robot, "red ball, yellow egg, green frog")
    answer = named(robot, "red ball", "yellow egg", since=marks["masks"])
    assert answer.header.stamp == stamp
    assert fits(answer, "red ball", scene, 0) and fits(answer, "yellow egg", scene, 2)
    assert min(ids(answer)) > 1000
    whole = {m.object_id: whole_mask(answer, m) for m in answer.masks}

    def on(name: str, accept: Callable = lambda m: True):  # noqa: ANN202
        return robot.outputs[name].wait(name, lambda m: m.header.stamp == stamp and accept(m), marks[name])

    found = on("detections", lambda m: len(m.detections) == 2)
    assert {d.id for d in found.detections} == {"red ball 1", "yellow egg 1"}
    assert all(d.results[0].hypothesis.score == pytest.approx(SCORE, abs=1e-4) for d in found.detections)
    union = on("mask", lambda m: any(m.data))
    inside = np.frombuffer(union.data, np.uint8).reshape(scene.rgb.shape[:2]) > 0
    assert np.array_equal(inside, np.any(list(whole.values()), 0))
    labels = np.frombuffer(on("labels", lambda m: any(m.data)).data, np.uint16).reshape(scene.rgb.shape[:2])
    assert all(np.array_equal(labels == number, mask) for number, mask in whole.items())
    overlay = on("overlay", lambda m: (np.frombuffer(m.data, np.uint8).reshape(scene.rgb.shape) != scene.rgb).any())
    drawn = (np.frombuffer(overlay.data, np.uint8).reshape(scene.rgb.shape) != scene.rgb).any(2)
    assert all(drawn[mask].mean() > 0.9 for mask in whole.values())


def test_one_phrase_may_name_several_objects_and_an_object_several_phrases(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    before, boxes = robot.masks.mark(), robot.detections.mark()
    say(robot, "thing, red ball")
    answer = named(robot, "thing", "thing", "thing", "red ball", since=before, stamp=stamp)
    things = [whole_mask(answer, m) for m in answer.masks if m.class_id == "thing"]
    assert all(max(iou(thing, truth) for thing in things) >= EXACT for truth in scene.truth)
    assert fits(answer, "red ball", scene, 0)
    found = robot.detections.wait("detections", lambda m: m.header.stamp == stamp and len(m.detections) == 4, boxes)
    assert {d.id for d in found.detections} == {"thing 1", "thing 2", "thing 3", "red ball 1"}


def test_phrases_change_and_end_while_frames_come(robot: Robot) -> None:
    def scene_at(step: int) -> Scene:
        return Scene(shapes=(DISK.moved(4 * step, 0), CARD, EGG))

    before = robot.masks.mark()
    say(robot, "red ball")
    for step in range(3):
        scene = scene_at(step)
        stamp = robot.show(scene.rgb)
        assert fits(named(robot, "red ball", since=before, stamp=stamp), "red ball", scene, 0)
    before = robot.masks.mark()
    say(robot, "blue card")
    scene = scene_at(3)
    stamp = robot.show(scene.rgb)
    assert fits(named(robot, "blue card", since=before, stamp=stamp), "blue card", scene, 1)
    end(robot)
    before = robot.masks.mark()
    robot.show(scene_at(4).rgb)
    # A click is answered on the newest frame: what a search would have found by then is not there.
    stamp = robot.show(scene_at(5).rgb)
    robot.click(*EGG.centre, stamp)
    assert [classes(m) for m in robot.masks.all(before) if any(classes(m))] == []


def test_an_older_frame_is_searched_first(robot: Robot) -> None:
    old, new = Scene(shapes=(DISK, EGG)), Scene(shapes=(DISK.moved(140, 60),))
    stamp = robot.show(old.rgb)
    newest = [robot.show(new.rgb) for _ in range(3)][-1]
    before = robot.masks.mark()
    assert set_text(robot, "red ball", "yellow egg", stamp=stamp).success
    answer = named(robot, "red ball", "yellow egg", since=before)
    assert answer.header.stamp == stamp
    assert fits(answer, "red ball", old, 0) and fits(answer, "yellow egg", old, 1)
    answer = named(robot, "red ball", since=before)
    assert answer.header.stamp == newest and fits(answer, "red ball", new, 0)


def test_clicks_go_on_beside_the_masks_of_phrases(robot: Robot) -> None:
    first = Scene()
    stamp = robot.show(first.rgb)
    clicked = robot.click(*EGG.centre, stamp)
    assert not is_own(clicked.masks[0])
    before = robot.masks.mark()
    say(robot, "red ball")
    answer = named(robot, "", "red ball", since=before, stamp=stamp)
    assert fits(answer, "red ball", first, 0)
    assert masks_by_id(answer).keys() >= {1} and (masks_by_id(answer)[1] == masks_by_id(clicked)[1]).all()
    before = robot.masks.mark()
    robot.send_click(*CARD.centre, stamp)
    beside = robot.masks.wait("the click among them", lambda m: m.header.stamp == stamp and "red ball" in classes(m), before)
    assert fits(beside, "red ball", first, 0) and 1 in ids(beside)


def test_least_scores_and_the_number_of_objects_are_limits(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    before = robot.masks.mark()
    set_text(robot, TextPhrase(text="red ball", min_score=0.995), "blue card")
    named(robot, "blue card", since=before, stamp=stamp)
    robot.set({"text.max_objects": 2})
    before = robot.masks.mark()
    assert set_text(robot, "thing").success
    stamp = robot.show(scene.rgb)
    named(robot, "thing", "thing", since=before, stamp=stamp)


def test_objects_of_phrases_are_measured_in_metres(robot: Robot, objects: Inbox, scene: Scene) -> None:
    surface = slope()
    say(robot, "blue card")

    def measured() -> tuple[MaskArray, Detection3DArray] | None:
        # Again until the node has the calibration and the subscription of the depth camera.
        calibrate(robot, LENS)
        masks, before = robot.masks.mark(), objects.mark()
        stamp = robot.show(scene.rgb)
        robot.peer.publish("depth", depth_camera.image(surface, stamp, "32FC1"), DEPTH_QOS)
        answer = named(robot, "blue card", since=masks, stamp=stamp)
        objects.wait(f"objects in metres of {stamp}", lambda m: m.header.stamp == stamp, before)
        found = [m for m in objects.all(before) if m.header.stamp == stamp and m.detections]
        return (answer, found[0]) if found else None

    answer, found = eventually("an object in metres", measured, timeout=60)
    [card] = found.detections
    assert (card.id, card.results[0].hypothesis.class_id) == ("blue card 1", "blue card")
    # All pixels of the mask, of which the node measures the certain ones.
    expected = depth_camera.reference(whole_mask(answer, answer.masks[0]), surface)
    assert np.abs(position(card) - expected.centroid).max() < 0.02


def test_the_diagnostics_name_the_parts_of_the_model(robot: Robot, scene: Scene) -> None:
    robot.show(scene.rgb)
    say(robot, "red ball")
    counted = robot.diagnostics.wait(
        "a search", lambda m: int(values_of(m).get("text boxes", 0)) > 0, robot.diagnostics.mark()
    )
    values = values_of(counted)
    assert values["text model"] == "colour masks"
    assert all(part in values["text providers"] for part in ("image tower on", "detector on", "text tower on"))


def test_a_phrase_that_is_too_long_is_refused(robot: Robot) -> None:
    robot.expect_refusal("bad_phrase", "17 tokens", lambda: say(robot, "red " * 15))
    assert set_text(robot, "red ball").success


def test_the_model_beside_it_need_not_take_boxes(start_robot: Callable[..., Robot]) -> None:
    robot = start_robot({"autostart": False, "model": str(POINTS_ALONE), "text.model": str(COLOURS)})
    assert Manager(robot.peer).change("configure"), robot.process.log()

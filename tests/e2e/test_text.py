"""Text prompts: phrases by topic, service, parameter and console become masks of the objects that they name.

The text model of tests/fixtures/colour_text knows the colours of the scene, so that each phrase has one right answer.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from builtin_interfaces.msg import Time
from promptseg_msgs.msg import MaskArray, TextPhrase

from browser import CONSOLE, Tab, needs_chromium, url_of
from harness import ROOT, eventually
from lifecycle import Manager
from messages import ids, masks_by_id, prompt, whole_mask
from phrases import classes, end, mask_of, named, robot, say, set_text, values_of
from robot import GOOD, Robot
from scenes import CARD, DISK, EGG, Scene, iou

COLOURS = ROOT / "tests" / "fixtures" / "colour_text"
PARAMETERS = {"text.model": str(COLOURS), "text.rate": 30.0} | CONSOLE
LOG_LEVEL = "info"


def fits(answer: MaskArray, class_id: str, scene: Scene, shape: int) -> bool:
    return iou(whole_mask(answer, mask_of(answer, class_id)), scene.truth[shape]) >= GOOD


def test_phrases_by_topic_find_their_objects(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    before, boxes = robot.masks.mark(), robot.detections.mark()
    say(robot, "red ball, yellow egg,, RED  ball , green frog")
    answer = named(robot, "red ball", "yellow egg", since=before)
    assert answer.header.stamp == stamp
    assert fits(answer, "red ball", scene, 0) and fits(answer, "yellow egg", scene, 2)
    assert min(ids(answer)) > 1000
    assert all(0.9 < m.detection_score <= 1 for m in answer.masks)
    out = robot.detections.wait("detections", lambda m: m.header.stamp == stamp and len(m.detections) == 2, boxes)
    found = {d.results[0].hypothesis.class_id: d.id for d in out.detections}
    assert found == {"red ball": "red ball 1", "yellow egg": "yellow egg 1"}


def test_phrases_change_and_end_while_frames_come(robot: Robot) -> None:
    def scene_at(step: int) -> Scene:
        return Scene(shapes=(DISK.moved(4 * step, 0), CARD, EGG))

    before = robot.masks.mark()
    say(robot, "red ball")
    for step in range(4):
        scene = scene_at(step)
        stamp = robot.show(scene.rgb)
        answer = named(robot, "red ball", since=before, stamp=stamp)
        assert fits(answer, "red ball", scene, 0)
    before = robot.masks.mark()
    say(robot, "blue card")
    scene = scene_at(4)
    stamp = robot.show(scene.rgb)
    named(robot, "blue card", since=before, stamp=stamp)
    end(robot)
    before = robot.masks.mark()
    for step in range(5, 8):
        robot.show(scene_at(step).rgb)
    # A click is answered on the newest frame: what a search would have found by then is not there.
    stamp = robot.show(scene_at(8).rgb)
    robot.click(*EGG.centre, stamp)
    assert [classes(m) for m in robot.masks.all(before) if any(classes(m))] == []


def test_an_object_keeps_its_name_while_it_moves(robot: Robot) -> None:
    say(robot, "red ball")
    names = set()
    for step in range(4):
        before = robot.detections.mark()
        stamp = robot.show(Scene(shapes=(DISK.moved(10 * step, 0),)).rgb)
        found = robot.detections.wait("a detection", lambda m, s=stamp: m.header.stamp == s and m.detections, before)
        names |= {d.id for d in found.detections}
    assert names == {"red ball 1"}
    before = robot.detections.mark()
    # Elsewhere it is another object.
    stamp = robot.show(Scene(shapes=(DISK.moved(150, 60),)).rgb)
    found = robot.detections.wait("a detection", lambda m: m.header.stamp == stamp and m.detections, before)
    assert [d.id for d in found.detections] == ["red ball 2"]


def test_the_service_answers_what_was_understood(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    before = robot.masks.mark()
    long = " ".join(["red"] * 15)
    answer = set_text(
        robot,
        TextPhrase(text="red  ball", class_id="toy", min_score=0.5),
        TextPhrase(text="blue card", min_score=0.999),
        "yellow egg",
        "Yellow egg",
        TextPhrase(text="red ball", class_id="other"),
        "",
        long,
        TextPhrase(text="egg", min_score=1.5),
        "x" * 129,
    )
    assert answer.success and answer.message == ""
    accepted = [(p.text, p.class_id, round(p.min_score, 3)) for p in answer.accepted]
    assert accepted == [("red ball", "toy", 0.5), ("blue card", "blue card", 0.999), ("yellow egg", "yellow egg", 0.0)]
    reasons = {r.text: r.reason for r in answer.refused}
    assert set(reasons) == {"red ball", "", long, "egg", "x" * 129}
    assert "given twice" in reasons["red ball"]
    assert "without words" in reasons[""]
    assert "17 tokens" in reasons[long] and "at most 16" in reasons[long]
    assert "1.5, expected 0 to 1" in reasons["egg"]
    assert "129 characters, expected at most 128" in reasons["x" * 129]
    # The score of the card, 0.993, is below its own threshold.
    masks = named(robot, "toy", "yellow egg", since=before, stamp=stamp)
    assert fits(masks, "toy", scene, 0)
    ended = set_text(robot)
    assert ended.success and not ended.accepted and not ended.refused


def test_refused_phrases_change_nothing(robot: Robot, scene: Scene) -> None:
    assert set_text(robot, "red ball").success
    refused = set_text(robot, "x" * 200, "\x1b[31m")
    assert not refused.success and len(refused.refused) == 2 and "control character" in refused.message
    before = robot.masks.mark()
    stamp = robot.show(scene.rgb)
    named(robot, "red ball", since=before, stamp=stamp)


def test_an_older_frame_is_searched_first(robot: Robot) -> None:
    old = Scene(shapes=(DISK, EGG))
    stamp = robot.show(old.rgb)
    new = Scene(shapes=(DISK.moved(140, 60),))
    newest = [robot.show(new.rgb) for _ in range(3)][-1]
    before = robot.masks.mark()
    assert set_text(robot, "red ball", "yellow egg", stamp=stamp).success
    answer = named(robot, "red ball", "yellow egg", since=before)
    assert answer.header.stamp == stamp
    assert fits(answer, "red ball", old, 0) and fits(answer, "yellow egg", old, 1)
    # Then the newest frame.
    answer = named(robot, "red ball", since=before)
    assert answer.header.stamp == newest and fits(answer, "red ball", new, 0)


def test_a_frame_that_is_gone_is_counted_and_the_newest_is_searched(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    gone = int(robot.diagnostic_values()["text frames gone"])
    before = robot.masks.mark()
    robot.expect_refusal("frame_gone", "is gone", lambda: set_text(robot, "red ball", stamp=Time(sec=7)))
    named(robot, "red ball", since=before, stamp=stamp)
    assert int(robot.diagnostic_values(robot.diagnostics.mark())["text frames gone"]) > gone


def test_clicks_and_tracks_go_on_beside_phrases(robot: Robot) -> None:
    robot.set({"persistence.default": "track"})
    first = Scene()
    stamp = robot.show(first.rgb)
    robot.click(*EGG.centre, stamp)
    say(robot, "red ball")
    for step in range(1, 4):
        scene = Scene(shapes=(DISK.moved(3 * step, 0), CARD, EGG.moved(-3 * step, 0)))
        before = robot.masks.mark()
        stamp = robot.show(scene.rgb)
        answer = named(robot, "", "red ball", since=before, stamp=stamp)
        assert iou(masks_by_id(answer)[1], scene.truth[2]) >= GOOD, "the clicked egg is followed"
        assert fits(answer, "red ball", scene, 0)
    before = robot.masks.mark()
    robot.send_click(*CARD.centre, stamp)
    robot.masks.wait("the click among them", lambda m: m.header.stamp == stamp and 1 in ids(m), before)
    answer = robot.add(prompt(object_id=7, box=CARD.box), stamp=stamp)
    assert 7 in ids(answer)


def test_the_parameters_work_while_the_node_runs(robot: Robot, scene: Scene) -> None:
    robot.show(scene.rgb)
    before = robot.masks.mark()
    robot.set({"text.phrases": ["red ball", "blue card, yellow egg"]})
    named(robot, "red ball", "blue card", "yellow egg", since=before)
    before = robot.masks.mark()
    robot.set({"text.max_objects": 1})
    stamp = robot.show(scene.rgb)
    robot.masks.wait("one object", lambda m: m.header.stamp == stamp and len(m.masks) == 1, before)
    robot.set({"text.max_objects": 20, "text.min_score": 0.999})
    before = robot.masks.mark()
    stamp = robot.show(scene.rgb)
    searches = lambda m: float(values_of(m)["text searches (1/s)"])  # noqa: E731
    robot.diagnostics.wait("a search of the frame", lambda m: searches(m) > 0, robot.diagnostics.mark())
    assert not any(m.masks for m in robot.masks.all(before) if m.header.stamp == stamp)
    refused = robot.set_parameter("text.phrases", ["ok", "x" * 129])
    assert not refused.successful and "129 characters" in refused.reason
    robot.set({"text.phrases": []})
    robot.diagnostics.wait("the end", lambda m: values_of(m)["text phrases"] == "none", robot.diagnostics.mark())


def test_without_a_rate_each_change_is_searched_for_once(robot: Robot, scene: Scene) -> None:
    robot.set({"text.rate": 0.0})
    stamp = robot.show(scene.rgb)
    before = robot.masks.mark()
    assert set_text(robot, "red ball").success
    named(robot, "red ball", since=before, stamp=stamp)
    later = [robot.show(scene.rgb) for _ in range(3)]
    before = robot.masks.mark()
    assert set_text(robot, "blue card").success
    named(robot, "blue card", since=before, stamp=later[-1])
    assert not any(classes(m) == ["red ball"] for m in robot.masks.all(before))


def test_the_diagnostics_of_text(robot: Robot, scene: Scene) -> None:
    robot.show(scene.rgb)
    before = robot.masks.mark()
    say(robot, "red ball, person")
    named(robot, "red ball", since=before)
    values = robot.diagnostics.wait(
        "the phrases", lambda m: values_of(m).get("text phrases") == "red ball, person", robot.diagnostics.mark()
    )
    values = values_of(values)
    assert values["text model"] == "colours" and "image tower on" in values["text providers"]
    assert int(values["text searches"]) > 0 and int(values["text boxes"]) > 0
    assert float(values["last text search (ms)"]) > 0 and float(values["text search max (ms)"]) > 0


def test_bad_texts_are_refused_and_counted(robot: Robot, scene: Scene) -> None:
    before = int(robot.diagnostic_values()["text phrases refused"])
    for text, words in [
        ("x" * 129, "129 characters, expected at most 128"),
        (",".join(f"cup {i}" for i in range(101)), "101 phrases, expected at most 100"),
        ("cup," * 5000, "20000 bytes, expected at most 16384"),
        ("a\x01b", "control character"),
        ("red " * 15, "17 tokens"),
    ]:
        robot.expect_refusal("bad_phrase", words, lambda text=text: say(robot, text))
    assert int(robot.diagnostic_values(robot.diagnostics.mark())["text phrases refused"]) >= before + 5
    robot.click_answered(scene)


# ------------------------------------------------------------------------------------------------- other nodes


def test_without_a_text_model_phrases_are_refused(start_robot: Callable[..., Robot], scene: Scene) -> None:
    robot = start_robot({"text.phrases": ["cup"]}).connect()
    assert "text.phrases refused: there is no text model" in robot.process.log()
    robot.expect_refusal("no_text_model", "set the parameter text.model", lambda: say(robot, "red ball"))
    answer = set_text(robot, "red ball")
    assert not answer.success and "there is no text model" in answer.message
    assert "text model" not in robot.diagnostic_values()
    robot.click_answered(scene)


def test_phrases_of_the_parameters_are_searched_for_after_activate(
    start_robot: Callable[..., Robot], scene: Scene
) -> None:
    robot = start_robot(PARAMETERS | {"text.phrases": ["red ball"]}).connect()
    before = robot.masks.mark()
    stamp = robot.show(scene.rgb)
    named(robot, "red ball", since=before, stamp=stamp)
    manager = Manager(robot.peer)
    assert manager.change("deactivate")
    answer = set_text(robot, "blue card")
    assert not answer.success and "not active" in answer.message
    assert manager.change("activate")
    robot.until_overlay(scene.rgb)
    before = robot.masks.mark()
    stamp = robot.show(scene.rgb)
    named(robot, "red ball", since=before, stamp=stamp)


def broken(folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    shutil.copytree(COLOURS, folder)
    description = json.loads((folder / "bundle.json").read_text())
    change(description)
    (folder / "bundle.json").write_text(json.dumps(description))
    return folder


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"text.model": "/nowhere"}, "/nowhere is no text model"),
        ({"text.model": str(ROOT / "tests/golden/sam")}, "is no text model"),
        ({"text.model": str(COLOURS), "text.bank": "/nowhere.safetensors"}, "/nowhere.safetensors"),
        # The export of transformers takes points alone.
        ({"text.model": str(COLOURS), "model": str(ROOT / "tests/fixtures/transformers_sam")}, "takes none"),
    ],
)
def test_a_model_that_cannot_be_used_ends_configure_with_the_reason(
    start_robot: Callable[..., Robot], parameters: dict[str, Any], words: str
) -> None:
    robot = start_robot({"autostart": False} | parameters)
    manager = Manager(robot.peer)
    assert not manager.change("configure")
    assert manager.state() == "unconfigured"
    eventually("the reason in the log", lambda: words in robot.process.log())


# ------------------------------------------------------------------------------------------------- the console


@needs_chromium
def test_the_console_has_a_field_for_phrases(robot: Robot, scene: Scene, open_tab: Callable[..., Tab]) -> None:
    stamp = robot.show(scene.rgb)
    tab = open_tab(url_of(robot.process))
    tab.until_state("live")
    tab.until("!document.getElementById('text-form').hidden")
    before = robot.masks.mark()
    tab.page.keyboard.press("t")
    tab.page.keyboard.type("red ball, blue card")
    tab.page.keyboard.press("Enter")
    named(robot, "red ball", "blue card", since=before, stamp=stamp)
    assert tab.asked("text") == [{"do": "text", "text": "red ball, blue card"}]
    tab.until_toast("searching for 'red ball', 'blue card'")
    tab.until_objects(2)
    tab.until("document.getElementById('text-state').textContent === 'Searching for red ball, blue card'")
    # What is refused is shown, and what is understood works.
    field = tab.page.locator("#text-field")
    field.fill(f"yellow egg, {' '.join(['red'] * 15)}")
    before = robot.masks.mark()
    field.press("Enter")
    named(robot, "yellow egg", since=before)
    tab.until_toast("has 17 tokens")
    field.fill("x" * 129)
    field.press("Enter")
    tab.until_toast("129 characters, expected at most 128")
    field.fill("")
    field.press("Enter")
    tab.until_toast("no phrases any more")
    tab.until("document.getElementById('text-state').textContent === 'No phrases are searched for.'")


@needs_chromium
def test_a_console_without_a_text_model_has_no_field(
    start_robot: Callable[..., Robot], open_tab: Callable[..., Tab]
) -> None:
    robot = start_robot(CONSOLE).connect()
    tab = open_tab(url_of(robot.process))
    tab.wait("a status", lambda: [m for m in tab.received if m["type"] == "status"])
    assert tab.page.evaluate("document.getElementById('text-form').hidden")

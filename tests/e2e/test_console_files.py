"""The operator's console on files, without ROS, and in the demo."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

import bags
from browser import Tab, needs_chromium
from harness import ROOT, START_TIMEOUT, eventually, find_node, free_domain
from robot import GOOD
from scenes import CARD, DISK, EGG, Scene, iou

pytestmark = needs_chromium

Open = Callable[..., Tab]
Start = Callable[..., str]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts programs that serve a console, and returns the address that they print. They end with the test."""
    processes: list[subprocess.Popen[str]] = []

    def start_(*command: str | Path, **environment: str) -> str:
        output = tmp_path / f"output-{len(processes)}"
        with output.open("w") as file:
            processes.append(
                subprocess.Popen(
                    [str(part) for part in command], stdout=file, stderr=file, text=True, env=os.environ | environment
                )
            )

        def address() -> list[str]:
            assert processes[-1].poll() is None, output.read_text()
            return re.findall(r"https?://127[^,\s]+", output.read_text())

        return eventually(f"an address in the output of {command[0]}", address, START_TIMEOUT)[-1]

    yield start_
    for process in processes:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(START_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()


def cli() -> Path:
    return Path(os.environ.get("PROMPTSEG_CLI", find_node().with_name("promptseg")))


def console_of(start: Start, *arguments: str | Path) -> str:
    return start(cli(), "console", *arguments, "--address", "127.0.0.1:0", "--providers", "cpu")


def timeline(tab: Tab, text: str) -> None:
    """Waits until the line beside the slider starts with a text."""
    tab.until(f"document.getElementById('position-text').textContent.startsWith('{text}')")


def shown_after(tab: Tab, act: Callable[[], object]) -> None:
    """Waits until the page has drawn a picture that came after an action."""
    before = len(tab.pictures)
    act()
    newer = lambda: [p["picture"] for p in tab.pictures[before:]]  # noqa: E731
    tab.wait("a newer picture", lambda: any(m["type"] == "drawn" and m["picture"] in newer() for m in tab.sent))


def test_a_folder_is_clicked_through_and_saved(start: Start, open_tab: Open, tmp_path: Path) -> None:
    folder = tmp_path / "shots"
    folder.mkdir()
    scenes = [Scene((DISK, CARD)), Scene((EGG,))]
    for number, scene in enumerate(scenes):
        Image.fromarray(scene.rgb).save(folder / f"{number}.png")
    tab = open_tab(console_of(start, folder))
    tab.until_state("live")
    timeline(tab, "1 of 2")
    tab.click_spot(DISK.colour)
    tab.until_objects(1)
    tab.page.keyboard.press("n")
    tab.click_spot(CARD.colour)
    tab.until_objects(2)
    tab.page.keyboard.press("Control+s")
    tab.until_toast("saved 2 masks: ")
    shown_after(tab, lambda: tab.page.keyboard.press("."))
    timeline(tab, "2 of 2")
    tab.until_objects(0)
    tab.click_spot(EGG.colour)
    tab.until_objects(1)
    tab.page.locator("#save").click()
    tab.until_toast("saved 1 masks: ")
    for name, scene, index in [("0_mask_1", scenes[0], 0), ("0_mask_2", scenes[0], 1), ("1_mask", scenes[1], 0)]:
        saved = np.asarray(Image.open(folder / f"{name}.png")) > 127
        assert iou(saved, scene.truth[index]) >= GOOD, name


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
def test_a_video_has_a_timeline(start: Start, open_tab: Open, tmp_path: Path) -> None:
    frames = [Scene((DISK.moved(8 * i, 0),)) for i in range(8)]
    for number, scene in enumerate(frames):
        Image.fromarray(scene.rgb).save(tmp_path / f"{number}.png")
    video = tmp_path / "drive.mkv"
    subprocess.run(
        ["ffmpeg", "-v", "error", "-framerate", "4", "-i", tmp_path / "%d.png", "-c:v", "ffv1", video],
        check=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    out = tmp_path / "masks"
    tab = open_tab(console_of(start, video, "--out", out))
    tab.until_state("live")
    timeline(tab, "1 of 8, 0.00 s: drive.mkv")
    tab.click_spot(DISK.colour)
    tab.until_objects(1)
    # The object lives on in the next frame, at the same place: persistence "hold" repeats the click.
    shown_after(tab, lambda: tab.page.locator("#next").click())
    timeline(tab, "2 of 8, 0.25 s")
    tab.until_objects(1)
    assert iou(tab.mask(), frames[1].truth[0]) >= GOOD
    # Forward by the slider, and back, which reads the video again.
    for index in (7, 4):
        move = f"(() => {{ const slider = document.getElementById('position'); slider.value = {index}; " \
            "slider.dispatchEvent(new Event('change')); })()"
        shown_after(tab, lambda script=move: tab.page.evaluate(script))
        timeline(tab, f"{index + 1} of 8, {index / 4:.2f} s")
    tab.page.locator("#clear").click()
    tab.until_objects(0)
    tab.click_spot(DISK.colour)
    tab.until_objects(1)
    tab.page.keyboard.press("Control+s")
    tab.until_toast("saved 1 masks: ")
    saved = np.asarray(Image.open(out / "drive_000004_mask.png")) > 127
    assert iou(saved, frames[4].truth[0]) >= GOOD


def test_a_bag_is_clicked_through_and_its_prompts_label_it(start: Start, open_tab: Open, tmp_path: Path) -> None:
    frames = [Scene((DISK.moved(8 * i, 0), CARD)) for i in range(4)]
    stamps = [bags.START + i * 100_000_000 for i in range(4)]
    messages = [bags.Recorded("/image", bags.IMAGE, at, bags.image(scene.rgb, at)) for at, scene in zip(stamps, frames)]
    bag = bags.write(tmp_path / "drive", messages)
    clicks, out = tmp_path / "clicks", tmp_path / "out"
    tab = open_tab(console_of(start, bag, "--format", "prompts", "--out", clicks))
    tab.until_state("live")
    timeline(tab, "1 of 4, 0.00 s: drive")
    tab.click_spot(DISK.colour)
    tab.until_objects(1)
    shown_after(tab, lambda: tab.page.locator("#next").click())
    timeline(tab, "2 of 4, 0.10 s")
    tab.until_objects(1)
    tab.page.keyboard.press("n")
    tab.click_spot(CARD.colour)
    tab.until_objects(2)
    tab.page.keyboard.press("Control+s")
    tab.until_toast("saved the prompts of 2 objects: ")
    prompts = json.loads((clicks / "prompts.json").read_text())
    assert [(entry["frame"], entry["object"], len(entry["points"])) for entry in prompts] == [(0, 1, 1), (1, 2, 1)]
    command = [cli(), "label", bag, "--prompts", clicks / "prompts.json", "--out", out, "--threads", "1"]
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
    for frame, shape in ((0, 0), (1, 1)):
        record = json.loads((out / "frames" / f"{frame:06}.json").read_text())
        (found,) = record["objects"]
        mask = coco_mask.decode({"size": [240, 320], "counts": found["counts"]}).astype(bool)
        assert iou(mask, frames[frame].truth[shape]) >= GOOD


def test_the_demo_shows_its_scene_in_the_console(start: Start, open_tab: Open, tmp_path: Path) -> None:
    """A moving scene at 5 images a second: a click is answered on the image that was clicked."""
    demo = [sys.executable, ROOT / "demo/run.py", "--console", "127.0.0.1:0", "--rate", "5", "--out", tmp_path]
    tab = open_tab(start(*demo, ROS_DOMAIN_ID=str(free_domain())))
    tab.until_state("live")
    box = tab.page.locator("#stage").bounding_box()
    assert box is not None
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def clicked() -> bool:
        # On a busy machine a picture may be stale.
        refused = sum(m["type"] == "answer" and not m["ok"] for m in tab.received)
        if len(tab.asked("prompt")) == refused:
            tab.page.mouse.click(*middle)
        return tab.page.evaluate("document.querySelectorAll('#objects .object').length") == 1

    tab.wait("an object", clicked)
    asked = tab.asked("prompt")[-1]["stamp"]
    assert asked in [p["stamp"] for p in tab.pictures]
    first = [m for m in tab.received if m["type"] == "masks" and m["objects"]][0]
    assert first["stamp"] == asked
    # Pictures go on.
    count = len(tab.pictures)
    tab.wait("further pictures", lambda: len(tab.pictures) > count + 3)

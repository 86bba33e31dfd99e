"""`promptseg label` with memory: objects are followed backward, and two numbers of one object become one."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import bags
import numpy as np
import pytest
from PIL import Image as Picture

from test_label import PERIOD, VIDEO, files, label, masks, program, video

PICTURES = sorted((VIDEO / "frames").iterdir())


def prompts_file(folder: Path, *entries: dict) -> Path:
    file = folder / "prompts.json"
    file.write_text(json.dumps(entries))
    return file


def tracked(prompt: list[str], *options: str) -> dict[int, np.ndarray]:
    """The masks that `promptseg track` finds in the clip, by frame; frames without the object are left out."""
    from pycocotools import mask as coco_mask

    command = [program(), "track", VIDEO / "frames", "--model", VIDEO, *prompt, *options, "--format", "coco-rle", "--threads", "1"]
    lines = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True).stdout.splitlines()
    found = {}
    for line in map(json.loads, lines):
        for of_frame in line["masks"]:
            if of_frame["object_score"] > 0 and of_frame["area"] > 0:
                found[line["frame"]] = coco_mask.decode(of_frame["segmentation"]).astype(bool)
    return found


def mask_file(folder: Path, mask: np.ndarray) -> Path:
    file = folder / "mask.png"
    Picture.fromarray(mask.astype(np.uint8) * 255).save(file)
    return file


def objects(out: Path, number: int) -> dict[int, np.ndarray]:
    """The masks of an object, by frame."""
    return {frame: found[number][1] for frame, found in masks(out, "train").items() if number in found}


def assert_same(found: dict[int, np.ndarray], expected: dict[int, np.ndarray]) -> None:
    assert sorted(found) == sorted(expected)
    assert [frame for frame in found if not np.array_equal(found[frame], expected[frame])] == []


def test_an_object_is_followed_backward_as_track_does(tmp_path: Path) -> None:
    bag = video(tmp_path / "clip", 1)
    prompts = prompts_file(tmp_path, {"frame": 19, "object": 1, "class": "ball", "points": [[142, 43]]})
    label(bag, "--model", VIDEO, "--prompts", prompts, "--out", tmp_path / "both")
    label(bag, "--model", VIDEO, "--prompts", prompts, "--follow", "forward", "--out", tmp_path / "forward")
    assert sorted(objects(tmp_path / "forward", 1)) == [19]
    found = objects(tmp_path / "both", 1)
    assert len(found) > 5
    mask = mask_file(tmp_path, found[19])
    # The mask of the prompt itself is that of the first pass.
    expected = tracked(["--mask", f"@19:{mask}"], "--reverse") | {19: found[19]}
    assert_same(found, expected)
    names = {name for of_frame in masks(tmp_path / "both", "train").values() for name, _ in of_frame.values()}
    assert names == {"ball"}
    manifest = json.loads((tmp_path / "both" / "manifest.json").read_text())
    assert (manifest["follow"], manifest["masks"]) == ("both", len(found))


def test_a_frame_between_two_prompts_is_followed_from_the_nearer_one(tmp_path: Path) -> None:
    bag = video(tmp_path / "clip", 1)
    first = {"frame": 0, "object": 1, "points": [[18, 42]]}
    label(bag, "--model", VIDEO, "--prompts", prompts_file(tmp_path, first), "--out", tmp_path / "one")
    both = prompts_file(tmp_path, first, {"frame": 19, "object": 1, "points": [[142, 43]]})
    label(bag, "--model", VIDEO, "--prompts", both, "--out", tmp_path / "two")
    one, two = objects(tmp_path / "one", 1), objects(tmp_path / "two", 1)
    backward = tracked(["--mask", f"@19:{mask_file(tmp_path, two[19])}"], "--reverse")
    expected = {f: m for f, m in one.items() if f <= 9} | {f: m for f, m in backward.items() if f > 9} | {19: two[19]}
    assert_same(two, expected)


def test_an_object_that_was_lost_and_found_again_is_one_object(tmp_path: Path) -> None:
    boxes = {0: "", 19: "thing"}
    messages = []
    for number, file in enumerate(PICTURES):
        at = bags.START + number * PERIOD
        pixels = np.asarray(Picture.open(file).convert("RGB"))
        messages.append(bags.Recorded("/image", bags.IMAGE, at, bags.image(pixels, at)))
        if number in boxes:
            found = bags.detections([(boxes[number], 0.8, (105, 24, 129, 44))], at)
            messages.append(bags.Recorded("/boxes", bags.DETECTIONS, at, found))
    bag = bags.write(tmp_path / "clip", messages)
    options = [bag, "--model", VIDEO, "--detections", "/boxes", "--min-iou", "0", "--lost-after", "1"]
    label(*options, "--follow", "forward", "--out", tmp_path / "forward")
    forward = {number: objects(tmp_path / "forward", number) for number in (1, 2)}
    assert max(forward[1]) < min(forward[2]) - 2, "lost, then found by the second detection"
    label(*options, "--out", tmp_path / "both")
    merged = masks(tmp_path / "both", "train")
    assert {number for of_frame in merged.values() for number in of_frame} == {1}
    assert {name for of_frame in merged.values() for name, _ in of_frame.values()} == {"thing"}
    # The frames between are those of the second object, followed backward.
    mask = mask_file(tmp_path, forward[2][19])
    between = {f: m for f, m in tracked(["--mask", f"@19:{mask}"], "--reverse").items() if max(forward[1]) < f < 19}
    assert_same({frame: found[1][1] for frame, found in merged.items()}, forward[1] | between | forward[2])
    assert json.loads((tmp_path / "both" / "manifest.json").read_text())["objects_merged"] == 1
    # The run with one direction is completed by the other: the same bytes.
    label(*options, "--out", tmp_path / "forward")
    assert files(tmp_path / "forward") == files(tmp_path / "both")


@pytest.mark.parametrize("images", ["images", "no images"])
def test_a_killed_run_follows_backward_to_the_same_bytes(images: str, tmp_path: Path) -> None:
    bag = video(tmp_path / "clip", 2)
    prompts = prompts_file(tmp_path, {"frame": 39, "object": 1, "points": [[142, 43]]})
    arguments = [bag, "--model", VIDEO, "--prompts", prompts, "--detections", "/boxes", "--window", "5"]
    label(*arguments, "--out", tmp_path / "whole")
    arguments += ["--no-images"] if images == "no images" else []
    out = tmp_path / "killed"
    kills = 0
    for windows in (1, 3, 5):
        command = [program(), "label", *map(str, arguments), "--out", str(out), "--threads", "1"]
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while running.poll() is None and len(list((out / "frames" / "followed").glob("*.json"))) < windows:
            time.sleep(0.001)
        running.send_signal(signal.SIGKILL)
        kills += running.wait() == -signal.SIGKILL
    assert kills == 3 and not (out / "manifest.json").exists()
    label(*arguments, "--out", out)
    whole, resumed = files(tmp_path / "whole"), files(out)
    if images == "no images":
        # The inputs and the names of images differ; the images for the second pass are gone.
        kept = ("annotations/", "frames/followed/")
        whole, resumed = ({n: c for n, c in all.items() if n.startswith(kept)} for all in (whole, resumed))
        assert not (out / "frames" / "images").exists() and not (out / "images").exists()
    assert sorted(whole) == sorted(resumed)
    assert [name for name in whole if whole[name] != resumed[name]] == []
    assert len(objects(out, 1)) > 5


def test_frames_without_an_image_are_passed_over(tmp_path: Path) -> None:
    messages = []
    for number, file in enumerate(PICTURES):
        at = bags.START + number * PERIOD
        # The frames at the border of two windows.
        content = b"no picture" if number in (14, 15) else file.read_bytes()
        messages.append(bags.Recorded("/image", bags.COMPRESSED, at, bags.compressed(content, at, "png")))
    bag = bags.write(tmp_path / "clip", messages)
    prompts = prompts_file(tmp_path, {"frame": 19, "object": 1, "points": [[142, 43]]})
    errors = label(bag, "--model", VIDEO, "--prompts", prompts, "--window", "5", "--out", tmp_path / "out")
    assert "image 14: " in errors and "image 15: " in errors
    found = sorted(objects(tmp_path / "out", 1))
    assert found[-1] == 19 and len([frame for frame in found if frame < 14]) > 3, found
    assert not {14, 15} & set(found)

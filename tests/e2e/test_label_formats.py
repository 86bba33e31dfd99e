"""Formats of annotation tools, read by the tools' own readers: CVAT by datumaro, Label Studio by its converter.

The readers have an environment of their own (`./dev test --e2e` makes it), because they depend on another numpy than rclpy."""

from __future__ import annotations

import json
import os
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import bags
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from harness import ROOT
from scenes import Scene, iou
from test_label import CLASSES, PERIOD, label, masks, near, shapes

READERS = Path(__file__).with_name("readers")
# The middle object is away on these frames.
AWAY = (2, 3)
FRAMES = 7


def read(script: str, file: Path) -> Any:
    python = os.environ.get("PROMPTSEG_READERS", str(ROOT / ".dev" / "readers" / "bin" / "python"))
    assert Path(python).is_file(), f"{python} is not there: `./dev test --e2e` makes it, or PROMPTSEG_READERS names another"
    done = subprocess.run([python, READERS / script, file], capture_output=True, text=True, cwd=file.parent)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Scene], Path]:
    """Seven frames, the last two for validation. One object goes away and comes back, with the same number."""
    folder = tmp_path_factory.mktemp("formats")
    frames, messages = [], []
    for number in range(FRAMES):
        at = bags.START + number * PERIOD
        there = [shape for i, shape in enumerate(shapes(number)) if i != 1 or number not in AWAY]
        frames.append(Scene(tuple(there)))
        messages.append(bags.Recorded("/image", bags.IMAGE, at, bags.image(frames[-1].rgb, at)))
    bag = bags.write(folder / "drive", messages)
    entries = []
    for number in range(FRAMES):
        for i, shape in enumerate(shapes(number)):
            if i != 1 or number not in AWAY:
                x0, y0, x1, y1 = shape.box
                name = f"{CLASSES[i]} & <more>" if i == 2 else CLASSES[i]
                entries.append({"frame": number, "object": i + 1, "class": name, "box": [x0, y0, x1, y1]})
    prompts = folder / "prompts.json"
    prompts.write_text(json.dumps(entries))
    label(bag, "--prompts", prompts, "--format", "coco,cvat,label-studio", "--val", "0.2", "--out", folder / "out")
    return frames, folder / "out"


def names(out: Path) -> dict[int, str]:
    """The name of each frame's image below images/, without extension."""
    return {frame: f"{split}/{frame:06}" for split in ("train", "val") for frame in masks(out, split)}


def test_cvat_images_have_the_masks_pixel_by_pixel(dataset: tuple[list[Scene], Path]) -> None:
    frames, out = dataset
    expected = masks(out, "train") | masks(out, "val")
    found = read("read_cvat.py", out / "cvat_images.xml")
    assert found["labels"] == sorted({name for of_frame in expected.values() for name, _ in of_frame.values()})
    assert [item["id"] for item in found["items"]] == list(names(out).values())
    for frame, item in enumerate(found["items"]):
        assert item["frame"] == frame and len(item["annotations"]) == len(expected[frame])
        for annotation in item["annotations"]:
            name, mask = expected[frame][annotation["group"]]
            assert (annotation["type"], annotation["label"]) == ("mask", name)
            read_back = coco_mask.decode(annotation["mask"]).astype(bool)
            assert np.array_equal(read_back, mask)
            truth = frames[frame].truth
            assert max(iou(read_back, shape) for shape in truth) > 0.9


def test_cvat_video_has_a_track_for_each_object_with_keyframes_and_outside(dataset: tuple[list[Scene], Path]) -> None:
    _, out = dataset
    expected = masks(out, "train") | masks(out, "val")
    found = read("read_cvat.py", out / "cvat_video.xml")
    tracks: dict[int, dict[int, dict[str, Any]]] = {}
    for item in found["items"]:
        for annotation in item["annotations"]:
            assert annotation["type"] == "polygon" and annotation["attributes"]["keyframe"] is True
            tracks.setdefault(annotation["attributes"]["track_id"], {})[item["frame"]] = annotation
    assert sorted(tracks) == [1, 2, 3]
    for number, track in tracks.items():
        visible = {frame for frame, shape in track.items() if not shape["attributes"]["outside"]}
        assert visible == {frame for frame, of_frame in expected.items() if number in of_frame}
        # The object is hidden on the first frame without it.
        assert set(track) - visible == ({AWAY[0]} if number == 2 else set())
        for frame in visible:
            name, mask = expected[frame][number]
            assert track[frame]["label"] == name
            filled = coco_mask.decode(coco_mask.frPyObjects([track[frame]["points"]], 240, 320))[:, :, 0].astype(bool)
            assert not ((filled ^ mask) & ~near(mask)).any() and iou(filled, mask) > 0.95
    meta = ElementTree.parse(out / "cvat_video.xml").find("meta/task")
    assert [meta.find(tag).text for tag in ("size", "mode", "stop_frame")] == ["7", "interpolation", "6"]
    assert [meta.find(f"original_size/{tag}").text for tag in ("width", "height")] == ["320", "240"]


def test_label_studio_reads_the_predictions_as_brush_strokes(dataset: tuple[list[Scene], Path]) -> None:
    _, out = dataset
    expected = masks(out, "train") | masks(out, "val")
    found = read("read_label_studio.py", out / "label_studio.json")
    tasks = json.loads((out / "label_studio.json").read_text())
    assert [task["image"] for task in found] == [f"/data/local-files/?d=images/{name}.png" for name in names(out).values()]
    assert all((out / task["image"].split("?d=")[1]).is_file() for task in found)
    interface = ElementTree.parse(out / "label_studio.xml").getroot()
    labels = [tag.get("value") for tag in interface.iter("Label")]
    for frame, (task, stored) in enumerate(zip(found, tasks, strict=True)):
        results = stored["predictions"][0]["result"]
        assert len(task["masks"]) == len(expected[frame]) == len(results)
        for read_back, result in zip(task["masks"], results, strict=True):
            name, mask = expected[frame][result["meta"]["object"]]
            assert read_back["labels"] == [name] and name in labels
            assert np.array_equal(coco_mask.decode(read_back).astype(bool), mask)
            tags = {interface.find(f".//*[@name='{result[key]}']").tag for key in ("from_name", "to_name")}
            assert tags == {"BrushLabels", "Image"} and 0 < result["score"] <= 1.1
        assert stored["predictions"][0]["score"] == min(result["score"] for result in results)

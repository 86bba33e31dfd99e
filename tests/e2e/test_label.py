"""`promptseg label`: bags of rosbags become data sets, which the readers of their formats read."""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bags
import numpy as np
import pytest
from PIL import Image as Picture
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from rosbags.rosbag2 import CompressionMode, StoragePlugin

from harness import ROOT, find_node
from scenes import CARD, DISK, EGG, Scene, Shape, iou

CLASSES = ("disk", "card", "egg")
PERIOD = 100_000_000
VIDEO = ROOT / "tests" / "golden" / "video"


def program() -> str:
    return os.environ.get("PROMPTSEG_CLI", str(find_node().with_name("promptseg")))


def label(*arguments: str | Path, code: int = 0) -> str:
    """Runs the command. Returns its standard error."""
    done = subprocess.run([program(), "label", *map(str, arguments), "--threads", "1"], capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    assert "panicked" not in done.stderr
    return done.stderr


def shapes(frame: int) -> tuple[Shape, ...]:
    return DISK.moved(3 * frame, frame), CARD.moved(-2 * frame, 2 * frame), EGG.moved(0, -frame)


def scenes(count: int) -> list[Scene]:
    return [Scene(shapes(frame)) for frame in range(count)]


def recording(
    frames: list[Scene], picture: Callable[[Scene, int], tuple[str, Any]] | None = None
) -> list[bags.Recorded]:
    """Images of the scenes, and the boxes of a detector that answers one frame late."""
    picture = picture or (lambda scene, at: (bags.IMAGE, bags.image(scene.rgb, at)))
    messages = []
    for number, scene in enumerate(frames):
        at = bags.START + number * PERIOD
        messages.append(bags.Recorded("/camera/image_raw", *_ordered(picture(scene, at), at)))
        messages.append(bags.Recorded("/camera/camera_info", bags.INFO, at, bags.camera_info(320, 240, at)))
        boxes = [(name, 0.9 - 0.1 * i, shape.box) for i, (name, shape) in enumerate(zip(CLASSES, scene.shapes))]
        messages.append(bags.Recorded("/detections", bags.DETECTIONS, at + PERIOD, bags.detections(boxes, at)))
    return messages


def _ordered(picture: tuple[str, Any], at: int) -> tuple[str, int, Any]:
    return picture[0], at, picture[1]


def load(file: Path) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(file))


def files(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def jpeg(scene: Scene) -> bytes:
    content = io.BytesIO()
    Picture.fromarray(scene.rgb).save(content, "JPEG", quality=92)
    return content.getvalue()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Scene], Path]:
    """Six frames in every format; the last two are for validation."""
    folder = tmp_path_factory.mktemp("label")
    frames = scenes(6)
    bag = bags.write(folder / "drive", recording(frames))
    formats = "coco,yolo,png,sa1b,bag"
    errors = label(bag, "--detections", "/detections", "--format", formats, "--val", "0.3", "--out", folder / "out")
    assert errors == ""
    return frames, folder / "out"


def test_coco_has_the_objects_of_the_detector_with_one_number_each(dataset: tuple[list[Scene], Path]) -> None:
    frames, out = dataset
    numbers: dict[str, set[int]] = {}
    for split, wanted in (("train", range(4)), ("val", range(4, 6))):
        coco = load(out / "annotations" / f"instances_{split}.json")
        assert [entry["id"] - 1 for entry in coco.loadImgs(coco.getImgIds())] == list(wanted)
        names = {c["id"]: c["name"] for c in coco.loadCats(coco.getCatIds())}
        assert sorted(names.values()) == sorted(CLASSES)
        for entry in coco.loadImgs(coco.getImgIds()):
            scene = frames[entry["id"] - 1]
            picture = np.asarray(Picture.open(out / "images" / split / entry["file_name"]))
            assert np.array_equal(picture, scene.rgb), "the image of the bag, pixel by pixel"
            annotations = coco.loadAnns(coco.getAnnIds(imgIds=[entry["id"]]))
            assert len(annotations) == 3
            for annotation in annotations:
                name = names[annotation["category_id"]]
                mask = coco.annToMask(annotation).astype(bool)
                assert iou(mask, scene.truth[CLASSES.index(name)]) > 0.9, (entry["id"], name)
                assert mask.sum() == annotation["area"] and annotation["iscrowd"] == 0
                numbers.setdefault(name, set()).add(annotation["track_id"])
    assert all(len(found) == 1 for found in numbers.values()), numbers
    assert len(set.union(*numbers.values())) == 3


def masks(out: Path, split: str) -> dict[int, dict[int, tuple[str, np.ndarray]]]:
    """By frame and object: class and mask, from the COCO file."""
    coco = load(out / "annotations" / f"instances_{split}.json")
    names = {c["id"]: c["name"] for c in coco.loadCats(coco.getCatIds())}
    found: dict[int, dict[int, tuple[str, np.ndarray]]] = {}
    for annotation in coco.loadAnns(coco.getAnnIds()):
        of_frame = found.setdefault(annotation["image_id"] - 1, {})
        of_frame[annotation["track_id"]] = (names[annotation["category_id"]], coco.annToMask(annotation).astype(bool))
    return found


def near(mask: np.ndarray) -> np.ndarray:
    """The pixels within one pixel of the border of a mask."""
    padded = np.pad(mask, 1, mode="edge")
    around = [padded[1 + dy : padded.shape[0] - 1 + dy, 1 + dx : padded.shape[1] - 1 + dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    return np.any(around, 0) & ~np.all(around, 0)


def test_yolo_polygons_fill_to_the_masks_within_a_pixel(dataset: tuple[list[Scene], Path]) -> None:
    _, out = dataset
    description = (out / "data.yaml").read_text()
    assert "train: images/train\nval: images/val\n" in description
    names = [json.loads(line.split(": ", 1)[1]) for line in description.splitlines() if line.startswith("  ")]
    assert names == sorted(CLASSES)
    for split in ("train", "val"):
        for frame, objects in masks(out, split).items():
            lines = (out / "labels" / split / f"{frame:06}.txt").read_text().splitlines()
            assert len(lines) == len(objects)
            for line, (name, mask) in zip(lines, objects.values()):
                kind, *numbers = line.split()
                assert names[int(kind)] == name
                shares = np.array(numbers, float)
                assert (0 <= shares).all() and (shares <= 1).all()
                corners = (shares.reshape(-1, 2) * (320, 240)).ravel().tolist()
                filled = coco_mask.decode(coco_mask.frPyObjects([corners], 240, 320))[:, :, 0].astype(bool)
                assert not ((filled ^ mask) & ~near(mask)).any()


def test_indexed_pictures_and_sa_1b_have_the_same_masks(dataset: tuple[list[Scene], Path]) -> None:
    _, out = dataset
    for frame, objects in masks(out, "train").items():
        picture = Picture.open(out / "indexed" / "train" / f"{frame:06}.png")
        assert picture.mode == "P"
        assert picture.getpalette()[:9] == [0, 0, 0, 128, 0, 0, 0, 128, 0]
        numbers = np.asarray(picture)
        assert set(np.unique(numbers)) == {0, *objects}
        for number, (_, mask) in objects.items():
            assert np.array_equal(numbers == number, mask)
        document = json.loads((out / "sa1b" / "train" / f"{frame:06}.json").read_text())
        assert document["image"]["image_id"] == frame + 1
        for annotation, (_, mask) in zip(document["annotations"], objects.values()):
            assert np.array_equal(coco_mask.decode(annotation["segmentation"]).astype(bool), mask)


def test_the_bag_of_results_has_the_masks_at_the_stamps_of_the_images(dataset: tuple[list[Scene], Path]) -> None:
    frames, out = dataset
    expected = masks(out, "train") | masks(out, "val")
    seen = {"/promptseg/masks": 0, "/promptseg/labels": 0, "/promptseg/detections": 0, "/promptseg/overlay/compressed": 0}
    for topic, at, message in bags.read(out / "bag"):
        seen[topic] += 1
        stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
        assert stamp == at and message.header.frame_id == bags.FRAME_ID
        objects = expected[(at - bags.START) // PERIOD]
        if topic == "/promptseg/masks":
            assert (message.width, message.height, message.model) == (320, 240, "tiny")
            assert [m.object_id for m in message.masks] == list(objects)
            for found in message.masks:
                name, mask = objects[found.object_id]
                whole = np.zeros((240, 320), bool)
                roi = found.roi
                crop = np.asarray(found.mask.data).reshape(found.mask.height, found.mask.step) == 255
                whole[roi.y_offset : roi.y_offset + roi.height, roi.x_offset : roi.x_offset + roi.width] = crop
                assert np.array_equal(whole, mask)
                assert (found.class_id, found.area, found.state) == (name, mask.sum(), 2)
                assert 0 < found.iou <= 1.1 and np.isnan(found.object_score)
        elif topic == "/promptseg/labels":
            assert message.encoding == "mono16"
            numbers = np.asarray(message.data).view("<u2").reshape(message.height, message.width)
            assert all(np.array_equal(numbers == number, mask) for number, (_, mask) in objects.items())
        elif topic == "/promptseg/overlay/compressed":
            assert message.format == "rgb8; jpeg compressed bgr8"
            drawn = np.asarray(Picture.open(io.BytesIO(message.data.tobytes())), int)
            change = np.abs(drawn - frames[(at - bags.START) // PERIOD].rgb).max(-1)
            assert change.shape == (240, 320)
            assert all(np.median(change[mask]) > 30 for _, mask in objects.values()), "the masks are tinted"
            assert np.median(change[200:, :100]) < 12, "no object is there"
        else:
            for found in message.detections:
                name, mask = objects[int(found.id)]
                y, x = np.nonzero(mask)
                box = found.bbox
                assert (box.size_x, box.size_y) == (x.max() - x.min() + 1, y.max() - y.min() + 1)
                assert box.center.position.x == x.min() + box.size_x / 2
                assert found.results[0].hypothesis.class_id == name
    assert set(seen.values()) == {6}


def test_a_data_set_without_images_has_a_bag_without_overlays(tmp_path: Path) -> None:
    bag = bags.write(tmp_path / "drive", recording(scenes(2)))
    label(bag, "--detections", "/detections", "--format", "bag", "--no-images", "--out", tmp_path / "out")
    topics = [topic for topic, _, _ in bags.read(tmp_path / "out" / "bag")]
    assert sorted(topics) == sorted(["/promptseg/masks", "/promptseg/labels", "/promptseg/detections"] * 2)


def test_the_manifest_says_with_what_the_data_set_was_made(dataset: tuple[list[Scene], Path]) -> None:
    _, out = dataset
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["complete"] is True and manifest["classes"] == sorted(CLASSES)
    assert manifest["frames"] == {"train": 4, "val": 2, "undecoded": 0}
    assert (manifest["masks"], manifest["masks_by_source"]) == (18, {"detection": 18})
    inputs = manifest["inputs"]
    assert inputs["model"]["name"] == "tiny" and len(inputs["model"]["hash"]) == 16
    assert inputs["image"] == "/camera/image_raw" and inputs["detections"]["topic"] == "/detections"
    assert inputs["camera"]["k"][0] == 300.0 and inputs["camera"]["d"][4] == 0.05


@pytest.mark.parametrize("storage", ["sqlite3", "sqlite3-messages", "mcap-zstd", "mcap-lz4", "big-endian", "one-file", "split", "jpeg"])
def test_every_storage_gives_the_same_records(
    storage: str, dataset: tuple[list[Scene], Path], tmp_path: Path
) -> None:
    frames, out = dataset
    messages = recording(frames)
    bag = tmp_path / "drive"
    if storage == "sqlite3":
        bags.write(bag, messages, StoragePlugin.SQLITE3)
    elif storage == "sqlite3-messages":
        bags.write(bag, messages, StoragePlugin.SQLITE3, CompressionMode.MESSAGE)
    elif storage == "mcap-zstd":
        bags.write(bag, messages, StoragePlugin.MCAP, CompressionMode.STORAGE)
    elif storage == "mcap-lz4":
        bags.write_lz4(bag, messages)
    elif storage == "big-endian":
        bags.write(bag, messages, little_endian=False)
    elif storage == "one-file":
        bag = next(bags.write(bag, messages).glob("*.mcap"))
    elif storage == "split":
        # Two bags of one recording in a folder without metadata.yaml.
        parts = [bags.write(tmp_path / f"part{i}", part) for i, part in enumerate((messages[:9], messages[9:]))]
        bag.mkdir()
        for i, part in enumerate(parts):
            shutil.copy(next(part.glob("*.mcap")), bag / f"drive_{i}.mcap")
    else:
        pictures = {id(scene): jpeg(scene) for scene in frames}
        picture = lambda scene, at: (bags.COMPRESSED, bags.compressed(pictures[id(scene)], at))  # noqa: E731
        bags.write(bag, recording(frames, picture))
        label(bag, "--detections", "/detections", "--out", tmp_path / "out")
        found = sorted((tmp_path / "out" / "images" / "train").iterdir())
        assert [f.read_bytes() for f in found] == list(pictures.values()), "the files of the bag, byte by byte"
        return
    assert label(bag, "--detections", "vision_msgs/Detection2DArray", "--val", "0.3", "--out", tmp_path / "out") == ""
    for frame in range(6):
        record = f"frames/{frame:06}.json"
        assert (tmp_path / "out" / record).read_bytes() == (out / record).read_bytes()


def test_all_encodings_of_a_bag_are_converted_as_by_the_node(tmp_path: Path) -> None:
    rgb = scenes(1)[0].rgb
    grey = rgb[:, :, 0]
    # Both bytes of a sample differ, so that a wrong byte order shows.
    wide = grey.astype(np.uint16) * 256 + 60
    narrow = ((wide.astype(np.uint32) + 128) // 257).astype(np.uint8)
    pictures = {
        "rgb8": (rgb, rgb),
        "bgr8": (rgb[:, :, ::-1], rgb),
        "mono8": (grey, np.stack([grey] * 3, -1)),
        "mono16": (wide, np.stack([narrow] * 3, -1)),
        "rgba8": (np.concatenate([rgb, rgb[:, :, :1]], -1), rgb),
    }
    at = bags.START
    for encoding, (pixels, expected) in pictures.items():
        for big_endian in {False, pixels.dtype == np.uint16}:
            message = bags.image(np.ascontiguousarray(pixels), at, encoding, big_endian)
            folder = tmp_path / f"{encoding}{big_endian}"
            bags.write(folder, [bags.Recorded("/image", bags.IMAGE, at, message)])
            label(folder, "--auto", "--points-per-side", "2", "--out", folder / "out")
            written = np.asarray(Picture.open(folder / "out" / "images" / "train" / "000000.png"))
            assert np.array_equal(written, expected), encoding


def test_a_truncated_bag_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    messages = recording(scenes(6))
    for plugin, pattern in ((StoragePlugin.MCAP, "*.mcap"), (StoragePlugin.SQLITE3, "*.db3")):
        bag = bags.write(tmp_path / plugin.name, messages, plugin)
        file = next(bag.glob(pattern))
        content = file.read_bytes()
        file.write_bytes(content[: len(content) * 6 // 10])
        out = tmp_path / f"out-{plugin.name}"
        errors = label(bag, "--detections", "/detections", "--out", out)
        assert f"{file.name}: " in errors and "messages before that are read" in errors
        manifest = json.loads((out / "manifest.json").read_text())
        assert 2 <= manifest["frames"]["train"] <= 4, errors
        assert any("messages before that" in remark for remark in manifest["remarks"])
        file.write_bytes(content[:40])
        assert "no file of the bag can be read" in label(bag, "--detections", "/detections", "--out", out, code=1)


def test_frames_are_selected_and_prompts_and_topics_are_checked(tmp_path: Path) -> None:
    bag = bags.write(tmp_path / "drive", recording(scenes(6)))
    prompts = tmp_path / "prompts.json"
    prompts.write_text(json.dumps([{"frame": 2, "object": 9, "class": "egg", "box": EGG.moved(0, -2).box}]))
    out = tmp_path / "out"
    errors = label(bag, "--prompts", prompts, "--start", "0.1", "--every", "2", "--out", out)
    assert "the prompts of frame 2 are not used" in errors and "no memory" in errors
    assert sorted(f.name for f in (out / "images" / "train").iterdir()) == ["000001.png", "000003.png", "000005.png"]
    errors = label(bag, "--prompts", prompts, "--rate", "5", "--out", out, code=1)
    assert "selection was" in errors and "--overwrite" in errors
    label(bag, "--prompts", prompts, "--rate", "5", "--out", out, "--overwrite")
    record = json.loads((out / "frames" / "000002.json").read_text())
    assert [(o["object"], o["class"], o["source"]) for o in record["objects"]] == [(9, "egg", "prompt")]
    assert not (out / "frames" / "000001.json").exists()
    fresh = tmp_path / "fresh"
    assert "the bag has /camera/camera_info (sensor_msgs/msg/CameraInfo)" in label(
        bag, "--auto", "--image", "/nothing", "--out", fresh, code=1
    )
    assert "nothing to label with" in label(bag, "--out", fresh, code=2)
    prompts.write_text('[{"frame": 0}]')
    assert "missing field" in label(bag, "--prompts", prompts, "--out", fresh, code=1)
    assert not fresh.exists()


def video(folder: Path, repeat: int) -> Path:
    """The clip of the small model with memory, several times over."""
    pictures = [np.asarray(Picture.open(f).convert("RGB")) for f in sorted((VIDEO / "frames").iterdir())] * repeat
    messages = []
    for number, pixels in enumerate(pictures):
        at = bags.START + number * PERIOD
        messages.append(bags.Recorded("/image", bags.IMAGE, at, bags.image(pixels, at)))
        if number % 7 == 3:
            boxes = [("thing", 0.8, (10, 30, 40, 60)), ("thing", 0.7, (11, 31, 41, 61))]
            messages.append(bags.Recorded("/boxes", bags.DETECTIONS, at, bags.detections(boxes, at)))
    return bags.write(folder, messages)


def test_a_memory_follows_prompts_as_track_does(tmp_path: Path) -> None:
    bag = video(tmp_path / "clip", 1)
    prompts = tmp_path / "prompts.json"
    prompts.write_text(json.dumps([{"frame": 0, "object": 1, "class": "ball", "points": [[18, 42]]}]))
    label(bag, "--model", VIDEO, "--prompts", prompts, "--out", tmp_path / "out")
    track = [program(), "track", VIDEO / "frames", "--model", VIDEO, "--point", "18,42", "--format", "coco-rle", "--threads", "1"]
    lines = subprocess.run(list(map(str, track)), capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(lines) == 20
    # The command itself takes the bag, too.
    track[2:3] = [bag, "--image", "sensor_msgs/Image"]
    of_bag = subprocess.run(list(map(str, track)), capture_output=True, text=True, check=True).stdout.splitlines()
    same = ("frame", "size", "masks")
    assert [[json.loads(line)[key] for key in same] for line in of_bag] == [[json.loads(line)[key] for key in same] for line in lines]
    seen = 0
    for line in map(json.loads, lines):
        record = json.loads((tmp_path / "out" / "frames" / f"{line['frame']:06}.json").read_text())
        (tracked,) = line["masks"]
        if tracked["object_score"] <= 0 or tracked["area"] == 0:
            assert record["objects"] == []
            continue
        seen += 1
        (found,) = record["objects"]
        assert found["counts"] == tracked["segmentation"]["counts"]
        assert (found["object"], found["class"], found["source"]) == (1, "ball", "prompt")
    assert seen > 5


@pytest.mark.parametrize("model", ["tiny", "memory"])
def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(model: str, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.json"
    prompts.write_text(json.dumps([{"frame": 0, "object": 1, "class": "ball", "points": [[18, 42]]}]))
    if model == "memory":
        bag = video(tmp_path / "clip", 2)
        arguments = ["--model", VIDEO, "--prompts", prompts, "--detections", "/boxes", "--window", "5"]
    else:
        bag = bags.write(tmp_path / "clip", recording(scenes(16)))
        arguments = ["--detections", "/detections", "--auto", "--points-per-side", "4"]
    arguments = [bag, *arguments, "--format", "coco,png", "--val", "0.25"]
    label(*arguments, "--out", tmp_path / "whole")
    out = tmp_path / "killed"
    kills = 0
    for records in (2, 6, 11):
        command = [program(), "label", *map(str, arguments), "--out", str(out), "--threads", "1"]
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while running.poll() is None and len(list((out / "frames").glob("*.json"))) < records:
            time.sleep(0.001)
        running.send_signal(signal.SIGKILL)
        kills += running.wait() == -signal.SIGKILL
    assert kills == 3
    assert not (out / "manifest.json").exists(), "the run did not end"
    label(*arguments, "--out", out)
    whole, resumed = files(tmp_path / "whole"), files(out)
    assert sorted(whole) == sorted(resumed)
    assert [name for name in whole if whole[name] != resumed[name]] == []
    # A run over a data set that is complete computes nothing.
    before = {f: f.stat().st_mtime_ns for f in (out / "frames").iterdir()}
    label(*arguments, "--out", out)
    assert {f: f.stat().st_mtime_ns for f in (out / "frames").iterdir()} == before


def test_a_file_that_cannot_be_written_is_named_and_leaves_no_part(tmp_path: Path) -> None:
    bag = bags.write(tmp_path / "drive", recording(scenes(3)))
    out = tmp_path / "out"
    command = [program(), "label", str(bag), "--detections", "/detections", "--out", str(out), "--threads", "1"]
    # As on a full disk, writes fail: an image has more bytes than the limit, a record has fewer.
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))  # noqa: E731
    # Python ignores SIGXFSZ, and so does the program then: its writes return an error.
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit, restore_signals=False)
    assert done.returncode == 1 and "cannot write" in done.stderr and "000000.png" in done.stderr, done.stderr
    assert [f for f in out.rglob("*") if f.is_file() and "0000" in f.name] == []
    label(*command[2:-2])
    assert json.loads((out / "manifest.json").read_text())["frames"]["train"] == 3


def test_an_interrupt_leaves_a_data_set_that_is_read(tmp_path: Path) -> None:
    bag = bags.write(tmp_path / "clip", recording(scenes(24)))
    out = tmp_path / "out"
    options = ["--detections", "/detections", "--auto", "--points-per-side", "4", "--threads", "1"]
    command = [program(), "label", str(bag), *options, "--out", str(out)]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while running.poll() is None and len(list((out / "frames").glob("*.json"))) < 2:
        time.sleep(0.001)
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate()
    assert running.returncode == 1 and "of 24 frames" in errors and "the same command goes on" in errors
    manifest = json.loads((out / "manifest.json").read_text())
    done = len(load(out / "annotations" / "instances_train.json").getImgIds())
    assert manifest["complete"] is False and 2 <= done < 24
    assert manifest["frames"]["train"] == done == len(list((out / "images" / "train").iterdir()))

"""`promptseg label` on folders of pictures and on videos, and in slices."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import bags
import numpy as np
import pytest
from PIL import Image as Picture

from scenes import DISK, Scene, iou
from test_label import PERIOD, VIDEO, files, jpeg, label, load, program, recording, scenes

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")


def records(out: Path) -> dict[int, dict]:
    return {int(f.stem): json.loads(f.read_text()) for f in sorted((out / "frames").glob("0*.json"))}


def folder_of(pictures: list[Scene], folder: Path) -> Path:
    """JPEG and PNG files whose names are in the order of their numbers alone."""
    folder.mkdir()
    for number, scene in enumerate(pictures):
        if number % 2:
            (folder / f"shot{8 + number}.jpg").write_bytes(jpeg(scene))
        else:
            Picture.fromarray(scene.rgb).save(folder / f"shot{8 + number}.png")
    return folder


def film(pictures: list[Scene], video: Path, rate: str = "30000/1001") -> Path:
    """A lossless video: its frames have the pixels of the scenes."""
    folder = video.with_suffix(".frames")
    folder.mkdir()
    for number, scene in enumerate(pictures):
        Picture.fromarray(scene.rgb).save(folder / f"{number}.png")
    command = ["ffmpeg", "-v", "error", "-framerate", rate, "-i", folder / "%d.png", "-c:v", "ffv1", "-pix_fmt", "bgr0", video]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return video


def prompts_file(path: Path, frames: list[int]) -> Path:
    entries = [
        {"frame": frame, "object": 5, "class": "disk", "points": [list(DISK.moved(3 * frame, frame).centre)]} for frame in frames
    ]
    path.write_text(json.dumps(entries))
    return path


def masks_of(record: dict) -> list[tuple]:
    return [(o["object"], o["class"], o["source"], o["iou"], o["counts"]) for o in record["objects"]]


def test_pictures_have_the_masks_of_a_bag_of_the_same_pictures(tmp_path: Path) -> None:
    frames = scenes(5)
    shots = folder_of(frames, tmp_path / "shots")
    prompts = prompts_file(tmp_path / "prompts.json", [0, 3])
    options = ["--prompts", prompts, "--auto", "--points-per-side", "4", "--val", "0.4"]
    label(shots, *options, "--format", "coco,yolo,png,sa1b", "--out", tmp_path / "out")
    content = sorted(shots.iterdir(), key=lambda f: int(f.stem.removeprefix("shot")))

    def picture(scene: Scene, at: int) -> tuple[str, object]:
        file = content[(at - bags.START) // PERIOD]
        return bags.COMPRESSED, bags.compressed(file.read_bytes(), at, file.suffix[1:])

    bag = bags.write(tmp_path / "bag", recording(frames, picture))
    label(bag, *options, "--out", tmp_path / "of-bag")
    found, expected = records(tmp_path / "out"), records(tmp_path / "of-bag")
    assert len(found) == 5 and sum(len(r["objects"]) for r in found.values()) > 5
    for frame, record in found.items():
        assert masks_of(record) == masks_of(expected[frame]), frame
        assert record["picture"] == content[frame].name, "10 comes after 9"
        copy = tmp_path / "out" / "images" / record["split"] / record["image"]
        assert copy.read_bytes() == content[frame].read_bytes()
    # The last 40 percent of four intervals begin behind the third picture.
    assert [record["split"] for record in found.values()] == ["train", "train", "train", "val", "val"]
    for entry in load(tmp_path / "out" / "annotations" / "instances_train.json").dataset["images"]:
        assert entry["picture"] == content[entry["id"] - 1].name and "stamp" not in entry
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["inputs"]["pictures"]["count"] == 5 and "bag" not in manifest["inputs"]


def test_times_of_pictures_come_from_fps_or_are_refused(tmp_path: Path) -> None:
    shots = folder_of(scenes(4), tmp_path / "shots")
    out = tmp_path / "out"
    auto = ["--auto", "--points-per-side", "2"]
    for wrong, reason in [
        (["--format", "bag"], "the messages of a bag need: give --fps"),
        (["--start", "1"], "pictures have no times"),
        (["--rate", "1"], "pictures have no times"),
        (["--fps", "0"], "expected a number above 0"),
        (["--detections", "/detections"], "--detections is the topic of a bag"),
        (["--image", "/image"], "--image is the topic of a bag"),
    ]:
        assert reason in label(shots, *auto, *wrong, "--out", out, code=2), wrong
    assert "no such file" in label(tmp_path / "nothing", *auto, "--out", out, code=1)
    assert "expected files" in label("-", *auto, "--out", out, code=2)
    assert not out.exists()
    label(shots, *auto, "--fps", "2", "--start", "0.4", "--format", "bag", "--out", out)
    times = sorted({at for _, at, _ in bags.read(out / "bag")})
    assert times == [500_000_000, 1_000_000_000, 1_500_000_000]
    bag = bags.write(tmp_path / "bag", recording(scenes(1)))
    assert "the images of a bag have stamps" in label(bag, *auto, "--fps", "2", "--out", tmp_path / "x", code=2)


def test_a_picture_that_cannot_be_read_is_named_and_left_out(tmp_path: Path) -> None:
    shots = folder_of(scenes(4), tmp_path / "shots")
    (shots / "shot9.jpg").write_bytes(b"no picture")
    errors = label(shots, "--auto", "--points-per-side", "2", "--out", tmp_path / "out")
    assert "image 1 (shot9.jpg): " in errors and "it is left out" in errors
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["frames"] == {"train": 3, "val": 0, "undecoded": 1} and manifest["complete"] is True
    # Another picture of the same name is another input.
    (shots / "shot9.jpg").write_bytes(jpeg(scenes(1)[0]))
    errors = label(shots, "--auto", "--points-per-side", "2", "--out", tmp_path / "out", code=1)
    assert "pictures was" in errors and "--overwrite" in errors


@needs_ffmpeg
def test_a_video_has_the_masks_of_its_pictures_and_stamps_of_its_rate(tmp_path: Path) -> None:
    frames = scenes(6)
    shots = tmp_path / "drive.frames"
    video = film(frames, tmp_path / "drive.mkv")
    prompts = prompts_file(tmp_path / "prompts.json", [0, 4])
    options = ["--prompts", prompts, "--auto", "--points-per-side", "4", "--every", "2"]
    label(video, *options, "--format", "coco,bag", "--out", tmp_path / "out")
    label(shots, *options, "--out", tmp_path / "of-pictures")
    found, expected = records(tmp_path / "out"), records(tmp_path / "of-pictures")
    assert list(found) == [0, 2, 4]
    for frame, record in found.items():
        assert masks_of(record) == masks_of(expected[frame]), frame
        pixels = np.asarray(Picture.open(tmp_path / "out" / "images" / "train" / record["image"]))
        assert np.array_equal(pixels, frames[frame].rgb)
    assert iou(masks_at(found[4], 5), frames[4].truth[0]) > 0.9
    stamps = sorted({at for topic, at, _ in bags.read(tmp_path / "out" / "bag") if topic == "/promptseg/masks"})
    assert len(stamps) == 3 and all(abs(at - n * 1001 / 30000 * 1e9) < 1e5 for at, n in zip(stamps, (0, 2, 4)))
    label(video, *options, "--fps", "10", "--end", "0.35", "--out", tmp_path / "tens")
    assert [record["stamp"] for record in records(tmp_path / "tens").values()] == [[0, 0], [0, 200_000_000]]


def masks_at(record: dict, number: int) -> np.ndarray:
    from pycocotools import mask as coco_mask

    (found,) = [o for o in record["objects"] if o["object"] == number]
    width, height = record["size"]
    return coco_mask.decode({"size": [height, width], "counts": found["counts"]}).astype(bool)


@needs_ffmpeg
def test_a_damaged_video_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    video = film(scenes(6), tmp_path / "drive.mkv")
    content = video.read_bytes()
    # The list of frames is whole, and the pictures at its end are not.
    video.write_bytes(content[: len(content) * 6 // 10])
    errors = label(video, "--auto", "--points-per-side", "2", "--out", tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    frames = manifest["frames"]
    assert 2 <= frames["train"] <= 4 and frames["train"] + frames["undecoded"] == manifest["inputs"]["video"]["frames"], errors
    video.write_bytes(b"no video")
    assert "neither a picture nor a video" in label(video, "--auto", "--out", tmp_path / "x", code=1)


@needs_ffmpeg
@pytest.mark.parametrize("kind", ["pictures", "video"])
def test_a_memory_follows_through_files_and_a_killed_run_goes_on(kind: str, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.json"
    prompts.write_text(json.dumps([{"frame": 0, "object": 1, "class": "ball", "points": [[18, 42]]}]))
    clip: Path = VIDEO / "frames"
    if kind == "video":
        clip = tmp_path / "clip.mkv"
        command = ["ffmpeg", "-v", "error", "-i", VIDEO / "frames" / "%02d.png", "-c:v", "ffv1", "-pix_fmt", "bgr0", clip]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    arguments = [clip, "--model", VIDEO, "--prompts", prompts, "--window", "5", "--format", "coco,png"]
    label(*arguments, "--out", tmp_path / "whole")
    track = [program(), "track", VIDEO / "frames", "--model", VIDEO, "--point", "18,42", "--format", "coco-rle", "--threads", "1"]
    lines = subprocess.run(list(map(str, track)), capture_output=True, text=True, check=True).stdout.splitlines()
    found = records(tmp_path / "whole")
    assert len(found) == len(lines) == 20
    # Up to the first window the masks are those of `track`.
    for line in map(json.loads, lines[:5]):
        (tracked,) = line["masks"]
        is_there = tracked["object_score"] > 0 and tracked["area"] > 0
        expected = [tracked["segmentation"]["counts"]] if is_there else []
        assert [o["counts"] for o in found[line["frame"]]["objects"]] == expected
    assert found[0]["objects"]
    out = tmp_path / "killed"
    command = [program(), "label", *map(str, arguments), "--out", str(out), "--threads", "1"]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while running.poll() is None and len(list((out / "frames").glob("0*.json"))) < 7:
        time.sleep(0.001)
    running.send_signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    label(*arguments, "--out", out)
    whole, resumed = files(tmp_path / "whole"), files(out)
    assert sorted(whole) == sorted(resumed)
    assert [name for name in whole if whole[name] != resumed[name]] == []


@pytest.mark.parametrize("count", [3, 9])
def test_joined_slices_are_one_run_byte_by_byte(count: int, tmp_path: Path) -> None:
    messages = recording(scenes(8))
    # An image that cannot be decoded, at the begin of a slice.
    broken = [i for i, m in enumerate(messages) if m.topic == "/camera/image_raw"][2]
    unknown = dataclasses.replace(messages[broken].message, encoding="unknown")
    messages[broken] = dataclasses.replace(messages[broken], message=unknown)
    bag = bags.write(tmp_path / "drive", messages)
    prompts = prompts_file(tmp_path / "prompts.json", [0, 5])
    options = ["--prompts", prompts, "--detections", "/detections", "--auto", "--points-per-side", "4", "--val", "0.3"]
    formats = ["--format", "coco,yolo,png,sa1b,bag"]
    label(bag, *options, *formats, "--out", tmp_path / "whole")
    slices = [tmp_path / f"slice{number}" for number in range(1, count + 1)]
    for number, folder in enumerate(slices, 1):
        label(bag, *options, "--slice", f"{number}/{count}", "--out", folder)
        assert not (folder / "manifest.json").exists()
    label(bag, *options, *formats, "--join", *slices, "--out", tmp_path / "joined")
    whole, joined = files(tmp_path / "whole"), files(tmp_path / "joined")
    assert sorted(whole) == sorted(joined)
    # The library that writes MCAP repeats the definitions at the end of the file in any order.
    assert [name for name in whole if whole[name] != joined[name] and name != "bag/bag_0.mcap"] == []
    of_whole, of_joined = ([(t, at, repr(m)) for t, at, m in bags.read(tmp_path / n / "bag")] for n in ("whole", "joined"))
    assert of_whole == of_joined
    numbers = {o["object"] for record in records(tmp_path / "whole").values() for o in record["objects"]}
    assert len(numbers) >= 4


def test_slices_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    bag = bags.write(tmp_path / "drive", recording(scenes(4)))
    options = [bag, "--detections", "/detections"]
    one, two, out = (tmp_path / name for name in ("one", "two", "out"))
    label(*options, "--slice", "1/2", "--out", one)
    label(*options, "--slice", "2/2", "--min-score", "0.5", "--out", two)
    errors = label(*options, "--join", one, two, "--out", out, code=1)
    assert "is no slice of this run" in errors and "detections was" in errors
    assert "slice was" in label(*options, "--join", one, one, "--out", out, code=1)
    assert "found no slice" in label(*options, "--join", one, tmp_path / "nothing", "--out", out, code=1)
    label(*options, "--slice", "2/2", "--overwrite", "--out", two)
    (two / "frames" / "000003.json").unlink()
    assert "no record of image 3" in label(*options, "--join", one, two, "--out", out, code=1)
    assert "expected K/N" in label(*options, "--slice", "3/2", "--out", two, code=2)
    prompts = prompts_file(tmp_path / "prompts.json", [0])
    followed = [VIDEO / "frames", "--model", VIDEO, "--prompts", prompts, "--slice", "1/2"]
    assert "from frame to frame" in label(*followed, "--out", tmp_path / "x", code=2)


def test_two_runs_do_not_write_into_one_folder(tmp_path: Path) -> None:
    bag = bags.write(tmp_path / "drive", recording(scenes(2)))
    out = tmp_path / "out"
    out.mkdir()
    options = [bag, "--auto", "--points-per-side", "2", "--out", out]
    folder = os.open(out, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        assert "another run works on this folder" in label(*options, code=1)
    finally:
        os.close(folder)
    label(*options)
    assert len(records(out)) == 2

"""`promptseg label --review` and corrections: edited masks and prompts change what depends on them, and nothing else."""

from __future__ import annotations

import html.parser
import json
import re
from pathlib import Path
from typing import Any

import bags
import numpy as np
import pytest
from PIL import Image as Picture
from pycocotools import mask as coco_mask

from test_label import CLASSES, VIDEO, files, label, load, masks, recording, scenes, video
from test_label_follow import assert_same, mask_file, objects, prompts_file, tracked


def edit(file: Path, number: int, inside: np.ndarray) -> None:
    """Draws an object into a picture of numbers, as an editor does: its pixels before become background."""
    picture = Picture.open(file)
    numbers = np.asarray(picture).copy()
    numbers[numbers == number] = 0
    numbers[inside] = number
    edited = Picture.fromarray(numbers, "P")
    edited.putpalette(picture.getpalette())
    edited.save(file)


def box_mask(size: tuple[int, int], x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    mask = np.zeros(size, bool)
    mask[y0:y1, x0:x1] = True
    return mask


class Links(html.parser.HTMLParser):
    """The files that a page names."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in ("src", "href") and value]


def test_the_review_has_the_worst_frames_first(tmp_path: Path) -> None:
    bag = bags.write(tmp_path / "drive", recording(scenes(6)))
    review = tmp_path / "worst"
    label(bag, "--detections", "/detections", "--review", review, "--review-frames", "4", "--out", tmp_path / "out")
    frames = json.loads((review / "review.json").read_text())["frames"]
    coco = load(tmp_path / "out" / "annotations" / "instances_train.json")
    scores: dict[int, float] = {}
    for annotation in coco.loadAnns(coco.getAnnIds()):
        score = annotation["score"] * annotation["stability_score"]
        scores[annotation["image_id"] - 1] = min(score, scores.get(annotation["image_id"] - 1, 9))
    assert [frame["frame"] for frame in frames] == sorted(scores, key=lambda frame: scores[frame])[:4]
    assert [frame["rank"] for frame in frames] == [1, 2, 3, 4]
    expected = masks(tmp_path / "out", "train")
    for frame in frames:
        assert frame["score"] == pytest.approx(scores[frame["frame"]], abs=2e-6)
        assert re.fullmatch(rf"overlays/{frame['rank']:04}_{frame['frame']:06}\.jpg", frame["overlay"])
        assert Picture.open(review / frame["overlay"]).size == (320, 240)
        numbers = np.asarray(Picture.open(review / frame["masks"]))
        for found in frame["objects"]:
            name, mask = expected[frame["frame"]][found["object"]]
            assert found["class"] == name and np.array_equal(numbers == found["object"], mask)
            assert np.array_equal(coco_mask.decode(found["segmentation"]).astype(bool), mask)
    links = Links()
    links.feed((review / "index.html").read_text())
    assert [link for link in links.found if link.startswith("overlays/")][::2] == [frame["overlay"] for frame in frames]
    assert all((review / link).is_file() for link in links.found)
    # A folder with other files is left alone.
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("")
    options = ["--detections", "/detections", "--review", tmp_path / "other", "--out", tmp_path / "out"]
    assert "found other files" in label(bag, *options, code=1)


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str | Path], Path, dict[int, np.ndarray]]:
    """A clip with an object that is prompted on the first frame: the command, its folder, and the masks."""
    folder = tmp_path_factory.mktemp("reviewed")
    bag = video(folder / "clip", 1)
    prompts = prompts_file(folder, {"frame": 0, "object": 1, "class": "ball", "points": [[18, 42]]})
    command = [bag, "--model", VIDEO, "--prompts", prompts, "--detections", "/boxes", "--out", folder / "out"]
    label(*command, "--review", folder / "worst")
    return [*command, "--review", folder / "worst"], folder, objects(folder / "out", 1)


def records(out: Path) -> dict[str, bytes]:
    return {name: content for name, content in files(out).items() if re.fullmatch(r"frames/\d+\.json", name)}


def computed(errors: str) -> int:
    """Masks that the run computed on other frames than those of the corrections."""
    found = re.search(r"(\d+) masks of their objects on other frames were computed", errors)
    assert found, errors
    return int(found[1])


def test_a_correction_changes_the_frames_that_depend_on_it_and_no_others(
    reviewed: tuple[list[Any], Path, dict[int, np.ndarray]],
) -> None:
    command, folder, before = reviewed
    out, worst = folder / "out", folder / "worst"
    first_pass, others = records(out), masks(out, "train")
    # Nothing was edited: nothing changes.
    assert label(*command) == ""
    size = next(iter(before.values())).shape
    # The first frame is given by a prompt, frame 10 by the edited mask: frames up to 5 stay.
    edited = box_mask(size, 100, 20, 130, 50)
    edit(worst / "masks" / "000010.png", 1, edited)
    count = computed(label(*command))
    found = objects(out, 1)
    reference = ["--mask", f"@10:{mask_file(folder, edited)}"]
    backward, forward = tracked(reference, "--reverse"), tracked(reference)
    expected = {f: m for f, m in before.items() if f <= 5}
    expected |= {f: m for f, m in backward.items() if 5 < f < 10} | {10: edited} | {f: m for f, m in forward.items() if f > 10}
    assert_same(found, expected)
    assert count == len([frame for frame in expected if 5 < frame != 10])
    assert records(out) == first_pass
    assert all(name == "ball" for of_frame in masks(out, "train").values() for number, (name, _) in of_frame.items() if number == 1)
    # The same command again: the edit is taken already.
    unchanged = files(out)
    assert label(*command) == "" and files(out) == unchanged
    # A second correction reaches half-way to the first.
    again = box_mask(size, 60, 60, 90, 100)
    edit(worst / "masks" / "000014.png", 1, again)
    count = computed(label(*command))
    later = objects(out, 1)
    assert_same({f: m for f, m in later.items() if f <= 12}, {f: m for f, m in expected.items() if f <= 12})
    assert np.array_equal(later[14], again)
    assert count == len([frame for frame in later if frame == 13 or frame > 14])
    # Objects of detections are what they were, except where the corrected one is.
    for frame, of_frame in masks(out, "train").items():
        for number, (name, mask) in of_frame.items():
            assert number == 1 or np.array_equal(others[frame][number][1], mask), (frame, number)
    manifest = json.loads((out / "manifest.json").read_text())
    assert (manifest["corrections"]["count"], manifest["corrections"]["objects"]) == (2, 1)
    # From the beginning, with the corrections alone: the same data set.
    fresh = folder / "fresh"
    place = command.index("--review")
    label(*command[: place - 1], fresh, "--corrections", out / "corrections.json")
    whole, made = files(out), files(fresh)
    assert sorted(whole) == sorted(made)
    assert [name for name in whole if whole[name] != made[name]] == []


def test_prompts_of_a_person_are_decoded_once(tmp_path: Path) -> None:
    bag = video(tmp_path / "clip", 1)
    prompts = prompts_file(tmp_path, {"frame": 0, "object": 1, "class": "ball", "points": [[18, 42]]})
    command = [bag, "--model", VIDEO, "--prompts", prompts, "--out", tmp_path / "out"]
    label(*command, "--review", tmp_path / "worst")
    given = [{"frame": 19, "object": 1, "box": [105, 24, 129, 44]}, {"frame": 99, "object": 1, "points": [[1, 1]]}]
    (tmp_path / "worst" / "prompts.json").write_text(json.dumps(given))
    errors = label(*command, "--review", tmp_path / "worst")
    assert "the corrections of frame 99 are not used" in errors and "1 new corrections" in errors
    box = tracked(["--box", "@19:105,24,129,44"])
    found = objects(tmp_path / "out", 1)
    assert np.array_equal(found[19], box[19])
    (stored,) = json.loads((tmp_path / "out" / "corrections.json").read_text())
    assert stored["box"] == [105, 24, 129, 44] and 0 < stored["iou"] < 1 and stored["class"] == "ball"
    assert "new corrections" not in label(*command, "--review", tmp_path / "worst")
    # Points refine the mask that is there: another one changes it.
    points = tmp_path / "points.json"
    points.write_text(json.dumps([{"frame": 19, "object": 1, "points": [[142, 43]]}]))
    label(*command, "--corrections", points)
    refined = objects(tmp_path / "out", 1)[19]
    assert not np.array_equal(refined, found[19])
    # Points without an image to fit in, and files of another form.
    points.write_text(json.dumps([{"frame": 3, "object": 1, "points": [[4000, 1]]}]))
    assert "the correction of object 1 on frame 3" in label(*command, "--corrections", points, code=1)
    points.write_text("{}")
    assert "expected a list" in label(*command, "--corrections", points, code=1)


def test_pictures_correct_frames_of_a_model_without_memory(tmp_path: Path) -> None:
    bag = bags.write(tmp_path / "drive", recording(scenes(4)))
    command = [bag, "--detections", "/detections", "--out", tmp_path / "out"]
    label(*command)
    before = masks(tmp_path / "out", "train")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    # A mask of one object, a picture of 16 bits with all of them, and a file that is no correction.
    moved = box_mask((240, 320), 5, 5, 40, 30)
    number = next(n for n, (name, _) in before[1].items() if name == CLASSES[0])
    Picture.fromarray(moved.astype(np.uint8) * 255).save(pictures / f"000001_{number}.png")
    numbers = np.zeros((240, 320), np.uint16)
    for found, (_, mask) in before[2].items():
        numbers[mask] = found
    gone, new = sorted(before[2])[0], 400
    numbers[numbers == gone] = 0
    numbers[moved] = new
    Picture.fromarray(numbers).save(pictures / "000002.png")
    (pictures / "notes.txt").write_text("")
    errors = label(*command, "--corrections", pictures)
    assert "notes.txt is not used" in errors and "3 new corrections; 0 masks" in errors
    after = masks(tmp_path / "out", "train")
    assert np.array_equal(after[1][number][1], moved) and after[1][number][0] == CLASSES[0]
    assert sorted(after[2]) == sorted({*before[2], new} - {gone})
    assert np.array_equal(after[2][new][1], moved) and after[2][new][0] == "object"
    for frame, of_frame in before.items():
        for found, (_, mask) in of_frame.items():
            if (frame, found) not in ((1, number), (2, gone)):
                assert np.array_equal(after[frame][found][1], mask)
    assert "new corrections" not in label(*command, "--corrections", pictures)
    # A wrong size and smooth edges are refused before anything is written.
    unchanged = files(tmp_path / "out")
    Picture.fromarray(numbers[:100]).save(pictures / "000002.png")
    assert "320x100 pixels, expected 320x240" in label(*command, "--corrections", pictures, code=1)
    Picture.new("RGB", (320, 240), (3, 4, 5)).save(pictures / "000002.png")
    assert "the colour (3, 4, 5) at (0, 0)" in label(*command, "--corrections", pictures, code=1)
    assert {name: content for name, content in files(tmp_path / "out").items() if name in unchanged and "manifest" not in name} == {
        name: content for name, content in unchanged.items() if "manifest" not in name
    }
    # Beginning again keeps the work of the person.
    assert "corrections.old.json" in label(*command, "--overwrite")
    assert (tmp_path / "out" / "corrections.old.json").is_file()
    assert_same({f: m for f, m in objects(tmp_path / "out", gone).items()}, {f: o[gone][1] for f, o in before.items()})

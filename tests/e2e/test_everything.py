"""`promptseg everything` and `promptseg proposals` with the tools that read their files: pycocotools and its COCOeval."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Picture
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from harness import ROOT, find_node

SCENES = [f"{number:03}" for number in range(3)]
GRID = ("--points-per-side", "16", "--pred-iou-thresh", "0.7", "--stability-score-thresh", "0.85", "--threads", "1")


def promptseg(*arguments: str) -> str:
    program = os.environ.get("PROMPTSEG_CLI", find_node().with_name("promptseg"))
    done = subprocess.run([str(program), *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "progress belongs on terminals"
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of all formats for the scenes."""
    folder = tmp_path_factory.mktemp("everything")
    pictures = [str(ROOT / "tests" / "scenes" / f"{name}.png") for name in SCENES]
    for form, out in (("png", ""), ("sa1b", ""), ("coco", "instances.json"), ("coco-results", "results.json")):
        promptseg("everything", *pictures, *GRID, "--format", form, "--out", f"{folder}/{out}")
    return folder


def load(path: Path) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


def evaluate(truth: COCO, results: Any, kind: str, **parameters: Any) -> COCOeval:
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(truth, truth.loadRes(results), kind)
        for name, value in parameters.items():
            setattr(evaluation.params, name, value)
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def mean_precision(evaluation: COCOeval) -> float:
    """AP over all IoU thresholds, for objects of all sizes and the largest number of detections."""
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    return float(precision[precision > -1].mean())


def test_masks_evaluate_to_1_against_themselves(folder: Path) -> None:
    truth = load(folder / "instances.json")
    assert len(truth.getImgIds()) == len(SCENES)
    annotations = truth.loadAnns(truth.getAnnIds())
    assert len(annotations) > 4 * len(SCENES)
    for annotation in annotations:
        mask = truth.annToMask(annotation)
        encoded = coco_mask.encode(np.asfortranarray(mask))
        assert encoded["counts"].decode() == annotation["segmentation"]["counts"], "the same string as that of pycocotools"
        assert mask.sum() == annotation["area"]
        assert list(coco_mask.toBbox(encoded)) == annotation["bbox"]
    for results in (str(folder / "results.json"), annotations):
        for kind in ("segm", "bbox"):
            evaluation = evaluate(truth, results, kind, maxDets=[1, 10, 1000])
            assert mean_precision(evaluation) == pytest.approx(1.0)
    # An evaluation that cannot fail shows nothing: shifted masks are worse.
    shifted = json.loads((folder / "results.json").read_text())
    for result in shifted:
        mask = np.roll(coco_mask.decode(result["segmentation"]), 6, axis=1)
        result["segmentation"] = coco_mask.encode(np.asfortranarray(mask))
    assert mean_precision(evaluate(truth, shifted, "segm", maxDets=[1, 10, 1000])) < 0.9


def test_files_in_the_form_of_sa_1b(folder: Path) -> None:
    fields = {"id", "segmentation", "bbox", "area", "predicted_iou", "stability_score", "point_coords", "crop_box"}
    ids: list[int] = []
    for number, name in enumerate(SCENES, 1):
        document = json.loads((folder / f"{name}.json").read_text())
        picture = Picture.open(ROOT / "tests" / "scenes" / f"{name}.png")
        width, height = picture.size
        assert document["image"] == {"image_id": number, "width": width, "height": height, "file_name": f"{name}.png"}
        masks = []
        for annotation in document["annotations"]:
            assert set(annotation) == fields
            mask = coco_mask.decode(annotation["segmentation"])
            assert mask.shape == (height, width) and mask.sum() == annotation["area"]
            rows, columns = np.nonzero(mask)
            extremes = [columns.min(), rows.min(), np.ptp(columns), np.ptp(rows)]
            assert annotation["bbox"] == extremes, "batched_mask_to_box of the reference, as x, y, width, height"
            assert annotation["crop_box"] == [0, 0, width, height]
            [(x, y)] = annotation["point_coords"]
            grid = (np.arange(16) + 0.5) / 16
            assert np.isclose(grid * width, x).any() and np.isclose(grid * height, y).any()
            assert annotation["predicted_iou"] > 0.7 and 0.85 <= annotation["stability_score"] <= 1
            masks.append(mask > 0)
        ids += [annotation["id"] for annotation in document["annotations"]]
        # The labels: smaller masks lie over larger masks; of equal masks the first lies on top.
        labels = np.zeros((height, width), np.uint16)
        for index in sorted(range(len(masks)), key=lambda index: (-masks[index].sum(), -index)):
            labels[masks[index]] = index + 1
        stored = Picture.open(folder / f"{name}_labels.png")
        assert stored.mode.startswith("I;16") and np.array_equal(np.asarray(stored), labels)
    assert ids == list(range(1, len(ids) + 1))


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The drawn objects of the scenes as a COCO file, with ids and classes that promptseg cannot guess."""
    images, annotations = [], []
    for number, name in enumerate(SCENES):
        labels = np.asarray(Picture.open(ROOT / "tests" / "scenes" / f"{name}_truth.png"))
        images.append({"id": 70 + number, "file_name": f"{name}.png", "width": labels.shape[1], "height": labels.shape[0]})
        for label in np.unique(labels[labels > 0]):
            encoded = coco_mask.encode(np.asfortranarray(labels == label).astype(np.uint8, order="F"))
            annotation = {"id": len(annotations) + 1, "image_id": 70 + number, "category_id": 30 + int(label), "iscrowd": 0}
            annotation |= {"segmentation": encoded | {"counts": encoded["counts"].decode()}}
            annotation |= {"area": int(coco_mask.area(encoded)), "bbox": list(coco_mask.toBbox(encoded))}
            annotations.append(annotation)
    categories = [{"id": number, "name": str(number)} for number in sorted({a["category_id"] for a in annotations})]
    path = tmp_path_factory.mktemp("truth") / "instances.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


def evaluation_as_documented() -> COCOeval:
    """The evaluation of the Python code in docs/cli.md, on the files of the current folder."""
    page = (ROOT / "docs" / "cli.md").read_text()
    [snippet] = [code for code in re.findall(r"```py\n(.*?)```", page, re.S) if "COCOeval" in code]
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(snippet, names)
    return names["evaluation"]


def greedy_recall(truth: COCO, results: list[dict[str, Any]], threshold: float) -> float:
    """The recall of masks in plain NumPy: results in the order of their scores take the best object that is free."""
    found = objects = 0
    for image in truth.getImgIds():
        masks = [truth.annToMask(a) > 0 for a in truth.loadAnns(truth.getAnnIds(image))]
        free = set(range(len(masks)))
        for result in sorted((r for r in results if r["image_id"] == image), key=lambda r: -r["score"]):
            mask = coco_mask.decode(result["segmentation"]) > 0
            ious = {i: (mask & masks[i]).sum() / (mask | masks[i]).sum() for i in free}
            best = max(ious, key=ious.__getitem__, default=None)
            if best is not None and ious[best] >= threshold:
                free.remove(best)
        found += len(masks) - len(free)
        objects += len(masks)
    return found / objects


def test_proposals_evaluate_without_classes(truth: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [str(ROOT / "tests" / "scenes" / f"{name}.png") for name in SCENES]
    file = truth.with_name("proposals.json")
    monkeypatch.chdir(truth.parent)
    printed = promptseg(
        "proposals", *pictures, "--points-per-side", "16", "--threads", "1", "--image-ids", str(truth), "--out", str(file)
    )
    assert printed == f"{file}\n"
    results = json.loads(file.read_text())
    objects = load(truth)
    without_classes = evaluation_as_documented()
    recall = without_classes.eval["recall"][:, 0, 0, -1]
    for threshold in (0.5, 0.75):
        index = int(np.argmin(np.abs(without_classes.params.iouThrs - threshold)))
        assert recall[index] == pytest.approx(greedy_recall(objects, results, threshold), abs=1e-9)
    assert recall[0] > 0.6, recall
    boxes = evaluate(objects, str(file), "bbox", useCats=0, maxDets=[1, 100, 1000])
    assert boxes.eval["recall"][0, 0, 0, -1] > 0.6
    with_classes = evaluate(objects, str(file), "segm", useCats=1, maxDets=[1, 100, 1000]).eval["recall"][0, :, 0, -1]
    assert sum(with_classes > 0) <= 1, "all results have one class"

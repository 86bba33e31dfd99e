#!/usr/bin/env python3
"""Compares data sets of `promptseg label` with the truth of the demo's scene: a table row for each data set.

    masks         in the data set, and how many a minute: from the times of its records
    IoU           mean over all true objects of the IoU with the best mask
    to correct    true objects without a mask of IoU 0.9: a person draws them or clicks again
    to remove     masks that show no true object (IoU below 0.5)
    AP, AP50      of COCOeval, all categories as one
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

DOCUMENT = Path(__file__).parents[1] / "docs" / "data-engine.md"
BEGIN, END = "<!-- walk-through: begin -->", "<!-- walk-through: end -->"
# A mask of this IoU is as good as drawn by hand.
GOOD = 0.9
# A mask below this IoU with every true object shows none.
SAME = 0.5


def silent(function: Any, *arguments: Any) -> Any:
    with contextlib.redirect_stdout(io.StringIO()):
        return function(*arguments)


def masks_per_minute(folder: Path, masks_by_frame: dict[int, int]) -> float:
    """The rate between the first and the last record of a data set that was made in one go."""
    times = sorted((file.stat().st_mtime_ns, int(file.stem)) for file in (folder / "frames").glob("[0-9]*.json"))
    seconds = (times[-1][0] - times[0][0]) / 1e9
    masks = sum(masks_by_frame.get(frame, 0) for _, frame in times[1:])
    return masks / seconds * 60 if seconds else float("nan")


def best_ious(truth: COCO, masks: dict[int, list[Any]]) -> tuple[np.ndarray, np.ndarray]:
    """For each true object on the frames of the data set the IoU of its best mask, and for each mask that of its best object."""
    of_truth, of_masks = [], []
    for image, found in masks.items():
        true = [annotation["segmentation"] for annotation in truth.imgToAnns[image]]
        ious = coco_mask.iou(found, true, [0] * len(true)) if found and true else np.zeros((len(found), len(true)))
        of_truth += list(ious.max(0)) if found else [0.0] * len(true)
        of_masks += list(ious.max(1)) if true else [0.0] * len(found)
    return np.array(of_truth), np.array(of_masks)


def evaluate(truth: COCO, folder: Path) -> dict[str, Any]:
    document = json.loads((folder / "annotations" / "instances_train.json").read_text())
    masks: dict[int, list[Any]] = {image["id"]: [] for image in document["images"]}
    results, counts = [], defaultdict(int)
    for annotation in document["annotations"]:
        masks[annotation["image_id"]].append(annotation["segmentation"])
        counts[annotation["image_id"] - 1] += 1
        results.append({key: annotation[key] for key in ("image_id", "segmentation", "score")} | {"category_id": 1})
    evaluation = COCOeval(truth, silent(truth.loadRes, results), "segm")
    evaluation.params.imgIds = sorted(masks)
    evaluation.params.useCats = 0
    silent(evaluation.evaluate), silent(evaluation.accumulate), silent(evaluation.summarize)
    of_truth, of_masks = best_ious(truth, masks)
    return {
        "frames": len(masks),
        "masks": len(results),
        "masks a minute": round(masks_per_minute(folder, counts)),
        "IoU": round(float(of_truth.mean()), 3),
        "to correct": f"{int((of_truth < GOOD).sum())} of {len(of_truth)}",
        "to remove": int((of_masks < SAME).sum()),
        "AP": round(float(evaluation.stats[0]), 3),
        "AP50": round(float(evaluation.stats[1]), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("truth", type=Path, help="truth.json of demo/scene_bag.py")
    parser.add_argument("--docs", action="store_true", help="also write the table into docs/data-engine.md")
    parser.add_argument("datasets", type=Path, nargs="+", metavar="DIR", help="--out of promptseg label")
    options = parser.parse_args()
    truth = silent(COCO, str(options.truth))
    rows = {folder.name: evaluate(truth, folder) for folder in options.datasets}
    columns = list(next(iter(rows.values())))
    table = f"| data set | {' | '.join(columns)} |\n|---|{'--:|' * len(columns)}\n"
    for name, row in rows.items():
        table += f"| {name} | {' | '.join(str(row[column]) for column in columns)} |\n"
    print(table, end="")
    if options.docs:
        before, rest = DOCUMENT.read_text().split(BEGIN, 1)
        DOCUMENT.write_text(f"{before}{BEGIN}\n{table}{END}{rest.split(END, 1)[1]}")


if __name__ == "__main__":
    main()

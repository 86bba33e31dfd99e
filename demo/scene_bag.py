#!/usr/bin/env python3
"""Writes a bag of the demo's scene, with what belongs to it, for the walk-through of docs/data-engine.md.

    DIR/bag           camera images and the boxes of a detector, as rosbag2 stores them (written by `rosbags`)
    DIR/prompts.json  a click on each thing on every frame, as a person gives them
    DIR/truth.json    the true visible masks, in COCO's format

ROS is not needed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from scene import HEIGHT, WIDTH, Scene, innermost, tight_box

sys.path.append(str(Path(__file__).parents[1] / "tests" / "e2e"))
import bags  # noqa: E402

# Things of which less is visible are in nobody's way.
LEAST_AREA = 100
# Standard deviation of the sides of the detector's boxes, in pixels.
BOX_ERROR = 2.0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="DIR")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of the recording (10)")
    parser.add_argument("--rate", type=float, default=10.0, help="images per second (10)")
    return parser.parse_args()


def annotation(number: int, frame: int, category: int, mask: np.ndarray) -> dict[str, Any]:
    """A true mask in COCO's format."""
    runs = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {
        "id": number,
        "image_id": frame + 1,
        "category_id": category,
        "segmentation": runs | {"counts": runs["counts"].decode()},
        "area": int(mask.sum()),
        "bbox": coco_mask.toBbox(runs).tolist(),
        "iscrowd": 0,
    }


def write(out: Path, seconds: float, rate: float) -> None:
    scene, rng = Scene(), np.random.default_rng(3)
    names = [thing.name for thing in scene.things]
    messages, prompts, images, truths = [], [], [], []
    for frame in range(round(seconds * rate)):
        t = frame / rate
        at = bags.START + round(t * 1e9)
        truth = {name: mask for name, mask in scene.truth(t).items() if mask.sum() >= LEAST_AREA}
        messages.append(bags.Recorded("/camera/image_raw", bags.IMAGE, at, bags.image(np.asarray(scene.picture(t)), at)))
        boxes = [(name, 0.9, tuple(np.array(tight_box(mask)) + rng.normal(0, BOX_ERROR, 4))) for name, mask in truth.items()]
        messages.append(bags.Recorded("/detections", bags.DETECTIONS, at, bags.detections(boxes, at)))
        images.append({"id": frame + 1, "file_name": f"{frame:06}.png", "width": WIDTH, "height": HEIGHT})
        for name, mask in truth.items():
            number = names.index(name) + 1
            prompts.append({"frame": frame, "object": number, "class": name, "points": [list(innermost(mask))]})
            truths.append(annotation(len(truths) + 1, frame, number, mask))
    out.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(out / "bag", ignore_errors=True)
    bags.write(out / "bag", messages)
    categories = [{"id": i, "name": name} for i, name in enumerate(names, 1)]
    (out / "prompts.json").write_text(json.dumps(prompts))
    (out / "truth.json").write_text(json.dumps({"images": images, "annotations": truths, "categories": categories}))
    print(f"{out}: {len(images)} images, {len(truths)} things")


if __name__ == "__main__":
    options = arguments()
    write(options.out, options.seconds, options.rate)

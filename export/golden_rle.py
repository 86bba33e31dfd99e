"""Writes masks and their encoding by pycocotools: golden_rle.py FOLDER -> coco_rle.json.

The pixels of a mask are stored in row-major order, eight per byte, in hexadecimal.
"""

import json
import sys
from pathlib import Path

import numpy as np
from pycocotools import mask as coco


def masks():
    random = np.random.default_rng(11)
    for height, width in ((1, 1), (1, 9), (9, 1), (4, 7), (48, 64)):
        yield np.zeros((height, width), np.uint8)
        yield np.ones((height, width), np.uint8)
    # Runs that end, begin, and continue at the borders of columns.
    edges = np.zeros((6, 5), np.uint8)
    edges[:, 1:3] = 1
    yield edges
    yield 1 - edges
    corner = np.zeros((6, 5), np.uint8)
    corner[-1, 0] = corner[0, 1] = corner[-1, -1] = 1
    yield corner
    # A run that ends with the image, in the last column, with a bounding box lower than the image.
    last = np.zeros((6, 5), np.uint8)
    last[3:, 3:] = 1
    yield last
    # Run lengths around the limits of one, two and three groups of five bits.
    for length in (15, 16, 17, 31, 32, 511, 512, 513, 16383, 16384):
        line = np.zeros((60, 2 * length // 60 + 1), np.uint8)
        line.T.flat[length : 2 * length + 1] = 1
        yield line
    for share in (0.02, 0.3, 0.5, 0.9):
        yield (random.random((37, 53)) < share).astype(np.uint8)
    y, x = np.mgrid[:120, :160]
    yield ((x - 70) ** 2 + (y - 66) ** 2 < 50**2).astype(np.uint8)


def case(mask):
    rle = coco.encode(np.asfortranarray(mask))
    return {
        "size": rle["size"],
        "pixels": np.packbits(mask).tobytes().hex(),
        "counts": rle["counts"].decode(),
        "area": int(coco.area(rle)),
    }


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    lines = ",\n".join(json.dumps(case(mask)) for mask in masks())
    (folder / "coco_rle.json").write_text(f"[\n{lines}\n]\n")

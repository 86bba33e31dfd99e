"""Reads CVAT 1.1 with datumaro: python read_cvat.py FILE. Prints the items as JSON: frame, name, and annotations."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import json
import sys
from types import ModuleType
from unittest.mock import MagicMock

import numpy as np


class NotNeeded(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Stands in for packages of 300 MB that datumaro imports for other work than reading XML."""

    NAMES = ("cv2", "pandas")

    def find_spec(self, name: str, path: object, target: object = None) -> importlib.machinery.ModuleSpec | None:
        return importlib.machinery.ModuleSpec(name, self) if name in self.NAMES else None

    def exec_module(self, module: ModuleType) -> None:
        module.__getattr__ = lambda name: MagicMock()


sys.meta_path.insert(0, NotNeeded())

from datumaro.components.annotation import AnnotationType
from datumaro.plugins.data_formats.cvat.base import CvatBase
from pycocotools import mask as coco_mask


def run_lengths(image: np.ndarray) -> dict:
    encoded = coco_mask.encode(np.asfortranarray(image, np.uint8))
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


def main(file: str) -> None:
    dataset = CvatBase(file)
    labels = dataset.categories()[AnnotationType.label]
    items = []
    for item in dataset:
        annotations = []
        for found in item.annotations:
            entry = {
                "type": found.type.name,
                "label": labels[found.label].name,
                "group": found.group,
                "attributes": {name: value for name, value in found.attributes.items()},
            }
            if found.type == AnnotationType.mask:
                entry["mask"] = run_lengths(found.image)
            else:
                entry["points"] = [float(value) for value in found.points]
            annotations.append(entry)
        items.append({"id": item.id, "frame": item.attributes["frame"], "annotations": annotations})
    print(json.dumps({"labels": [label.name for label in labels], "items": items}))


main(*sys.argv[1:])

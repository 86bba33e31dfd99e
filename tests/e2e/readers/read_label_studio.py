"""Reads brush strokes with Label Studio's converter: python read_label_studio.py FILE. Prints the masks of each task as JSON."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask


def converter() -> object:
    """The module of the package alone: the package itself imports pandas and nltk."""
    package = importlib.util.find_spec("label_studio_converter")
    spec = importlib.util.spec_from_file_location("brush", Path(package.origin).with_name("brush.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main(file: str) -> None:
    brush = converter()
    tasks = []
    for task in json.loads(Path(file).read_text()):
        (prediction,) = task["predictions"]
        masks = []
        for result in prediction["result"]:
            # The converter takes the strokes from beside the labels, as Label Studio exports them.
            flat = {**result, **result["value"]}
            (layer,) = brush.decode_from_annotation(result["from_name"], [flat]).values()
            encoded = coco_mask.encode(np.asfortranarray(layer > 0, np.uint8))
            masks.append({"labels": result["value"]["brushlabels"], "size": encoded["size"], "counts": encoded["counts"].decode()})
        tasks.append({"image": task["data"]["image"], "masks": masks})
    print(json.dumps(tasks))


main(*sys.argv[1:])

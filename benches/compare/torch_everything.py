"""A contender that segments everything: Meta's automatic mask generator. `torch_everything.py FAMILY MODEL SEED`.

It answers the requests `photo`, `everything` and `save` of everything.py, and `thresholds POINTS IOU STABILITY`: thresholds that
drop these parts of the candidates of a grid of POINTS clicks a side.
"""

import json
import sys
from importlib import import_module
from time import perf_counter

import numpy as np
import torch
from contender import THREADS, serve
from PIL import Image
from promptseg_export.cli import FAMILIES


class Generator:
    def __init__(self, family: str, model: str, seed: int):
        listing = next(f for f in FAMILIES if f.name == family)
        module = import_module(f"promptseg_export.{listing.module}")
        self.family = getattr(module, listing.build)(model, None, seed)
        self.image, self.masks = None, []

    def generate(self, settings: dict) -> list:
        network = self.family.network
        if self.family.family.startswith("sam2"):
            from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator as Kind
        else:
            from segment_anything import SamAutomaticMaskGenerator as Kind
        generator = Kind(network, output_mode="coco_rle", **settings)
        # The predictor of the family: MobileSAM is SAM with another encoder.
        generator.predictor = self.family.predictor
        with torch.inference_mode():
            return generator.generate(self.image)

    def photo(self, file: str) -> str:
        self.image = np.asarray(Image.open(file).convert("RGB"))
        return "ok"

    def everything(self, *changes: str) -> str:
        settings = {name: json.loads(value) for name, value in (change.split("=") for change in changes)}
        settings.pop("batch_megabytes", None)
        start = perf_counter()
        self.masks = self.generate(settings)
        milliseconds = (perf_counter() - start) * 1e3
        return f"{milliseconds:.2f} {settings.get('points_per_side', 32) ** 2} {len(self.masks)} {peak_megabytes():.1f}"

    def thresholds(self, points: str, iou: str, stability: str) -> str:
        everything = {"pred_iou_thresh": 0.0, "stability_score_thresh": 0.0, "box_nms_thresh": 1.0}
        masks = self.generate({"points_per_side": int(points), **everything})
        least_iou = float(np.quantile([m["predicted_iou"] for m in masks], float(iou)))
        rest = [m["stability_score"] for m in masks if m["predicted_iou"] > least_iou and np.isfinite(m["stability_score"])]
        return f"{least_iou:.6f} {float(np.quantile(rest, float(stability))):.6f}"

    def save(self, file: str) -> str:
        with open(file, "w") as out:
            json.dump(self.masks, out)
        return "ok"


def peak_megabytes() -> float:
    """The largest resident memory since the start of the process."""
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024 / 1e6


if __name__ == "__main__":
    torch.set_num_threads(THREADS)
    generator = Generator(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    serve({name: getattr(generator, name) for name in ("photo", "everything", "thresholds", "save")})

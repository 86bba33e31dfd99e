"""Makes tests/golden/everything: the masks of Meta's automatic mask generator, to compare the generator in Rust with.

    python -m promptseg_export.golden_everything ../tests/golden

`drawn.json`: SamAutomaticMaskGenerator on drawn logits instead of a network's, so that every rule is reached: crops, edges of
crops, ties, masks of one pixel, empty masks, small regions. The logits are in `drawn.safetensors`, in the order in which
clicks are decoded. Masks are COCO's compressed run lengths.
"""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from pycocotools import mask as coco
from safetensors.numpy import save_file
from segment_anything import SamAutomaticMaskGenerator, SamPredictor
from segment_anything.modeling import Sam
from torchvision.ops import box_iou

SIDE = 64
"""Side of the square of the drawn network, in pixels."""
LOW_RES = SIDE // 4
WIDTH, HEIGHT = 150, 110
CLICKS = 100


class DrawnPredictor(SamPredictor):
    """Answers the clicks in turn with stored logits."""

    def __init__(self, logits: np.ndarray, ious: np.ndarray):
        network = SimpleNamespace(image_encoder=SimpleNamespace(img_size=SIDE), mask_threshold=0.0, device="cpu")
        super().__init__(network)
        self.logits, self.ious, self.next = torch.from_numpy(logits), torch.from_numpy(ious), 0

    def set_image(self, image, image_format="RGB"):
        self.original_size = image.shape[:2]
        self.input_size = self.transform.get_preprocess_shape(*self.original_size, SIDE)

    def predict_torch(self, point_coords, point_labels, boxes=None, mask_input=None, multimask_output=True, return_logits=False):
        assert multimask_output and return_logits
        clicks = slice(self.next, self.next + len(point_coords))
        self.next += len(point_coords)
        low_res = self.logits[clicks]
        masks = Sam.postprocess_masks(self.model, low_res, self.input_size, self.original_size)
        return masks, self.ious[clicks], low_res


def drawn_logits() -> tuple:
    """Blobs of all sizes, many with small holes and islands, some with soft borders; some squares without a mask."""
    random = np.random.default_rng(5)
    y, x = np.mgrid[:LOW_RES, :LOW_RES] + 0.5
    logits = np.empty((CLICKS, 3, LOW_RES, LOW_RES), np.float32)
    for click in range(CLICKS):
        centre = random.uniform(1, [LOW_RES - 1, (LOW_RES - 1) * HEIGHT / WIDTH])
        for mask in range(3):
            radius = random.uniform(0.8, 5) * (mask + 1) / 2
            stretch = random.uniform(0.5, 2)
            distance = np.hypot((x - centre[0]) * stretch, (y - centre[1]) / stretch)
            hardness = random.choice([0.5, 10, 30])
            drawn = (radius - distance) * hardness
            for _ in range(random.integers(0, 3)):
                row, column = random.integers(0, LOW_RES, 2)
                drawn[row, column] = -drawn[row, column]
            logits[click, mask] = drawn
    logits[::13, 1] = -5  # no mask: 0 / 0 pixels are stable
    logits[7::13, 2, 3:5, 3:5] = 6
    logits[3] = logits[2]  # equal boxes
    ious = random.uniform(0.7, 1.0, (CLICKS, 3)).astype(np.float32)
    ious[3] = ious[2]  # and equal scores
    # Exact in half precision.
    return np.clip(np.round(logits * 32) / 32, -30, 30).astype(np.float32), ious


def one_pixel(logits: np.ndarray) -> np.ndarray:
    """Every third click gets masks whose peak is above the threshold at a single pixel of the image."""
    logits = logits.copy()
    predictor = DrawnPredictor(logits, np.zeros((CLICKS, 3), np.float32))
    predictor.set_image(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    for click in range(0, CLICKS, 3):
        row, column = 2 + click % 7, 2 + click % 11
        for peak in np.arange(0.03125, 8, 0.03125):
            square = np.full((1, 1, LOW_RES, LOW_RES), -8, np.float32)
            # Steeper to one side, so that one pixel is the highest.
            square[0, 0, : row + 1, : column + 1] = -3
            square[0, 0, row, column] = peak
            masks = Sam.postprocess_masks(
                predictor.model, torch.from_numpy(square), predictor.input_size, predictor.original_size
            )
            if (masks > 0).sum() == 1:
                logits[click, 1] = square[0, 0]
                break
    return logits


def records(masks: list) -> list:
    """The generator's records, small enough to be stored."""

    def record(found: dict) -> dict:
        rle = found["segmentation"]
        height, width = rle["size"]
        counts = rle["counts"]
        if isinstance(counts, list):
            counts = coco.frPyObjects({"size": [height, width], "counts": counts}, height, width)["counts"]
        stability = found["stability_score"]
        return {
            "counts": counts.decode() if isinstance(counts, bytes) else counts,
            "area": int(found["area"]),
            "bbox": [int(v) for v in found["bbox"]],
            "predicted_iou": found["predicted_iou"],
            "stability_score": None if np.isnan(stability) else stability,
            "point": found["point_coords"][0],
            "crop_box": [int(v) for v in found["crop_box"]],
        }

    return [record(found) for found in masks]


DRAWN_CASES = {
    "defaults": {},
    "loose": {"pred_iou_thresh": 0.0, "stability_score_thresh": 0.0},
    "two_crop_layers": {"crop_n_layers": 2, "crop_n_points_downscale_factor": 2, "pred_iou_thresh": 0.75},
    "crops": {"points_per_side": 4, "crop_n_layers": 1, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.3},
    "min_area": {"min_mask_region_area": 120, "pred_iou_thresh": 0.7, "stability_score_thresh": 0.5},
    "one_pixel": {"stability_score_offset": 0.0, "pred_iou_thresh": 0.0, "box_nms_thresh": 0.3},
    "nothing": {"pred_iou_thresh": 0.9999},
    "small_batches": {"points_per_batch": 5, "box_nms_thresh": 0.5, "pred_iou_thresh": 0.8},
}


def generate(logits: np.ndarray, ious: np.ndarray, settings: dict) -> list:
    """The masks of drawn logits."""
    network = SimpleNamespace(image_encoder=SimpleNamespace(img_size=SIDE), mask_threshold=0.0, device="cpu")
    generator = SamAutomaticMaskGenerator(network, output_mode="coco_rle", **settings)
    generator.predictor = DrawnPredictor(logits, ious)
    return generator.generate(np.zeros((HEIGHT, WIDTH, 3), np.uint8))


def exact_thresholds(logits: np.ndarray, ious: np.ndarray) -> dict:
    """Thresholds that are equal to a predicted IoU, a stability score and an IoU of boxes, each of which decides about a mask."""
    keep_all = {"points_per_side": 6, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0, "box_nms_thresh": 1.0}
    masks = generate(logits, ious, keep_all)
    boxes = torch.tensor([[x, y, x + w, y + h] for x, y, w, h in (m["bbox"] for m in masks)]).float()
    choices = {
        "pred_iou_thresh": [m["predicted_iou"] for m in masks if 0.75 < m["predicted_iou"] < 0.85],
        "stability_score_thresh": [m["stability_score"] for m in masks if 0.4 < m["stability_score"] < 0.7],
        "box_nms_thresh": [float(v) for v in np.unique(box_iou(boxes, boxes)) if 0.4 < v < 0.8],
    }
    # A mask at the threshold of the predicted IoU or of the boxes is dropped, at that of the stability score it is kept.
    next_to = {
        "pred_iou_thresh": lambda v: float(np.nextafter(np.float32(v), np.float32(0))),
        "stability_score_thresh": lambda v: float(np.nextafter(np.float32(v), np.float32(1))),
        "box_nms_thresh": lambda v: float(np.nextafter(v, 0)),
    }

    def decides(settings: dict, name: str) -> bool:
        """Whether the next number as a threshold changes the masks."""
        beside = {**settings, name: next_to[name](settings[name])}
        return records(generate(logits, ious, settings)) != records(generate(logits, ious, beside))

    random = np.random.default_rng(1)
    for _ in range(1000):
        settings = {**keep_all, **{name: float(random.choice(values)) for name, values in choices.items()}}
        if all(decides(settings, name) for name in choices):
            return settings
    raise SystemExit("no thresholds that each decide about a mask")


def drawn(out: Path) -> None:
    logits, ious = drawn_logits()
    pixels = one_pixel(logits)
    save_file(
        {"logits": logits.astype(np.float16), "one_pixel": pixels.astype(np.float16), "ious": ious}, out / "drawn.safetensors"
    )
    (out / "drawn.safetensors").chmod(0o644)
    cases = []
    for name, settings in {**DRAWN_CASES, "exact_thresholds": exact_thresholds(logits, ious)}.items():
        settings = {"points_per_side": 6, **settings}
        masks = generate(pixels if name == "one_pixel" else logits, ious, settings)
        cases.append({"case": name, "settings": settings, "masks": records(masks)})
        print(f"{name}: {len(masks)} masks, {sum(m['area'] <= 1 for m in masks)} of one pixel or less")
    (out / "drawn.json").write_text(json.dumps({"width": WIDTH, "height": HEIGHT, "side": SIDE, "cases": cases}) + "\n")


@torch.no_grad()
def make(out: Path) -> None:
    folder = out / "everything"
    folder.mkdir(exist_ok=True)
    drawn(folder)


if __name__ == "__main__":
    make(Path(sys.argv[1]))

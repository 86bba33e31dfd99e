"""Makes tests/golden/everything/networks.json: the masks of Meta's automatic mask generators with small networks, on photos.

    python -m promptseg_export.golden_everything_networks ../tests/golden

The networks are those of tests/golden/sam and tests/golden/sam2, with random weights, and models/tiny, which is trained. The
generators are SamAutomaticMaskGenerator and SAM2AutomaticMaskGenerator. The logits of promptseg differ from those of PyTorch
by roundings, so each threshold lies in the middle of a gap between the values that it is compared with, and a case is
written only if noise of the size of the roundings changes no box, no score and no order. At the usual threshold the masks of
random weights cover the whole photo; a higher one makes them small.
"""

import json
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import onnxruntime
import torch
from PIL import Image
from pycocotools import mask as coco
from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
from segment_anything import SamAutomaticMaskGenerator, SamPredictor
from segment_anything.modeling import Sam
from torchvision.ops import box_iou

from . import sam, sam2
from .family import MEAN, STD
from .golden import SEED
from .golden_everything import records

NOISE = 1e-6
"""Standard deviation of the noise, as a part of the range of the logits, and of the predicted IoU."""
KEEP_ALL = {"pred_iou_thresh": 0.0, "stability_score_thresh": 0.0, "box_nms_thresh": 1.0, "crop_nms_thresh": 1.0}


class Noisy:
    """Adds noise to low-resolution logits and predicted IoU while `on`."""

    def __init__(self):
        self.on, self.generator = False, torch.Generator().manual_seed(1)

    def __call__(self, logits: torch.Tensor, ious: torch.Tensor) -> tuple:
        if not self.on:
            return logits, ious
        noise = NOISE * (logits.max() - logits.min()) * torch.randn(logits.shape, generator=self.generator)
        return logits + noise, ious + NOISE * torch.randn(ious.shape, generator=self.generator)


class SamNetwork:
    """The small SAM of tests/golden/sam."""

    bundle, generator = "tests/golden/sam", SamAutomaticMaskGenerator
    settings = {"mask_threshold": 2.5, "stability_score_offset": 0.2}
    dropped = (0.1, 0.2), (0.2, 0.1), (0.15, 0.3), (0.3, 0.15)
    """Parts of the candidates that predicted IoU and stability score drop, in the order in which they are tried."""

    def __init__(self, noisy: Noisy):
        self.network = sam.build("small", None, SEED).network
        self.network.mask_decoder.register_forward_hook(lambda _, __, output: noisy(*output))

    def make(self, settings: dict):
        settings = dict(settings)
        self.network.mask_threshold = settings.pop("mask_threshold", 0.0)
        return self.generator(self.network, output_mode="coco_rle", **settings)


class Sam2Network:
    """The small SAM 2.1 of tests/golden/sam2."""

    bundle, generator = "tests/golden/sam2", SAM2AutomaticMaskGenerator
    settings = {"mask_threshold": 10.0, "stability_score_offset": 0.2}
    dropped = (0.2, 0.2), (0.1, 0.3), (0.3, 0.1), (0.15, 0.15)

    def __init__(self, noisy: Noisy):
        family = sam2.build_2_1("small", None, SEED, with_memory=False)
        family.fall_back(True)
        self.network = family.network

        def hook(_, __, output):
            return (*noisy(*output[:2]), *output[2:])

        self.network.sam_mask_decoder.register_forward_hook(hook)

    def make(self, settings: dict):
        generator = self.generator(self.network, output_mode="coco_rle", **settings)
        # The predictor assumes 1024 pixels.
        generator.predictor._bb_feat_sizes = [(self.network.image_size // stride,) * 2 for stride in (4, 8, 16)]
        return generator


class TinyPredictor(SamPredictor):
    """models/tiny in ONNX Runtime behind the interface of SamPredictor."""

    SIDE = 256

    def __init__(self, folder: Path, noisy: Noisy):
        encoder = SimpleNamespace(img_size=self.SIDE)
        super().__init__(SimpleNamespace(image_encoder=encoder, mask_threshold=0.0, device="cpu"))
        self.noisy = noisy
        self.encoder, self.decoder = (
            onnxruntime.InferenceSession(folder / f"{name}.onnx", providers=["CPUExecutionProvider"])
            for name in ("image_encoder", "mask_decoder")
        )

    def set_image(self, image, image_format="RGB"):
        self.original_size = image.shape[:2]
        resized = self.transform.apply_image(image)
        self.input_size = resized.shape[:2]
        pixels = (resized.transpose(2, 0, 1) - np.reshape(MEAN, (3, 1, 1))) / np.reshape(STD, (3, 1, 1))
        square = np.zeros((1, 3, self.SIDE, self.SIDE), np.float32)
        square[0, :, : self.input_size[0], : self.input_size[1]] = pixels
        names = [output.name for output in self.encoder.get_outputs()]
        self.features = dict(zip(names, self.encoder.run(None, {"image": square})))

    def predict_torch(self, point_coords, point_labels, boxes=None, mask_input=None, multimask_output=True, return_logits=False):
        assert multimask_output and return_logits
        count, side = len(point_coords), self.SIDE // 2
        # SAM adds a padding point to clicks; the graph takes it with the clicks.
        points = np.concatenate([point_coords.numpy(), np.zeros((count, 1, 2))], 1).astype(np.float32)
        labels = np.concatenate([point_labels.numpy(), -np.ones((count, 1))], 1).astype(np.float32)
        prompts = {
            "point_coords": points, "point_labels": labels,
            "mask_input": np.zeros((count, 1, side, side), np.float32), "has_mask_input": np.zeros(count, np.float32),
        }  # fmt: skip
        logits, ious = self.decoder.run(["low_res_masks", "iou_predictions"], {**self.features, **prompts})
        low_res, ious = self.noisy(torch.from_numpy(logits)[:, 1:], torch.from_numpy(ious)[:, 1:])
        return Sam.postprocess_masks(self.model, low_res, self.input_size, self.original_size), ious, low_res


class TinyNetwork:
    """models/tiny."""

    bundle, generator = "models/tiny", SamAutomaticMaskGenerator
    settings = {}
    dropped = (0.4, 0.5), (0.5, 0.4), (0.5, 0.6), (0.6, 0.5)

    def __init__(self, noisy: Noisy):
        self.predictor = TinyPredictor(Path(__file__).parents[2] / self.bundle, noisy)

    def make(self, settings: dict):
        generator = self.generator(self.predictor.model, output_mode="coco_rle", **settings)
        generator.predictor = self.predictor
        return generator


@contextmanager
def without_pixels():
    """Generators return masks without pixels, in a fraction of the time."""

    def empty(masks: torch.Tensor) -> list:
        return [{"size": list(masks.shape[1:]), "counts": [masks[0].numel()]} for _ in masks]

    kinds = "segment_anything.automatic_mask_generator", "sam2.automatic_mask_generator"
    with mock.patch(f"{kinds[0]}.mask_to_rle_pytorch", empty), mock.patch(f"{kinds[1]}.mask_to_rle_pytorch", empty):
        yield


@contextmanager
def noise(noisy: Noisy):
    noisy.on = True
    try:
        yield
    finally:
        noisy.on = False


def gap(values, quantile: float, width: float = 0.06) -> float:
    """The middle of the widest gap between the values around a quantile."""
    values = np.sort(np.asarray([v for v in values if np.isfinite(v)]))
    low, high = (np.clip(round((quantile + d) * (len(values) - 1)), 0, len(values) - 1) for d in (-width, width))
    part = values[low : high + 1]
    at = int(np.argmax(np.diff(part)))
    return float(np.float32((part[at] + part[at + 1]) / 2))


def near(values, wanted: float, width: float = 0.04) -> float:
    """The middle of the widest gap between the values around `wanted`."""
    part = np.sort([wanted - width, wanted + width, *(v for v in values if abs(v - wanted) < width)])
    at = int(np.argmax(np.diff(part)))
    return float((part[at] + part[at + 1]) / 2)


def thresholds(network, photo: np.ndarray, settings: dict, chosen: dict) -> dict:
    """The thresholds of a case, in gaps of the values that they are compared with.

    `chosen` has the quantiles of pred_iou_thresh and stability_score_thresh; 0 keeps every mask.
    """
    with without_pixels():
        masks = network.make({**settings, "min_mask_region_area": 0, **KEEP_ALL}).generate(photo)
    found = {}
    for name, field in (("pred_iou_thresh", "predicted_iou"), ("stability_score_thresh", "stability_score")):
        if not chosen[name]:
            found[name] = 0.0
            continue
        found[name] = gap([m[field] for m in masks], chosen[name])
        masks = [m for m in masks if m[field] >= found[name]]
    boxes = np.array([[x, y, x + w, y + h] for x, y, w, h in (m["bbox"] for m in masks)], np.float32)
    overlaps = np.unique(box_iou(torch.from_numpy(boxes), torch.from_numpy(boxes)).numpy().ravel())
    found["box_nms_thresh"] = min(near(overlaps, chosen.get("box_nms_thresh", 0.7)), 1.0)
    found["crop_nms_thresh"] = found["box_nms_thresh"]
    return found


def differences(masks: list, others: list) -> str | None:
    """Why two lists of masks are not the same up to single pixels at their borders; None if they are."""
    if len(masks) != len(others):
        return f"{len(masks)} and {len(others)} masks"
    for index, (a, b) in enumerate(zip(masks, others)):
        if a["point_coords"] != b["point_coords"] or a["crop_box"] != b["crop_box"]:
            return f"mask {index}: another order"
        if a["bbox"] != b["bbox"]:
            return f"mask {index}: boxes {a['bbox']} and {b['bbox']}"
        if abs(a["predicted_iou"] - b["predicted_iou"]) > 5e-5:
            return f"mask {index}: predicted IoU"
        # A mask of a few pixels may gain or lose one.
        if abs(a["stability_score"] - b["stability_score"]) > max(5e-5, 1 / max(a["area"], 1)):
            return f"mask {index}: stability {a['stability_score']} and {b['stability_score']}"
        if coco.iou([a["segmentation"]], [b["segmentation"]], [0])[0, 0] < 0.999 and a["area"]:
            return f"mask {index}: pixels"
    return None


CASES = {
    SamNetwork: {
        "defaults": ("chelsea", {}, {}),
        "two_crop_layers": ("astronaut", {"points_per_side": 8, "crop_n_layers": 2, "crop_n_points_downscale_factor": 2}, {}),
        "min_area": ("chelsea", {"points_per_side": 8, "min_mask_region_area": 30}, {}),
        "not_a_number": ("astronaut", {"points_per_side": 5, "mask_threshold": 5.0}, KEEP_ALL),
        "nothing": ("astronaut", {"points_per_side": 3, "pred_iou_thresh": 1.0}, None),
    },
    Sam2Network: {
        "defaults": ("chelsea", {}, {"box_nms_thresh": 0.95}),
        "m2m": ("astronaut", {"points_per_side": 4, "use_m2m": True}, {"box_nms_thresh": 1.0}),
        "crops": ("chelsea", {"points_per_side": 8, "crop_n_layers": 1, "points_per_batch": 50}, {"box_nms_thresh": 0.95}),
    },
    TinyNetwork: {
        "defaults": ("chelsea", {}, {}),
        "crops": ("flower", {"points_per_side": 8, "crop_n_layers": 1}, {}),
    },
}
def stable_case(network, noisy: Noisy, photo: np.ndarray, settings: dict, chosen: dict | None) -> tuple:
    """The settings with thresholds that rounding does not decide, and the masks."""
    for iou, stability in network.dropped:
        final = settings
        if chosen is not None:
            quantiles = {"pred_iou_thresh": iou, "stability_score_thresh": stability}
            final = {**settings, **thresholds(network, photo, settings, {**quantiles, **chosen})}
        masks = network.make(final).generate(photo)
        with noise(noisy):
            problem = differences(masks, network.make(final).generate(photo))
        if problem is None:
            return final, masks
        print(f"  rounding decides: {problem}", flush=True)
    raise SystemExit("no thresholds that rounding does not decide")


@torch.no_grad()
def make(out: Path) -> None:
    written = []
    for kind, cases in CASES.items():
        noisy = Noisy()
        network = kind(noisy)
        for name, (photo, settings, chosen) in cases.items():
            key = f"{Path(kind.bundle).name}/{name}"
            pixels = np.array(Image.open(out / f"{photo}.png").convert("RGB"))
            final, masks = stable_case(network, noisy, pixels, {"points_per_side": 16, **kind.settings, **settings}, chosen)
            areas = [m["area"] for m in masks]
            print(f"{key}: {len(masks)} masks of {min(areas, default=0)} to {max(areas, default=0)} pixels; {final}", flush=True)
            case = {"case": key, "bundle": kind.bundle, "photo": photo}
            written.append({**case, "settings": final, "masks": records(masks)})
    lines = ",\n".join(json.dumps(case) for case in written)
    (out / "everything" / "networks.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    make(Path(sys.argv[1]))

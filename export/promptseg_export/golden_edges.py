"""Makes tests/golden/everything/edges_*.png: edges as the text of the paper describes them, in plain NumPy.

    python -m promptseg_export.golden_edges ../tests/golden

Kirillov et al. 2023, appendix "Zero-shot edge detection": a grid of clicks with three masks each, not filtered by predicted IoU
or stability; redundant masks are removed by NMS; the Sobel filter of the unthresholded probabilities, set to zero where it does
not meet the outer boundary of its mask; the pixel-wise maximum of all masks; linear normalisation to 0..1; edge NMS, here that
of Dollar's Structured Edge Detection toolbox (edgesDetect.m, edgesNmsMex.cpp). Strengths are stored in 16 bits.

`drawn` are the logits of drawn.safetensors, `tiny` is models/tiny on a photo.
"""

import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from scipy import ndimage
from segment_anything.modeling import Sam
from segment_anything.utils.amg import batched_mask_to_box, build_point_grid
from torchvision.ops import nms

from .golden_everything import HEIGHT, WIDTH, DrawnPredictor, drawn_logits
from .golden_everything_networks import Noisy, TinyNetwork

NMS_THRESH = 0.7


def strength(logits: np.ndarray, ious: np.ndarray) -> np.ndarray:
    """The edges before thinning, from logits [N, H, W] and predicted IoU [N]."""
    boxes = batched_mask_to_box(torch.from_numpy(logits > 0)).float()
    strongest = np.zeros(logits.shape[1:])
    for index in nms(boxes, torch.from_numpy(ious), NMS_THRESH).numpy():
        probability = 1 / (1 + np.exp(-logits[index].astype(np.float64)))
        along_x, along_y = (
            cv2.Sobel(probability, cv2.CV_64F, *order, ksize=3, borderType=cv2.BORDER_REPLICATE) for order in ((1, 0), (0, 1))
        )
        mask = logits[index] > 0
        outer = ndimage.binary_dilation(mask, np.ones((3, 3))) & ~mask
        strongest = np.maximum(strongest, np.where(outer, np.hypot(along_x, along_y), 0))
    return (strongest - strongest.min()) / (strongest.max() - strongest.min())


def triangle(values: np.ndarray, radius: int) -> np.ndarray:
    """convTri of the toolbox."""
    weights = np.r_[1 : radius + 2, radius:0:-1] / (radius + 1) ** 2
    for axis in (0, 1):
        values = ndimage.correlate1d(values, weights, axis, mode="reflect")
    return values


def interpolated(values: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    height, width = values.shape
    x, y = np.clip(x, 0, width - 1.001), np.clip(y, 0, height - 1.001)
    return ndimage.map_coordinates(values, [y, x], order=1)


def thinned(edges: np.ndarray) -> np.ndarray:
    """convTri, the orientation, and edgesNmsMex(E, O, 1, 5, 1.01) of the toolbox."""
    edges = triangle(edges, 1)
    along_y, along_x = np.gradient(triangle(edges, 4))
    (_, xx), (yy, xy) = np.gradient(along_x), np.gradient(along_y)
    orientation = np.mod(np.arctan(yy * np.sign(-xy) / (xx + 1e-5)), np.pi)
    y, x = np.mgrid[: edges.shape[0], : edges.shape[1]]
    kept = edges > 0
    for d in (-1, 1):
        neighbour = interpolated(edges, x + d * np.cos(orientation), y + d * np.sin(orientation))
        kept &= edges * 1.01 >= neighbour
    height, width = edges.shape
    margin = min(5, width // 2, height // 2)
    weight_x, weight_y = (np.minimum(np.minimum(np.arange(n), np.arange(n)[::-1]) / margin, 1) for n in (width, height))
    return np.where(kept, edges, 0) * weight_x * weight_y[:, None]


def drawn() -> tuple:
    """The logits of all drawn masks, at the size of the image."""
    logits, ious = drawn_logits()
    clicks = 36
    predictor = DrawnPredictor(logits, ious)
    predictor.set_image(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    low_res = torch.from_numpy(logits[:clicks])
    masks = Sam.postprocess_masks(predictor.model, low_res, predictor.input_size, predictor.original_size)
    return masks.flatten(0, 1).numpy(), ious[:clicks].ravel()


def tiny(photo: np.ndarray) -> tuple:
    """The logits of models/tiny for 16 x 16 clicks on a photo."""
    predictor = TinyNetwork(Noisy()).predictor
    predictor.set_image(photo)
    height, width = photo.shape[:2]
    points = predictor.transform.apply_coords(build_point_grid(16) * [width, height], (height, width))
    labels = torch.ones((len(points), 1), dtype=torch.int)
    masks, ious, _ = predictor.predict_torch(torch.from_numpy(points)[:, None], labels, return_logits=True)
    return masks.flatten(0, 1).numpy(), ious.flatten().numpy()


@torch.no_grad()
def make(out: Path) -> None:
    photo = np.array(Image.open(out / "astronaut.png").convert("RGB"))
    for name, (logits, ious) in {"drawn": drawn(), "tiny": tiny(photo)}.items():
        edges = strength(logits, ious)
        for kind, values in (("strength", edges), ("thinned", thinned(edges))):
            sixteen_bits = np.round(values * 65535).astype(np.uint16)
            Image.fromarray(sixteen_bits).save(out / "everything" / f"edges_{name}_{kind}.png", optimize=True)
            print(f"{name} {kind}: {(values > 0).mean():.3f} of the pixels, at most {values.max():.3f}")


if __name__ == "__main__":
    make(Path(sys.argv[1]))

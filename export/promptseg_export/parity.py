"""PyTorch against the exported graphs in ONNX Runtime, prompt kind by prompt kind."""

from pathlib import Path

import numpy as np
import onnxruntime
import torch

from . import bundle

LIMIT = 1e-3
"""Largest difference of the low-resolution logits that is accepted, as a part of their range."""


class Mismatch(Exception):
    """The exported graphs do not do what the PyTorch model does."""


def session(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def picture(side: int) -> torch.Tensor:
    """A normalised picture with large and small structure, [1, 3, side, side]; a photo is no better for comparing."""
    generator = torch.Generator().manual_seed(0)
    picture = torch.zeros(1, 3, side, side)
    for cells in (4, 16, 64):
        noise = torch.randn(1, 3, cells, cells, generator=generator)
        picture += torch.nn.functional.interpolate(noise, size=(side, side), mode="bilinear")
    return picture


def prompts(side: int, low_res: int):
    """Name, points, labels, boxes and masks, in the model's frame, of each prompt kind that is compared."""
    generator = torch.Generator().manual_seed(1)

    def points(objects: int, n: int) -> torch.Tensor:
        return torch.rand(objects, n, 2, generator=generator) * side

    def labels(values: list, objects: int = 1) -> torch.Tensor:
        return torch.tensor([values]).repeat(objects, 1)

    box = torch.tensor([[0.2, 0.3, 0.6, 0.8]]) * side
    boxes = torch.tensor([[0.1, 0.1, 0.4, 0.3], [0.5, 0.2, 0.9, 0.9], [0.0, 0.6, 0.3, 1.0]]) * side
    mask = torch.randn(1, 1, low_res, low_res, generator=generator) * 4
    masks = torch.randn(2, 1, low_res, low_res, generator=generator) * 4
    yield "point", (points(1, 1), labels([1])), None, None
    yield "negative", (points(1, 3), labels([1, 0, 0])), None, None
    yield "box", None, box, None
    yield "point and box", (points(1, 1), labels([1])), box, None
    yield "mask", None, None, mask
    yield "point and mask", (points(1, 1), labels([1])), None, mask
    yield "three boxes", None, boxes, None
    yield "two points with masks", (points(2, 1), labels([1], 2)), None, masks


@torch.no_grad()
def check(sam: torch.nn.Module, folder: Path, say=print) -> dict:
    """Compares all prompt kinds; raises `Mismatch` above `LIMIT` of the range of the logits."""
    side = sam.image_encoder.img_size
    image = picture(side)
    expected = sam.image_encoder(image)
    embedding = session(folder / bundle.ENCODER).run(None, {"image": image.numpy()})[0]
    worst = {"embedding": relative(embedding, expected.numpy()), "low_res": 0.0, "iou": 0.0}
    say(f"  {'embedding':24} {worst['embedding']:.2e} of the range")
    decoder = session(folder / bundle.DECODER)
    pe = sam.prompt_encoder.get_dense_pe()
    for name, points, boxes, masks in prompts(side, 4 * pe.shape[-1]):
        sparse, dense = sam.prompt_encoder(points=points, boxes=boxes, masks=masks)
        logits, iou = sam.mask_decoder.predict_masks(expected, pe, sparse, dense)
        # Without masks the dense prompts of all objects are the same, and one is enough.
        dense = dense[:1] if masks is None else dense
        feeds = {
            "image_embeddings": embedding,
            "sparse_prompt_embeddings": sparse.numpy(),
            "dense_prompt_embeddings": dense.numpy(),
        }
        found_logits, found_iou = decoder.run(["low_res_masks", "iou_predictions"], feeds)
        low_res, difference = relative(found_logits, logits.numpy()), float(np.abs(found_iou - iou.numpy()).max())
        say(f"  {name:24} {low_res:.2e} of the range, IoU {difference:.2e}")
        worst["low_res"], worst["iou"] = max(worst["low_res"], low_res), max(worst["iou"], difference)
        if not low_res <= LIMIT:
            raise Mismatch(f"{name}: low-resolution logits differ by {low_res:.2e} of their range, limit {LIMIT:.0e}")
    return worst


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference as a part of the range of what was expected."""
    if found.shape != expected.shape:
        raise Mismatch(f"shape {found.shape}, expected {expected.shape}")
    return float(np.abs(found - expected).max() / (expected.max() - expected.min()))

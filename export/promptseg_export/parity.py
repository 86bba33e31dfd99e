"""Compares the PyTorch predictor of a package with the exported graphs in ONNX Runtime, on a photo."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import sight
from .family import Family, Prompts
from .sessions import session

LOW_RES = {"fp32": 1e-3, "fp16": 2e-2, "int8": 0.1}
"""Largest accepted difference of the low-resolution logits, relative to their range."""
MASK_IOU = {"fp32": 0.99, "fp16": 0.95, "int8": 0.8}
"""Lowest accepted IoU of the masks."""


class Mismatch(Exception):
    """The results of the exported graphs differ from those of the PyTorch model."""


@dataclass
class Parity:
    """The largest differences over all prompts."""

    low_res: float = 0.0
    """Difference of the low-resolution logits, relative to their range."""
    iou: float = 0.0
    """Difference of the predicted IoU."""
    mask_iou: float = 1.0
    """IoU of the low-resolution masks."""
    case: str = ""
    """The name of the case with the largest `low_res`."""

    def add(self, other: "Parity") -> None:
        # NaN compares as false, and must replace a smaller difference.
        if not other.low_res <= self.low_res:
            self.low_res, self.case = other.low_res, other.case
        self.iou, self.mask_iou = max(self.iou, other.iou), min(self.mask_iou, other.mask_iou)

    def fields(self) -> dict:
        return {"low_res": rounded(self.low_res), "iou": rounded(self.iou), "mask_iou": round(self.mask_iou, 5)}

    def problem(self, precision: str) -> str | None:
        """The reason why the parity is beyond the limits of the precision, or None."""
        limit, overlap = LOW_RES[precision], MASK_IOU[precision]
        if not self.low_res <= limit:
            return f"{self.case}: the logits differ by {self.low_res:.1e} of their range, limit {limit:.0e}"
        if not self.mask_iou >= overlap:
            return f"the masks have an IoU of {self.mask_iou:.3f}, at least {overlap} is needed"
        return None


def rounded(value: float) -> float:
    return float(f"{value:.2e}")


@dataclass
class Case:
    """The prompts of one predictor call and its results."""

    prompts: Prompts
    multimask: bool
    low_res: np.ndarray
    iou: np.ndarray
    sparse: np.ndarray
    dense: np.ndarray

    def wanted(self) -> np.ndarray:
        """Value of `wanted_masks` for all four masks of the decoder and, as the fifth, the best candidate."""
        return np.tile(np.eye(5, dtype=np.float32), (len(self.sparse), 1, 1))


def photo() -> np.ndarray:
    """A photo of scikit-image, 600 x 400: a cup on a table."""
    from skimage import data

    return np.ascontiguousarray(data.coffee())


def calls(width: int, height: int, logits: np.ndarray) -> list[Prompts]:
    """Prompts of all kinds, in pixels; `logits` [1, 1, L, L] is a mask prompt."""

    def points(*relative: tuple) -> np.ndarray:
        return np.array(relative, dtype=np.float32) * [width, height]

    def boxes(*relative: tuple) -> np.ndarray:
        return np.array(relative, dtype=np.float32) * [width, height, width, height]

    click, foreground = points((0.42, 0.45))[None], np.array([[1]])
    box = boxes((0.2, 0.15, 0.78, 0.86))
    many = boxes((0.05, 0.1, 0.4, 0.5), (0.3, 0.2, 0.95, 0.9), (0.5, 0.55, 0.8, 0.99))
    clicks = points((0.3, 0.3), (0.8, 0.7), (0.5, 0.9))[:, None]
    return [
        Prompts("point", click, foreground),
        Prompts("negative", points((0.42, 0.45), (0.62, 0.3), (0.1, 0.85))[None], np.array([[1, 1, 0]])),
        Prompts("box", boxes=box),
        Prompts("point and box", click, foreground, boxes=box),
        Prompts("mask", masks=logits),
        Prompts("point and mask", click, foreground, masks=logits),
        Prompts("three boxes", boxes=many),
        Prompts("three points", clicks, np.ones((3, 1), dtype=np.int64)),
        Prompts("two points with masks", clicks[:2], np.ones((2, 1), dtype=np.int64), masks=np.repeat(logits, 2, 0)),
    ]


def check_sight(family: Family, picture: np.ndarray | None = None) -> None:
    """Raises `sight.Blind` if the candidates of random weights for a click hardly depend on the image."""
    picture = photo() if picture is None else picture
    height, width = picture.shape[:2]
    click = Prompts("click", np.array([[[width * 0.42, height * 0.45]]], np.float32), np.array([[1]]))

    def answer(image: np.ndarray) -> np.ndarray:
        family.set_image(image)
        return family.predict(click, True)[0]

    sight.check(family.family, answer, picture)


class Proof:
    """The results of PyTorch on a photo, computed once and compared with every variant."""

    def __init__(self, family: Family, picture: np.ndarray | None = None):
        picture = photo() if picture is None else picture
        height, width = picture.shape[:2]
        self.family, self.image, self.cases = family, family.set_image(picture), []
        # The logits after a click serve as the mask prompt.
        centre = np.array([[[width * 0.5, height * 0.6]]], dtype=np.float32)
        low_res, _ = family.predict(Prompts("centre", centre, np.array([[1]])), False)
        for prompts in calls(width, height, low_res[:, :1]):
            for multimask in (False, True):
                expected = family.predict(prompts, multimask)
                self.cases.append(Case(prompts, multimask, *expected, *family.embed(prompts)))

    def feeds(self, encoder: Path) -> list[dict]:
        """Inputs of the decoder for each case, with the features of an encoder graph."""
        features = session(encoder).run(list(self.family.encoder_outputs), {"image": self.image})
        by_name = dict(zip(self.family.encoder_outputs, features))
        shared = {name: by_name[name] for name in self.family.decoder_features}

        def prompts(case: Case) -> dict:
            return {
                "sparse_prompt_embeddings": case.sparse,
                "dense_prompt_embeddings": case.dense,
                "wanted_masks": case.wanted(),
            }

        return [{**shared, **prompts(case)} for case in self.cases]

    def compare(self, feeds: list[dict], decoder: Path, log=print) -> Parity:
        """Compares a decoder graph with PyTorch. `feeds`: the decoder inputs returned by `feeds()`."""
        worst, runner = Parity(), session(decoder)
        names = list(self.family.decoder_outputs)
        for case, feed in zip(self.cases, feeds):
            outputs = dict(zip(names, runner.run(names, feed)))
            check_best_candidate(case, outputs)
            parity = difference(case, *self.family.answer(outputs, case.multimask))
            parity.case = f"{case.prompts.name}{', candidates' if case.multimask else ''}"
            log(f"  {parity.case:34} {parity.low_res:.1e} of the range, IoU {parity.iou:.1e}, masks {parity.mask_iou:.4f}")
            worst.add(parity)
        return worst


def check_best_candidate(case: Case, outputs: dict) -> None:
    """Checks that the last mask is the candidate with the highest IoU that the graph predicts."""
    masks, iou = outputs["low_res_masks"], outputs["iou_predictions"]
    expected = masks[np.arange(len(iou)), 1 + iou[:, 1:].argmax(1)]
    if not np.allclose(masks[:, 4], expected, atol=1e-5 * float(np.ptp(expected))):
        raise Mismatch(f"{case.prompts.name}: the graph's best candidate is not the candidate with the highest predicted IoU")


def difference(case: Case, low_res: np.ndarray, iou: np.ndarray) -> Parity:
    if low_res.shape != case.low_res.shape or iou.shape != case.iou.shape:
        actual, expected = (low_res.shape, iou.shape), (case.low_res.shape, case.iou.shape)
        raise Mismatch(f"{case.prompts.name}: masks and IoU have shapes {actual}, expected {expected} as in PyTorch")
    span = float(case.low_res.max() - case.low_res.min())
    largest = float(np.abs(low_res - case.low_res).max())
    ours, theirs = (logits.reshape(-1, *logits.shape[2:]) > 0 for logits in (low_res, case.low_res))
    union = (ours | theirs).sum((1, 2))
    overlap = np.where(union == 0, 1.0, (ours & theirs).sum((1, 2)) / np.maximum(union, 1))
    return Parity(largest / span if span > 0 else float("nan"), float(np.abs(iou - case.iou).max()), float(overlap.min()))

"""The proof: the package's PyTorch predictor against the exported graphs in ONNX Runtime, on a photo."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime

from .family import Family, Prompts

LOW_RES = {"fp32": 1e-3, "fp16": 2e-2, "int8": 0.1}
"""Largest difference of the low-resolution logits that is accepted, as a part of their range."""
MASK_IOU = {"fp32": 0.99, "fp16": 0.95, "int8": 0.8}
"""Smallest overlap of the masks that is accepted."""


class Mismatch(Exception):
    """The exported graphs do not do what the PyTorch model does."""


@dataclass
class Parity:
    """The worst of all prompts."""

    low_res: float = 0.0
    """Difference of the low-resolution logits as a part of their range."""
    iou: float = 0.0
    """Difference of the predicted IoU."""
    mask_iou: float = 1.0
    """IoU of the low-resolution masks."""
    where: str = ""
    """The prompts with the largest `low_res`."""

    def add(self, other: "Parity") -> None:
        # Not a number must win, and compares as false.
        if not other.low_res <= self.low_res:
            self.low_res, self.where = other.low_res, other.where
        self.iou, self.mask_iou = max(self.iou, other.iou), min(self.mask_iou, other.mask_iou)

    def fields(self) -> dict:
        return {"low_res": rounded(self.low_res), "iou": rounded(self.iou), "mask_iou": round(self.mask_iou, 5)}

    def problem(self, precision: str) -> str | None:
        """Why this precision is not good enough."""
        limit, overlap = LOW_RES[precision], MASK_IOU[precision]
        if not self.low_res <= limit:
            return f"{self.where}: the logits differ by {self.low_res:.1e} of their range, limit {limit:.0e}"
        if not self.mask_iou >= overlap:
            return f"masks overlap by {self.mask_iou:.3f} only, limit {overlap}"
        return None


def rounded(value: float) -> float:
    return float(f"{value:.2e}")


@dataclass
class Case:
    """What the predictor says to one call."""

    prompts: Prompts
    multimask: bool
    low_res: np.ndarray
    iou: np.ndarray
    sparse: np.ndarray
    dense: np.ndarray

    def wanted(self) -> np.ndarray:
        """Each of the decoder's four masks, and the best of the candidates once more."""
        return np.tile(np.eye(5, dtype=np.float32), (len(self.sparse), 1, 1))


def session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Half the memory, while PyTorch's model is there too.
    options.enable_cpu_mem_arena = False
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def photo() -> np.ndarray:
    """A cup on a table, 600 x 400, that scikit-image carries."""
    from skimage import data

    return np.ascontiguousarray(data.coffee())


def calls(width: int, height: int, logits: np.ndarray) -> list[Prompts]:
    """All kinds of prompts, in pixels; `logits` [1, 1, L, L] is a mask prompt."""

    def points(*relative: tuple) -> np.ndarray:
        return np.array(relative, dtype=np.float32) * [width, height]

    def boxes(*relative: tuple) -> np.ndarray:
        return np.array(relative, dtype=np.float32) * [width, height, width, height]

    click, one = points((0.42, 0.45))[None], np.array([[1]])
    box = boxes((0.2, 0.15, 0.78, 0.86))
    many = boxes((0.05, 0.1, 0.4, 0.5), (0.3, 0.2, 0.95, 0.9), (0.5, 0.55, 0.8, 0.99))
    clicks = points((0.3, 0.3), (0.8, 0.7), (0.5, 0.9))[:, None]
    return [
        Prompts("point", click, one),
        Prompts("negative", points((0.42, 0.45), (0.62, 0.3), (0.1, 0.85))[None], np.array([[1, 1, 0]])),
        Prompts("box", boxes=box),
        Prompts("point and box", click, one, boxes=box),
        Prompts("mask", masks=logits),
        Prompts("point and mask", click, one, masks=logits),
        Prompts("three boxes", boxes=many),
        Prompts("three points", clicks, np.ones((3, 1), dtype=np.int64)),
        Prompts("two points with masks", clicks[:2], np.ones((2, 1), dtype=np.int64), masks=np.repeat(logits, 2, 0)),
    ]


class Proof:
    """What PyTorch says of a photo, made once and compared with every variant."""

    def __init__(self, family: Family, picture: np.ndarray | None = None):
        picture = photo() if picture is None else picture
        height, width = picture.shape[:2]
        self.family, self.image, self.cases = family, family.set_image(picture), []
        # The answer to a click, as it is fed back.
        centre = np.array([[[width * 0.5, height * 0.6]]], dtype=np.float32)
        low_res, _ = family.predict(Prompts("centre", centre, np.array([[1]])), False)
        for prompts in calls(width, height, low_res[:, :1]):
            for multimask in (False, True):
                expected = family.predict(prompts, multimask)
                self.cases.append(Case(prompts, multimask, *expected, *family.embed(prompts)))

    def feeds(self, encoder: Path) -> list[dict]:
        """What the decoder is given for each case, after the encoder's graph."""
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

    def compare(self, feeds: list[dict], decoder: Path, say=print) -> Parity:
        """`feeds` are made by the encoder's graph."""
        worst, runner = Parity(), session(decoder)
        names = list(self.family.decoder_outputs)
        for case, feed in zip(self.cases, feeds):
            outputs = dict(zip(names, runner.run(names, feed)))
            best_is_chosen(case, outputs)
            found = difference(case, *self.family.answer(outputs, case.multimask))
            kind = f"{case.prompts.name}{', candidates' if case.multimask else ''}"
            found.where = kind
            say(f"  {kind:34} {found.low_res:.1e} of the range, IoU {found.iou:.1e}, masks {found.mask_iou:.4f}")
            worst.add(found)
        return worst


def best_is_chosen(case: Case, outputs: dict) -> None:
    """The last mask is that of the candidates with the highest IoU, as the graph itself predicts it."""
    masks, iou = outputs["low_res_masks"], outputs["iou_predictions"]
    expected = masks[np.arange(len(iou)), 1 + iou[:, 1:].argmax(1)]
    if not np.allclose(masks[:, 4], expected, atol=1e-5 * float(np.ptp(expected))):
        raise Mismatch(f"{case.prompts.name}: the graph's best candidate is not that of the highest predicted IoU")


def difference(case: Case, low_res: np.ndarray, iou: np.ndarray) -> Parity:
    if low_res.shape != case.low_res.shape or iou.shape != case.iou.shape:
        found, expected = (low_res.shape, iou.shape), (case.low_res.shape, case.iou.shape)
        raise Mismatch(f"{case.prompts.name}: masks and IoU of shape {found}, PyTorch's are {expected}")
    span = float(case.low_res.max() - case.low_res.min())
    apart = float(np.abs(low_res - case.low_res).max())
    ours, theirs = (logits.reshape(-1, *logits.shape[2:]) > 0 for logits in (low_res, case.low_res))
    union = (ours | theirs).sum((1, 2))
    overlap = np.where(union == 0, 1.0, (ours & theirs).sum((1, 2)) / np.maximum(union, 1))
    return Parity(apart / span if span > 0 else float("nan"), float(np.abs(iou - case.iou).max()), float(overlap.min()))

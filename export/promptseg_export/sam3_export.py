"""Exports SAM 3 to a text bundle and compares the graphs with transformers."""

from pathlib import Path

import numpy as np
import torch

from . import graphs, sam3, sight, text_export
from .export import check
from .parity import Mismatch, photo
from .sam3 import Sam3
from .sam3_detector import Detector
from .sam3_towers import ImageTower, TextTower
from .sessions import session
from .text_export import IMAGE_TOWER, TEXT_TOWER

DETECTOR = "detector.onnx"


def export(model: Sam3, name: str, source: str, out: Path, log=print) -> dict[str, float]:
    """Writes the bundle to `out` after its parity check; returns the differences of the outputs, relative to their ranges.

    Raises `Mismatch` and leaves `out` unchanged if the graphs differ from transformers.
    """

    def fill(folder: Path) -> dict[str, float]:
        write_graphs(model, folder, log)
        log("transformers on a photo ...")
        expected = reference(model, photo(), sam3.PHRASES)
        log("ONNX Runtime on the photo ...")
        return compare(model, folder, photo(), sam3.PHRASES, expected)

    return text_export.export(model, name, source, out, fill)


def write_graphs(model: Sam3, folder: Path, log) -> None:
    log(f"image tower, {model.side} x {model.side} ...")
    graphs.export_encoder(model.image_tower, model.side, ImageTower.outputs, folder / IMAGE_TOWER)
    check(folder / IMAGE_TOWER)
    log("text tower ...")
    mask = torch.ones(1, model.tokens)
    tokens = {"token_ids": torch.zeros(1, model.tokens, dtype=torch.int32), "token_mask": mask}
    graphs.export_fixed(model.text_tower, tokens, TextTower.outputs, folder / TEXT_TOWER)
    check(folder / TEXT_TOWER)
    log("detector ...")
    inputs = {name: torch.zeros(1, model.channels, side, side) for name, side in zip(ImageTower.outputs, model.levels)}
    inputs |= {"features": torch.zeros(1, model.tokens, model.channels), "token_mask": mask}
    graphs.export_fixed(model.detector, inputs, Detector.outputs, folder / DETECTOR)
    check(folder / DETECTOR)
    text_export.write_tokenizer(model.processor.tokenizer, folder)


def phrase_features(model: Sam3, folder: Path, phrases: tuple) -> list[tuple[np.ndarray, np.ndarray]]:
    """The features [1, T, C] and the token mask [1, T] of each phrase, by the graph of the text tower."""
    tower, found = session(folder / TEXT_TOWER), []
    for ids, mask in zip(*model.tokenize(phrases)):
        (features,) = tower.run(None, {"token_ids": ids[None], "token_mask": mask[None]})
        found.append((features, mask[None]))
    return found


def detect(folder: Path, levels: dict, features: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, np.ndarray]:
    """The outputs of the detector for each phrase, stacked: logits [P, Q], boxes, masks, presence [P, 1]."""
    names, detector = list(Detector.outputs), session(folder / DETECTOR)
    rows = [detector.run(names, {**levels, "features": rows, "token_mask": mask}) for rows, mask in features]
    return {name: np.concatenate(values) for name, values in zip(names, zip(*rows))}


def run(model: Sam3, folder: Path, picture: np.ndarray, phrases: tuple) -> tuple[dict, dict]:
    """The outputs of the graphs with zeros as the features of padding, and with the text tower's features of padding."""
    names = list(ImageTower.outputs)
    levels = dict(zip(names, session(folder / IMAGE_TOWER).run(names, {"image": model.pixels(picture)})))
    features = phrase_features(model, folder, phrases)
    zeros = [(rows * mask[..., None], mask) for rows, mask in features]
    tokens = np.concatenate([rows[0][mask[0] > 0] for rows, mask in features])
    return detect(folder, levels, zeros) | {"features": tokens}, detect(folder, levels, features)


def reference(model: Sam3, picture: np.ndarray, phrases: tuple) -> dict[str, np.ndarray]:
    """The outputs of transformers, stacked, and the features of all tokens."""
    outputs = model.outputs(picture, phrases)
    fields = {"logits": "pred_logits", "boxes": "pred_boxes", "masks": "pred_masks", "presence": "presence_logits"}
    values = {name: torch.cat([getattr(output, field) for output in outputs]).numpy() for name, field in fields.items()}
    return values | {"features": np.concatenate([model.features(phrase) for phrase in phrases])}


def compare(
    model: Sam3, folder: Path, picture: np.ndarray, phrases: tuple, expected: dict | None = None
) -> dict[str, float]:
    """Compares the graphs with transformers. `expected`: what `reference` returned, if it was called before.

    Raises `Mismatch` if an output differs by more than the limit, or depends on the features of padding.
    """
    expected = reference(model, picture, phrases) if expected is None else expected
    ours, padded = run(model, folder, picture, phrases)
    measured = text_export.differences(ours, expected)
    for name, values in padded.items():
        change = float(np.abs(values - ours[name]).max()) / float(np.ptp(ours[name]))
        if not change <= text_export.LIMIT:
            raise Mismatch(f"{name} differs by {change:.1e} of its range if the features of padding are not zero")
    return measured


def check_sight(model: Sam3, picture: np.ndarray | None = None) -> None:
    """Raises `sight.Blind` if masks or logits of random weights hardly depend on the picture or on the phrase, or if all
    scores are on one side of the threshold."""
    picture = photo() if picture is None else picture
    kept = {}

    def answer(image: np.ndarray) -> np.ndarray:
        outputs = model.outputs(image, sam3.PHRASES)
        kept.setdefault("outputs", outputs)
        return torch.stack([output.pred_masks[0] for output in outputs]).numpy()

    sight.check(model.family, answer, picture)
    outputs = kept["outputs"]
    for name in ("pred_masks", "pred_logits", "presence_logits"):
        values = torch.cat([getattr(output, name) for output in outputs])
        change = float((values - values[:1]).abs().max() / (values.max() - values.min()))
        if not change > sight.MIRRORED:
            raise sight.Blind(f"{model.family}: another phrase changes {name} by {change:.1e} of their range")
    scores = torch.cat([output.pred_logits.sigmoid() * output.presence_logits.sigmoid() for output in outputs])
    above = int((scores > sam3.THRESHOLD).sum())
    print(f"{model.family}: {above} of {scores.numel()} scores are above {sam3.THRESHOLD}")
    if not 0 < above < scores.numel():
        raise sight.Blind(f"{model.family}: {above} of {scores.numel()} scores are above {sam3.THRESHOLD}, expected some")

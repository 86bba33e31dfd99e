"""Exports OWLv2 to a text bundle and compares the graphs with transformers."""

from pathlib import Path

import numpy as np
import torch

from . import graphs, owlv2, sight, text_export
from .export import check
from .owlv2 import Owlv2
from .parity import photo
from .sessions import session
from .text_export import IMAGE_TOWER, TEXT_TOWER

CLASS_HEAD = "class_head.onnx"


def export(model: Owlv2, name: str, source: str, out: Path, log=print) -> dict[str, float]:
    """Writes the bundle to `out` after its parity check; returns the differences of the outputs, relative to their ranges.

    Raises `Mismatch` and leaves `out` unchanged if the graphs differ from transformers.
    """

    def fill(folder: Path) -> dict[str, float]:
        write_graphs(model, folder, log)
        log("transformers and ONNX Runtime on a photo ...")
        return compare(model, folder, photo(), owlv2.PHRASES)

    return text_export.export(model, name, source, out, fill)


def write_graphs(model: Owlv2, folder: Path, log) -> None:
    log(f"image tower, {model.side} x {model.side} ...")
    graphs.export_encoder(model.image_tower, model.side, owlv2.ImageTower.outputs, folder / IMAGE_TOWER)
    check(folder / IMAGE_TOWER)
    log("text tower ...")
    tokens = {"token_ids": torch.zeros(1, model.tokens, dtype=torch.int32), "end_token": torch.zeros(1, model.tokens)}
    graphs.export_fixed(model.text_tower, tokens, owlv2.TextTower.outputs, folder / TEXT_TOWER)
    check(folder / TEXT_TOWER)
    log("class head ...")
    features = {
        "class_embeddings": torch.zeros(1, model.patches, model.channels),
        "logit_shift": torch.zeros(1, model.patches, 1),
        "logit_scale": torch.zeros(1, model.patches, 1),
        "queries": torch.zeros(2, model.channels),
    }
    dynamic = {"queries": {0: "phrases"}, "logits": {2: "phrases"}}
    graphs.export_decoder(model.class_head, features, owlv2.ClassHead.outputs, dynamic, folder / CLASS_HEAD)
    graphs.declare(folder / CLASS_HEAD, "logits", [1, model.patches, "phrases"])
    check(folder / CLASS_HEAD)
    text_export.write_tokenizer(model.processor.tokenizer, folder)


def run(folder: Path, pixels: np.ndarray, ids: np.ndarray) -> dict[str, np.ndarray]:
    """The outputs of the graphs for a picture and the token ids of phrases, [Q, T], with the names of transformers."""
    names = list(owlv2.ImageTower.outputs)
    seen = dict(zip(names, session(folder / IMAGE_TOWER).run(names, {"image": pixels})))
    tower, queries = session(folder / TEXT_TOWER), []
    for row in ids:
        token_ids, end_token = owlv2.text_inputs(row)
        queries += tower.run(None, {"token_ids": token_ids.numpy(), "end_token": end_token.numpy()})
    queries = np.concatenate(queries)
    features = {name: seen[name] for name in ("class_embeddings", "logit_shift", "logit_scale")}
    (logits,) = session(folder / CLASS_HEAD).run(None, {**features, "queries": queries})
    return {"logits": logits, "boxes": seen["boxes"], "objectness": seen["objectness"], "queries": queries}


def reference(model: Owlv2, picture: np.ndarray, phrases: tuple) -> dict[str, np.ndarray]:
    """The outputs of transformers, with boxes as corners."""
    outputs = model.outputs(picture, phrases)
    centre, size = outputs.pred_boxes[..., :2], outputs.pred_boxes[..., 2:]
    boxes = torch.cat([centre - size / 2, centre + size / 2], dim=-1)
    values = {"logits": outputs.logits, "boxes": boxes, "objectness": outputs.objectness_logits}
    return {name: value.numpy() for name, value in {**values, "queries": outputs.text_embeds.reshape(len(phrases), -1)}.items()}


def compare(model: Owlv2, folder: Path, picture: np.ndarray, phrases: tuple) -> dict[str, float]:
    """Compares the graphs with transformers. Raises `Mismatch` if an output differs by more than the limit."""
    ours = run(folder, model.pixels(picture), model.tokenize(phrases))
    return text_export.differences(ours, reference(model, picture, phrases))


def check_sight(model: Owlv2, picture: np.ndarray | None = None) -> None:
    """Raises `sight.Blind` if the logits of random weights hardly depend on the picture or on the phrase."""
    picture = photo() if picture is None else picture
    cells = int(model.patches**0.5)

    def answer(image: np.ndarray) -> np.ndarray:
        logits = model.outputs(image, owlv2.PHRASES).logits.numpy()
        return np.moveaxis(logits[0], 1, 0).reshape(-1, cells, cells)

    sight.check(model.family, answer, picture)
    logits = answer(picture)
    change = float(np.abs(logits - logits[:1]).max() / np.ptp(logits))
    if not change > sight.MIRRORED:
        raise sight.Blind(f"{model.family}: another phrase changes the logits by {change:.1e} of their range")

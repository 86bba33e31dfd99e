"""Writes tests/golden/owlv2: a small OWLv2 as a bundle, and the results of transformers.

    python -m promptseg_export.golden_owlv2 ../tests/golden

The photos are those of `golden`, and a part of one that is smaller than the square of the model. For each photo,
`expected.safetensors` has every `STRIDE`th row and column of the processor's picture, and the logits, boxes and objectness of
the model; for each phrase its query. `detections.json` has the detections of the processor with and without suppression of
doubles, `tokens.json` the token ids of awkward phrases.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from torchvision.ops import batched_nms

from . import golden_text, owlv2, owlv2_export

SEED = 5
STRIDE = 3
PHRASES = ("a photo of a cat", "person", "red flower")
THRESHOLD = 0.4


def detections(model: owlv2.Owlv2, outputs, size: tuple) -> dict:
    """The detections of the processor for a photo of `size` (height and width), sorted by score."""
    found = model.detections(outputs, size, THRESHOLD)
    order = found["scores"].argsort(descending=True)
    boxes, scores, labels = (found[key][order] for key in ("boxes", "scores", "labels"))
    kept = batched_nms(boxes, scores, labels, owlv2.NMS_IOU)
    return {"boxes": boxes.tolist(), "scores": scores.tolist(), "labels": labels.tolist(), "kept": kept.tolist()}


@torch.no_grad()
def main(golden: Path) -> None:
    model, out = owlv2.build("small", SEED, photo=golden_text.picture("chelsea", golden)), golden / "owlv2"
    owlv2_export.check_sight(model, golden_text.picture("chelsea", golden))
    owlv2_export.export(model, "owlv2_small", f"random weights, seed {SEED}", out)
    tensors, found = {}, {}
    for name in golden_text.PHOTOS:
        photo = golden_text.picture(name, golden)
        owlv2_export.compare(model, out, photo, PHRASES)
        expected = owlv2_export.reference(model, photo, PHRASES)
        tensors[f"{name}.pixels"] = model.pixels(photo)[0, :, ::STRIDE, ::STRIDE]
        tensors |= {f"{name}.{key}": expected[key] for key in ("logits", "boxes", "objectness")}
        tensors["queries"] = expected["queries"]
        found[name] = detections(model, model.outputs(photo, PHRASES), photo.shape[:2])
        print(f"{name}: {len(found[name]['scores'])} detections, {len(found[name]['kept'])} without doubles")
    save_file({k: np.ascontiguousarray(v, np.float32) for k, v in tensors.items()}, out / "expected.safetensors")
    (out / "expected.safetensors").chmod(0o644)
    (out / "detections.json").write_text(json.dumps({"phrases": PHRASES, "min_score": THRESHOLD, "photos": found}) + "\n")
    golden_text.write_tokens(model.processor.tokenizer, out)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "../tests/golden"))

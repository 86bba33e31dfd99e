"""Writes tests/golden/sam3: a small SAM 3 as a bundle, and the results of transformers.

    python -m promptseg_export.golden_sam3 ../tests/golden

For each photo, `expected.safetensors` has every `STRIDE`th row and column of the processor's picture (`PHOTO.pixels`), and the
outputs of the model for all phrases: `PHOTO.logits` [P, Q], `PHOTO.boxes` [P, Q, 4], `PHOTO.presence` [P, 1], `PHOTO.masks`
[P, Q, m, m], every `STRIDE`th row and column of the logits. `features.N` [n, C] has the features of the tokens of phrase N.

`detections.json` has the instances of the processor for each photo and phrase, in the order of the queries: scores, boxes and
the number of pixels of each mask. `PHOTO.N.instances` [K, h, w] (u8) has every `MASK_STRIDE`th row and column of these masks.
`tokens.json` has the token ids of awkward phrases.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

from . import golden_text, sam3, sam3_export

SEED = 7
STRIDE = 3
MASK_STRIDE = 7
PHRASES = ("a photo of a cat", "person", "red flower")
LENGTHS = tuple(" ".join(["cup"] * words) for words in (29, 30, 31))
"""Phrases around the longest that the model takes: 30 tokens between start and end."""


def instances(model: sam3.Sam3, output, size: tuple) -> tuple[dict, np.ndarray]:
    """The instances of the processor for a photo of `size` (height and width), and their masks [K, H, W]."""
    found = model.detections(output, size, sam3.THRESHOLD)
    masks = found["masks"].numpy().astype(np.uint8).reshape(-1, *size)
    areas = [int(area) for area in masks.sum((1, 2), dtype=np.int64)]
    return {"scores": found["scores"].tolist(), "boxes": found["boxes"].tolist(), "areas": areas}, masks


@torch.no_grad()
def main(golden: Path) -> None:
    out, photo = golden / "sam3", golden_text.picture("chelsea", golden)
    model = sam3.build("small", SEED, photo=photo, phrases=PHRASES)
    sam3_export.check_sight(model, photo)
    sam3_export.export(model, "sam3_small", f"random weights, seed {SEED}", out)
    tensors = {f"features.{number}": model.features(phrase) for number, phrase in enumerate(PHRASES)}
    found = {}
    for name in golden_text.PHOTOS:
        photo = golden_text.picture(name, golden)
        expected = sam3_export.reference(model, photo, PHRASES)
        sam3_export.compare(model, out, photo, PHRASES, expected)
        tensors[f"{name}.pixels"] = model.pixels(photo)[0, :, ::STRIDE, ::STRIDE]
        tensors |= {f"{name}.{key}": expected[key] for key in ("logits", "boxes", "presence")}
        tensors[f"{name}.masks"] = expected["masks"][:, :, ::STRIDE, ::STRIDE]
        found[name] = []
        for number, output in enumerate(model.outputs(photo, PHRASES)):
            kept, masks = instances(model, output, photo.shape[:2])
            found[name].append(kept)
            tensors[f"{name}.{number}.instances"] = masks[:, ::MASK_STRIDE, ::MASK_STRIDE]
        print(f"{name}: {[len(kept['scores']) for kept in found[name]]} of {model.queries} instances for each phrase")
    tensors = {k: np.ascontiguousarray(v, np.uint8 if v.dtype == np.uint8 else np.float32) for k, v in tensors.items()}
    save_file(tensors, out / "expected.safetensors")
    (out / "expected.safetensors").chmod(0o644)
    (out / "detections.json").write_text(json.dumps({"phrases": PHRASES, "min_score": sam3.THRESHOLD, "photos": found}) + "\n")
    golden_text.write_tokens(model.processor.tokenizer, out, LENGTHS)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "../tests/golden"))

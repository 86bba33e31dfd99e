"""Writes tests/golden/sam-hq, mobile-sam, efficientvit-sam and repvit-sam: a small bundle each, and the results of their predictors.

    python -m promptseg_export.golden_families ../tests/golden [sam-hq] [mobile-sam] [efficientvit-sam] [repvit-sam]

The photo and the prompts are those of `golden`. For each case, with and without `multimask_output`, `expected.safetensors`
has the predictor's low-resolution logits (at least `SAMPLES` rows and columns) and predicted IoU. The predictor of SAM-HQ returns one
mask in both cases. The masks of a case are stored in one picture: 1 is the single mask, 2 the best candidate.
"""

import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import save_file

from . import efficientvit_sam, mobile_sam, parity, repvit_sam, sam_hq
from .export import export
from .family import Prompts
from .golden import cases, prompts, several
from .sam import SamFamily

SAMPLES = 32
"""Smallest number of stored rows and columns of the logits, evenly spaced."""
PHOTO = "chelsea"
FAMILIES = {
    "sam-hq": (partial(sam_hq.build, image_size=256, width=32), 17),
    "mobile-sam": (mobile_sam.build, 7),
    "efficientvit-sam": (efficientvit_sam.build, 7),
    "repvit-sam": (repvit_sam.build, 7),
}
"""The small model of each family, and a seed with which the masks cover about half of the photo."""


def full_size(family: SamFamily, low_res: np.ndarray) -> np.ndarray:
    """The masks of logits [B, M, L, L] at the size of the photo, by the postprocessing of the network."""
    predictor = family.predictor
    logits = family.network.postprocess_masks(
        torch.from_numpy(low_res), predictor.input_size, predictor.original_size
    )
    return (logits > family.network.mask_threshold).numpy()


def make(family: SamFamily, name: str, seed: int, photos: Path, out: Path) -> None:
    parity.check_sight(family)
    export(family, name, f"random weights, seed {seed}", out)
    (out / "masks").mkdir(exist_ok=True)
    image = np.array(Image.open(photos / f"{PHOTO}.png").convert("RGB"))
    height, width = image.shape[:2]
    family.set_image(image)
    click = Prompts("click", np.array([[[width * 0.5, height * 0.6]]], np.float32), np.array([[1]]))
    low_res, iou = family.predict(click, True)
    # The logits after a click serve as the mask prompt.
    mask = low_res[0, iou[0].argmax()].astype(np.float16).astype(np.float32)
    tensors, stored = {f"{PHOTO}.mask_input": mask}, []
    stride = family.low_res // SAMPLES
    for objects in [*([c] for c in cases(PHOTO, width, height, mask)), several(PHOTO, width, height)]:
        prompt = prompts(objects, tensors)
        single, multi = family.predict(prompt, False), family.predict(prompt, True)
        pictures = [full_size(family, answer[0]) for answer in (single, multi)]
        for i, case in enumerate(objects):
            key = f"{PHOTO}.{case['case']}"
            best = int(multi[1][i].argmax())
            for kind, (low_res, iou) in (("single", single), ("multi", multi)):
                tensors[f"{key}.{kind}.low_res"], tensors[f"{key}.{kind}.iou"] = low_res[i, :, ::stride, ::stride], iou[i]
            picture = pictures[0][i, 0].astype(np.uint8) + 2 * pictures[1][i, best].astype(np.uint8)
            Image.fromarray(picture).save(out / "masks" / f"{key}.png", optimize=True)
            stored.append(case)
            print(f"{name} {key:24} IoU {multi[1][i].round(4)}, areas {[p[i].mean().round(3) for p in pictures]}")
    save_file({k: np.ascontiguousarray(v, np.float32) for k, v in tensors.items()}, out / "expected.safetensors")
    (out / "expected.safetensors").chmod(0o644)
    (out / "cases.json").write_text("[\n" + ",\n".join("  " + json.dumps(case) for case in stored) + "\n]\n")


if __name__ == "__main__":
    folder, *names = sys.argv[1:] or ["../tests/golden"]
    for name in names or FAMILIES:
        build, seed = FAMILIES[name]
        family = build("small", None, seed)
        make(family, f"{name.replace('-', '_')}_small", seed, Path(folder), Path(folder) / name)

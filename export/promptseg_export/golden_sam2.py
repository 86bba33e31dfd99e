"""Writes tests/golden/sam2 and tests/golden/edgetam: a small bundle each, and the results of PyTorch on two photos.

    python -m promptseg_export.golden_sam2 ../tests/golden

The photos and the kinds of prompts are those of `golden`. For each case, with and without `multimask_output`,
`expected.safetensors` has the clamped low-resolution logits (every `STRIDE`th row and column), the predicted IoU and the
object score. It also has the features of each photo. The masks of a case are stored in one picture: 1 is the single mask,
2 the best candidate. The reference is `SAM2ImagePredictor` for SAM 2, and `EdgeTamModel` of transformers, on the pixels of
the predictor, for EdgeTAM.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import save_file
from transformers import Sam2ImageProcessor

from . import edgetam, export, parity, sam2
from .family import Prompts
from .golden import cases, prompts, several

SEED = 7
STRIDE = 4
FEATURE_STRIDE = 8
PHOTOS = ("chelsea", "astronaut")


def listed(photo: str, width: int, height: int) -> list:
    """The cases of a photo, each a list of objects that are predicted together."""
    return [*([case] for case in cases(photo, width, height, None)), several(photo, width, height)]


def by_predictor(family: sam2.Sam2, prompt: Prompts, multimask: bool) -> tuple:
    """Masks [B, M, H, W], clamped logits [B, M, L, L], IoU [B, M], object score [B], by `SAM2ImagePredictor`."""
    scores = []
    decoder = family.network.sam_mask_decoder
    hook = decoder.register_forward_hook(lambda _, __, output: scores.append(output[3]))
    masks, iou, low_res = family.predictor.predict(
        prompt.points, prompt.labels, prompt.boxes, prompt.masks, multimask_output=multimask
    )
    hook.remove()
    count, (height, width) = iou.shape[-1], masks.shape[-2:]
    low_res = low_res.reshape(-1, count, family.low_res, family.low_res)
    return masks.reshape(-1, count, height, width) > 0, low_res, iou.reshape(-1, count), scores[0].ravel().numpy()


def by_transformers(family: edgetam.EdgeTam, prompt: Prompts, multimask: bool) -> tuple:
    """The results of `by_predictor`, computed by `EdgeTamModel` and the postprocessing of `Sam2ImageProcessor`."""
    kept = []
    hook = family.reference.mask_decoder.register_forward_hook(lambda _, __, output: kept.append(output))
    low_res, iou = family.predict(prompt, multimask)
    hook.remove()
    width, height = family.photo_size
    # The logits before clamping.
    logits = torch.cat([output[0][0] for output in kept])
    masks = Sam2ImageProcessor().post_process_masks([logits], [(height, width)])[0]
    return masks.numpy(), low_res, iou, torch.cat([output[3].ravel() for output in kept]).numpy()


def make(family: sam2.Sam2, name: str, predict, photos: Path, out: Path) -> None:
    parity.check_sight(family)
    export.export(family, name, f"random weights, seed {SEED}", out)
    (out / "masks").mkdir(exist_ok=True)
    family.fall_back(True)
    tensors, stored, chosen, clamped = {}, [], [], 0
    for photo in PHOTOS:
        image = np.array(Image.open(photos / f"{photo}.png").convert("RGB"))
        height, width = image.shape[:2]
        family.set_image(image)
        for feature, values in zip(family.encoder_outputs, features(family)):
            tensors[f"{photo}.{feature}"] = values[0, :, ::FEATURE_STRIDE, ::FEATURE_STRIDE]
        click = Prompts("click", np.array([[[width * 0.5, height * 0.6]]], np.float32), np.array([[1]]))
        # The logits after a click serve as the mask prompt.
        _, low_res, iou, _ = predict(family, click, True)
        fed_back = low_res[0, iou[0].argmax()]
        tensors[f"{photo}.mask_input"] = fed_back.astype(np.float16).astype(np.float32)
        for objects in listed(photo, width, height):
            prompt = prompts(objects, tensors)
            answers = {"single": predict(family, prompt, False), "multi": predict(family, prompt, True)}
            for i, case in enumerate(objects):
                key = f"{photo}.{case['case']}"
                for kind, (_, low_res, iou, score) in answers.items():
                    tensors[f"{key}.{kind}.low_res"] = low_res[i, :, ::STRIDE, ::STRIDE]
                    tensors[f"{key}.{kind}.iou"], tensors[f"{key}.score"] = iou[i], score[i : i + 1]
                    clamped += int((np.abs(low_res[i, :, ::STRIDE, ::STRIDE]) == sam2.LOGIT_LIMIT).sum())
                best = int(answers["multi"][2][i].argmax())
                single, multi = answers["single"][0][i, 0], answers["multi"][0][i, best]
                picture = single.astype(np.uint8) + 2 * multi.astype(np.uint8)
                Image.fromarray(picture).save(out / "masks" / f"{key}.png", optimize=True)
                # The number of the mask that is returned as the single mask.
                fell_back = np.array_equal(answers["single"][1][i, 0], answers["multi"][1][i, best])
                chosen.append(fell_back)
                stored.append({**case, "single": 1 + best if fell_back else 0, "best": 1 + best})
                print(f"{key:24} fell back: {fell_back!s:5}  IoU {answers['multi'][2][i].round(4)}")
    # The fixture must cover both outcomes of both rules.
    assert 3 <= sum(chosen) <= len(chosen) - 3, f"{sum(chosen)} of {len(chosen)} single masks fell back"
    assert clamped > 0, "no logit reaches the limit"
    save_file({k: np.ascontiguousarray(v, np.float32) for k, v in tensors.items()}, out / "expected.safetensors")
    (out / "expected.safetensors").chmod(0o644)
    (out / "cases.json").write_text("[\n" + ",\n".join("  " + json.dumps(case) for case in stored) + "\n]\n")


def features(family: sam2.Sam2) -> list:
    """The features of the current photo, in the order of the encoder's outputs."""
    if getattr(family, "reference", None) is not None:
        fine, middle, coarse = family.features
    else:
        (fine, middle), coarse = family.predictor._features["high_res_feats"], family.predictor._features["image_embed"]
    return [f.numpy() for f in (coarse, fine, middle)]


if __name__ == "__main__":
    golden = Path(sys.argv[1] if len(sys.argv) > 1 else "../tests/golden")
    with torch.no_grad():
        make(sam2.build_2_1("small", None, SEED, with_memory=False), "sam2.1_small", by_predictor, golden, golden / "sam2")
        make(edgetam.build("small", None, SEED), "edgetam_small", by_transformers, golden, golden / "edgetam")

"""Writes tests/golden: a small SAM as a bundle and as the official fused export, photos, and the results of PyTorch.

    python -m promptseg_export.golden ../tests/golden

The photos are parts of photos in scikit-image and scikit-learn. For each case, `expected.safetensors` has SamPredictor's
low-resolution logits (all four masks, every `STRIDE`th row and column) and predicted IoU. For the prompt encoder it has the
embeddings of PyTorch's PromptEncoder. Full-size masks are PNG files. `cases.json` has the prompts.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import save_file
from segment_anything import SamPredictor

from . import graphs, parity, sam
from .export import export
from .family import Prompts

SEED = 7
STRIDE = 8
MADE_OF = f"random weights, seed {SEED}"


def photos() -> dict:
    """A landscape photo larger than the model's square, a smaller landscape photo, and a portrait photo."""
    from skimage import data
    from sklearn.datasets import load_sample_image

    return {
        "flower": np.ascontiguousarray(load_sample_image("flower.jpg")[20:420, 20:620]),
        "chelsea": np.ascontiguousarray(data.chelsea()[20:280, 60:400]),
        "astronaut": np.ascontiguousarray(data.astronaut()[0:300, 120:320]),
    }


def cases(name: str, width: int, height: int, logits: np.ndarray) -> list:
    """Prompts in pixels of the photo; `logits` is a mask prompt."""
    w, h = width, height
    click = [[round(0.4 * w), round(0.45 * h), 1]]
    more = [[round(0.62 * w, 2), round(0.3 * h, 2), 1], [round(0.1 * w), round(0.85 * h), 0]]
    box = [round(0.2 * w, 1), round(0.15 * h, 1), round(0.75 * w, 1), round(0.8 * h, 1)]
    all_of_it = [
        {"case": "point", "points": click},
        {"case": "negative", "points": click + more},
        {"case": "box", "box": box},
        {"case": "point_box", "points": click, "box": box},
        {"case": "point_mask", "points": click, "mask": f"{name}.mask_input"},
        {"case": "box_mask", "box": box, "mask": f"{name}.mask_input"},
        {"case": "mask", "mask": f"{name}.mask_input"},
    ]
    return [{"photo": name, **case} for case in all_of_it]


def several(name: str, width: int, height: int) -> list:
    """Three boxes, which are decoded together."""
    w, h = width, height
    parts = [(0.05, 0.1, 0.4, 0.5), (0.3, 0.2, 0.95, 0.9), (0.5, 0.55, 0.8, 0.99)]
    boxes = [[round(a * w, 1), round(b * h, 1), round(c * w, 1), round(d * h, 1)] for a, b, c, d in parts]
    return [{"photo": name, "case": f"several_{i}", "box": box} for i, box in enumerate(boxes)]


def prompts(objects: list, tensors: dict) -> Prompts:
    """The prompts of one predictor call for several objects."""

    def stacked(part: str):
        return np.array([o[part] for o in objects], dtype=np.float32) if part in objects[0] else None

    points = stacked("points")
    return Prompts(
        name=objects[0]["case"],
        points=None if points is None else points[..., :2],
        labels=None if points is None else points[..., 2].astype(np.int64),
        boxes=stacked("box"),
        masks=np.stack([tensors[o["mask"]][None] for o in objects]) if "mask" in objects[0] else None,
    )


def predict(predictor: SamPredictor, case: dict, tensors: dict) -> tuple:
    """All four masks, their IoU and low-resolution logits, by `SamPredictor.predict`."""
    points = np.array(case["points"], dtype=np.float32) if "points" in case else None
    arguments = {
        "point_coords": None if points is None else points[:, :2],
        "point_labels": None if points is None else points[:, 2],
        "box": np.array(case["box"], dtype=np.float32) if "box" in case else None,
        "mask_input": tensors[case["mask"]][None] if "mask" in case else None,
    }
    single = predictor.predict(**arguments, multimask_output=False)
    multi = predictor.predict(**arguments, multimask_output=True)
    return tuple(np.concatenate([a, b]) for a, b in zip(single, multi))


def prompt_encoder_cases(model: torch.nn.Module, tensors: dict) -> None:
    """Embeddings of PyTorch's PromptEncoder for points, boxes, both, negative points, several objects and mask inputs."""
    side = model.image_encoder.img_size
    generator = torch.Generator().manual_seed(3)
    points = (torch.rand(3, 4, 2, generator=generator) * side).round(decimals=2)
    labels = torch.tensor([[1, 0, 1, -1], [0, 1, 1, 0], [1, 1, 0, 0]])
    boxes = (torch.rand(3, 4, generator=generator) * side).round(decimals=2)
    mask = torch.randn(1, 1, side // 4, side // 4, generator=generator) * 5
    encoder = model.prompt_encoder
    keep = {"points": points, "labels": labels.float(), "boxes": boxes, "mask": mask}
    keep["sparse_points"] = encoder(points=(points, labels), boxes=None, masks=None)[0]
    keep["sparse_boxes"] = encoder(points=None, boxes=boxes, masks=None)[0]
    keep["sparse_both"] = encoder(points=(points, labels), boxes=boxes, masks=None)[0]
    keep["dense_no_mask"] = encoder(points=(points, labels), boxes=None, masks=None)[1][0, :, ::8, ::8]
    keep["dense_mask"] = encoder(points=None, boxes=None, masks=mask)[1][0, :, ::2, ::2]
    keep["dense_positions"] = encoder.get_dense_pe()[0, :, ::2, ::2]
    for name, value in keep.items():
        tensors[f"prompt_encoder.{name}"] = value.detach().numpy()


def export_official_decoder(sam: torch.nn.Module, path: Path) -> None:
    """Writes the official export with the fused prompt encoder (scripts/export_onnx_model.py of segment-anything)."""
    from segment_anything.utils.onnx import SamOnnxModel

    c = sam.prompt_encoder.embed_dim
    h, w = sam.prompt_encoder.image_embedding_size
    inputs = {
        "image_embeddings": torch.randn(1, c, h, w),
        "point_coords": torch.randint(0, sam.image_encoder.img_size, (1, 5, 2)).float(),
        "point_labels": torch.randint(0, 4, (1, 5)).float(),
        "mask_input": torch.randn(1, 1, 4 * h, 4 * w),
        "has_mask_input": torch.tensor([1.0]),
        "orig_im_size": torch.tensor([1500.0, 2250.0]),
    }
    dynamic = {"point_coords": {1: "num_points"}, "point_labels": {1: "num_points"}}
    model = SamOnnxModel(sam, return_single_mask=False)
    graphs.trace(model, inputs, ("masks", "iou_predictions", "low_res_masks"), dynamic, path)


@torch.no_grad()
def make_calibrated(out: Path) -> None:
    """Writes a bundle with an int8 variant that was calibrated on the photos, and an encoder that takes levels in 8 bits."""
    family = sam.build("small", None, SEED, image_size=128, width=32)
    with tempfile.TemporaryDirectory() as folder:
        for name, photo in photos().items():
            Image.fromarray(photo).save(Path(folder) / f"{name}.png")
        export(family, "sam_calibrated", MADE_OF, out, ("fp32", "int8"), calibrate=Path(folder), levels=True)


@torch.no_grad()
def make(out: Path) -> None:
    family = sam.build("small", None, SEED)
    model = family.network
    export(family, "sam_small", MADE_OF, out / "sam")
    (out / "official").mkdir(exist_ok=True)
    export_official_decoder(model, out / "official" / "mask_decoder.onnx")
    # All precisions, with the smallest model.
    smallest = sam.build("small", None, SEED, image_size=128, width=32)
    export(smallest, "sam_variants", MADE_OF, out / "variants", ("fp32", "fp16", "int8"))

    make_calibrated(out / "calibrated")

    predictor, tensors, listed = SamPredictor(model), {}, []
    for made in (family, smallest):
        parity.check_sight(made)
    prompt_encoder_cases(model, tensors)
    for name, photo in photos().items():
        height, width = photo.shape[:2]
        Image.fromarray(photo).save(out / f"{name}.png", optimize=True)
        predictor.set_image(photo)
        tensors[f"{name}.embedding"] = predictor.features[0, :, ::STRIDE, ::STRIDE].numpy()
        # The logits after a click serve as the mask prompt.
        _, iou, logits = predictor.predict(np.array([[width * 0.5, height * 0.6]]), np.array([1]), multimask_output=True)
        tensors[f"{name}.mask_input"] = logits[iou.argmax()].astype(np.float16).astype(np.float32)
        for case in cases(name, width, height, logits) + several(name, width, height):
            masks, iou, low_res = predict(predictor, case, tensors)
            key = f"{name}.{case['case']}"
            tensors[f"{key}.low_res"], tensors[f"{key}.iou"] = low_res[:, ::STRIDE, ::STRIDE], iou
            best = 1 + int(iou[1:].argmax())
            for index in (0, best):
                picture = Image.fromarray(masks[index].astype(np.uint8) * 255).convert("1")
                picture.save(out / "masks" / f"{key}.{index}.png", optimize=True)
            listed.append({**case, "masks": [0, best]})
            print(f"{key:24} IoU {iou.round(4)}, area {masks.mean((1, 2)).round(3)}, logits +- {low_res.std():.2f}")
    save_file({k: np.ascontiguousarray(v, dtype=np.float32) for k, v in tensors.items()}, out / "expected.safetensors")
    (out / "expected.safetensors").chmod(0o644)
    text = ",\n".join("  " + json.dumps(case) for case in listed)
    (out / "cases.json").write_text(f"[\n{text}\n]\n")


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "../tests/golden")
    (folder / "masks").mkdir(parents=True, exist_ok=True)
    make(folder)

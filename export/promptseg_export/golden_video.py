"""Writes tests/golden/video, video_edgetam and video_efficienttam: a small SAM 2.1, a small EdgeTAM and a small EfficientTAM
with memory, a drawn clip, and the results of `SAM2VideoPredictor`.

    python -m promptseg_export.golden_video ../tests/golden [video] [video_edgetam] [video_efficienttam]

`scenarios.json` has the steps of each scenario. For each answer, `expected.safetensors` has some rows and columns of the
low-resolution logits, the object pointer and the object score, under `SCENARIO.STEP.OBJECT.FRAME`. Frames are resized as in
`SAM2ImagePredictor`, holes are not filled, and every frame with a correction is a conditioning frame. The graphs are run
too, with a correct tracker and with faulty trackers, to check that a test with these values detects the faults. The frames
and the mask in `video` serve all models.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import save_file

from . import edgetam, efficienttam, export, parity, sam2, video_reference
from .video_proof import (
    HEIGHT, WIDTH, Networks, as_in_videos, clip, encoded, in_graphs, in_pytorch, points, propagate, tracker, triangle,
)

COUNT = 20
GAIN = 0.012
"""Factor of the effect of EdgeTAM's memories, which `memory.randomise` increases twelvefold."""
EFFICIENT_GAIN = 0.015
"""Factor of the effect of EfficientTAM's memories."""
TOLERANCE = 5e-5


def scenarios(empty: tuple | None) -> list[dict]:
    """The scenarios. `empty`: a point of the background at which an object disappears and reappears, or None."""
    click = points(1, 0, (18, 42, 1))
    plain = {
        "click": [click, propagate(0, 19)],
        "corrections": [
            click,
            propagate(0, 8),
            points(1, 5, (50, 52, 1)),
            points(1, 5, (50, 52, 1), (90, 100, 0)),
            propagate(5, 6),
            points(1, 9, (76, 44, 1), (30, 100, 0)),
            propagate(9, 6),
        ],
        "second": [click, propagate(0, 6), points(2, 5, box=[105, 24, 129, 44]), propagate(5, 8)],
        "third": [
            click,
            points(2, 0, box=[110, 4, 134, 24]),
            propagate(0, 4),
            {"op": "mask", "object": 3, "frame": 7, "mask": "mask_3.png"},
            propagate(7, 6),
        ],
        "absent": [points(1, 0, (*(empty or ()), 1)), propagate(0, 19)],
        "reverse": [
            points(1, 19, (142, 43, 1)),
            propagate(19, 13, reverse=True),
            points(1, 12, (96, 35, 1), (20, 20, 0)),
            propagate(12, 8, reverse=True),
        ],
        "many": [
            click,
            points(1, 6, (57, 51, 1), (20, 100, 0)),
            points(1, 12, (96, 35, 1), box=[82, 21, 110, 49]),
            propagate(0, 16),
        ],
    }
    if empty is None:
        del plain["absent"]
    return [{"name": name, "max_conditioning": 2 if name == "many" else None, "steps": steps} for name, steps in plain.items()]


def largest_differences(actual: dict, expected: dict) -> np.ndarray:
    """The largest differences of logits, pointers and scores."""
    assert actual.keys() == expected.keys(), "the answers have different steps, objects or frames"
    return np.max([[np.abs(a - b).max() for a, b in zip(actual[key], expected[key])] for key in expected], axis=0)


class IndexOff(video_reference.Tracker):
    def memories(self, *arguments):
        return [(record, max(row - 1, 0)) for record, row in super().memories(*arguments)]


class WrongDivisor(video_reference.Tracker):
    def pointers(self, *arguments):
        return [(record, time * 15 / 16) for record, time in super().pointers(*arguments)]


class NoBinarize(video_reference.Tracker):
    def encode_memory(self, frame, record, binarize):
        return super().encode_memory(frame, record, False)


class NoRounding(video_reference.Tracker):
    def encode_memory(self, frame, record, binarize):
        with mock.patch.object(video_reference, "to_bfloat16", lambda values: values):
            return super().encode_memory(frame, record, binarize)


class OtherRounding(video_reference.Tracker):
    """Rounds one number of each memory in the other direction. This is no fault: on another machine, a difference of 1e-7
    before the rounding has the same effect."""

    def encode_memory(self, frame, record, binarize):
        features = super().encode_memory(frame, record, binarize)
        bits, place = features.view(np.uint32).reshape(-1), 7919 * (frame + 1) % features.size
        bits[place] += 0x10000
        return features


class OneMemoryLess(video_reference.Tracker):
    def memories(self, *arguments):
        return super().memories(*arguments)[:-1] or super().memories(*arguments)


class OnePointerLess(video_reference.Tracker):
    def pointers(self, *arguments):
        return super().pointers(*arguments)[:-1] or super().pointers(*arguments)


FAULTS = (IndexOff, NoBinarize, NoRounding, OneMemoryLess, OnePointerLess)


def reduce_logits(family: sam2.Sam2) -> None:
    """Scales the logits down, so that rounding differences stay below the effect of a tracker fault."""
    mlps = family.network.sam_mask_decoder.output_hypernetworks_mlps
    for mlp, factor in zip(mlps, (0.07, 0.07, 0.07, 0.05)):
        mlp.layers[-1].weight.mul_(factor)
        mlp.layers[-1].bias.mul_(factor)


def scores(family: sam2.Sam2, images: torch.Tensor, listed: list, masks: dict) -> np.ndarray:
    """The object scores of all propagated frames in the scenarios."""
    answers = [in_pytorch(family, images, scenario, masks) for scenario in listed]
    steps = [scenario["steps"] for scenario in listed]
    scored = [(s[step], v[2].item()) for s, a in zip(steps, answers) for (step, _, _), v in a.items()]
    return np.array([score for step, score in scored if step["op"] == "propagate"])


def calibrate_sam2(family: sam2.Sam2, images: torch.Tensor, _: dict) -> list[dict]:
    """Calibrates the object score to both signs over the clip, and returns the scenarios.

    The scenario `absent` clicks on a point of the background at which the object disappears and reappears.
    """
    reduce_logits(family)
    head = family.network.sam_mask_decoder.pred_obj_score_head.layers[-1]
    head.bias.add_(100.0)
    click = [scenario for scenario in scenarios(None) if scenario["name"] == "click"]
    values = scores(family, images, click, {})
    scale = 2.0 / values.std()
    head.weight.mul_(scale)
    head.bias.copy_((head.bias - np.quantile(values, 0.4)) * scale)
    for y in range(112, 84, -8):
        for x in range(8, WIDTH, 16):
            steps = [points(1, 0, (x, y, 1)), propagate(0, 19)]
            answers = in_pytorch(family, images, {"steps": steps, "max_conditioning": None}, {})
            values = np.array([answers[1, 1, t][2].item() for t in range(COUNT)])
            present = values > 0
            if present[0] and present[-1] and (~present).sum() >= 2 and np.abs(values).min() > 0.02:
                print("absent:", (x, y), values.round(2))
                return scenarios((x, y))
    raise SystemExit("no point of the background has object scores of both signs; try another seed")


def calibrate_edgetam(family: edgetam.EdgeTam, images: torch.Tensor, masks: dict) -> list[dict]:
    """Calibrates the object score to positive values on every frame, and reduces the effect of memories.

    A memory has 32 tokens, the small SAM 2.1 has 256. Therefore a single number rounded in the other direction would change
    every mask. No object disappears, because an absent object does not change EdgeTAM's memories, which have no embedding
    for absent objects.
    """
    reduce_logits(family)
    network = family.network
    for block in network.memory_attention.layers:
        block.cross_attn_image.out_proj.weight.mul_(GAIN)
    network.by_transformers()
    head = network.sam_mask_decoder.pred_obj_score_head.layers[-1]
    head.bias.add_(100.0)
    listed = scenarios(None)
    head.bias.sub_(scores(family, images, listed, masks).min() - 1.0)
    return listed


def calibrate_efficienttam(family: efficienttam.EfficientTam, images: torch.Tensor, masks: dict) -> list[dict]:
    """Calibrates the object score to positive values on every frame, because an absent object does not change a memory."""
    reduce_logits(family)
    for block in family.network.memory_attention.layers:
        block.cross_attn_image.out_proj.weight.mul_(EFFICIENT_GAIN)
    head = family.network.sam_mask_decoder.pred_obj_score_head.layers[-1]
    head.bias.add_(100.0)
    listed = scenarios(None)
    head.bias.sub_(scores(family, images, listed, masks).min() - 1.0)
    return listed


@dataclass
class Fixture:
    folder: str
    build: Callable
    seed: int
    calibrate: Callable
    """Function of family, images and masks that returns the scenarios."""
    stride: int
    """Distance of the stored rows and columns of the logits."""
    faults: tuple


def pooled_efficienttam(model: str, checkpoint: None, seed: int) -> efficienttam.EfficientTam:
    return efficienttam.build(f"{model}_1", checkpoint, seed)


FIXTURES = (
    Fixture("video", sam2.build_2_1, 7, calibrate_sam2, 2, (WrongDivisor, *FAULTS)),
    # Without WrongDivisor, because the pointers of EdgeTAM have no time.
    Fixture("video_edgetam", edgetam.build, 7, calibrate_edgetam, 4, FAULTS),
    # Without NoRounding, whose effect is as small as that of a single number rounded in the other direction.
    Fixture(
        "video_efficienttam", pooled_efficienttam, 7, calibrate_efficienttam, 4,
        tuple(fault for fault in FAULTS if fault is not NoRounding),
    ),  # fmt: skip
)


def make(fixture: Fixture, folder: Path) -> None:
    out, pictures, masks = folder / fixture.folder, clip(COUNT), {"mask_3.png": triangle(7)}
    family = fixture.build("small", None, fixture.seed)
    images = torch.stack([family.predictor._transforms(picture.copy()) for picture in pictures])
    with as_in_videos(family):
        listed = fixture.calibrate(family, images, masks)
    family = family.rebuilt()
    parity.check_sight(family)
    export.export(family, f"{family.family}_small_video", f"random weights, seed {fixture.seed}", out)
    networks = Networks(out)
    frames = encoded(family, networks, images)
    with as_in_videos(family):
        tensors = checked_answers(fixture, family, networks, frames, images, listed, masks)
    save_file({k: np.ascontiguousarray(v, np.float32) for k, v in tensors.items()}, out / "expected.safetensors")
    (out / "expected.safetensors").chmod(0o644)
    if fixture.folder == "video":
        (out / "frames").mkdir(exist_ok=True)
        for number, picture in enumerate(pictures):
            Image.fromarray(picture).save(out / "frames" / f"{number:02}.png", optimize=True)
        for name, mask in masks.items():
            Image.fromarray(mask).save(out / name, optimize=True)
    text = ",\n".join(
        json.dumps({k: v for k, v in s.items() if k != "steps"})[:-1]
        + ', "steps": [\n    ' + ",\n    ".join(json.dumps(step) for step in s["steps"]) + "\n  ]}"
        for s in listed
    )
    (out / "scenarios.json").write_text(f"[\n{text}\n]\n")


def checked_answers(
    fixture: Fixture, family: sam2.Sam2, networks: Networks, frames: list, images: torch.Tensor, listed: list, masks: dict
) -> dict:
    """The answers of PyTorch, after checking that the graphs agree, and differ with each faulty tracker."""
    tensors, stride = {}, fixture.stride
    for scenario in listed:
        expected = in_pytorch(family, images, scenario, masks)

        def run(kind: type = video_reference.Tracker) -> np.ndarray:
            return largest_differences(in_graphs(family, tracker(family, networks, frames, kind), scenario, masks), expected)

        difference, rounding = run(), run(OtherRounding)
        logits = np.stack([mask for mask, _, _ in expected.values()])
        present = np.array([score.item() > 0 for _, _, score in expected.values()])
        moving = np.std([m for (s, _, _), (m, _, score) in expected.items() if score > 0], axis=0).mean()
        print(
            f"{scenario['name']:12} {len(expected)} answers, {(~present).sum()} without an object, logits +- "
            f"{logits[present].std():.2f}, over time {moving:.2f}; graphs: logits {difference[0]:.1e}, pointers "
            f"{difference[1]:.1e}, scores {difference[2]:.1e}; numbers rounded in the other direction: logits {rounding[0]:.1e}"
        )
        assert np.isfinite(logits).all() and difference[0] < TOLERANCE / 2, scenario["name"]
        assert difference[0] + rounding[0] < TOLERANCE, f"{scenario['name']}: rounding on another machine is as large as a fault"
        assert np.abs([score for _, _, score in expected.values()]).min() > 1e-3, "rounding may change the sign of a score"
        assert (scenario["name"] == "absent") <= (0 < present.sum() < len(present)), "the object must be absent on some frames"
        for kind in fixture.faults:
            wrong = run(kind)
            assert wrong[0] > TOLERANCE, f"the fault {kind.__name__} is not detected"
            print(f"  {kind.__name__:16} logits {wrong[0]:.1e}, pointers {wrong[1]:.1e}, scores {wrong[2]:.1e}")
        for (step, object, frame), (mask, pointer, score) in expected.items():
            key = f"{scenario['name']}.{step}.{object}.{frame}"
            tensors[f"{key}.low_res"] = mask[0, 0, ::stride, ::stride]
            tensors[f"{key}.pointer"], tensors[f"{key}.score"] = pointer[0], score[0]
    return tensors


if __name__ == "__main__":
    folder, *names = sys.argv[1:] or ["../tests/golden"]
    for fixture in FIXTURES:
        if not names or fixture.folder in names:
            with torch.no_grad():
                make(fixture, Path(folder))

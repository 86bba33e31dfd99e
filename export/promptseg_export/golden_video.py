"""Makes tests/golden/video and tests/golden/video_edgetam: a small SAM 2.1 and a small EdgeTAM with memory, a drawn clip,
and what `SAM2VideoPredictor` says of it.

    python -m promptseg_export.golden_video ../tests/golden [video] [video_edgetam]

`scenarios.json` says what is done, step by step; `expected.safetensors` has for each answer, under
`SCENARIO.STEP.OBJECT.FRAME`, some rows and columns of the low-resolution logits, the object pointer and the object
score. Every frame is made smaller as `SAM2ImagePredictor` does it, holes are not filled, and every frame with a correction
is a conditioning frame. The graphs are run as well, as they should be and with faults: what a test must be able to tell.
The frames and the mask are in `video`, for both.
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

from . import edgetam, export, parity, sam2, video_reference
from .video_proof import (
    HEIGHT, WIDTH, Networks, as_in_videos, clip, encoded, in_graphs, in_pytorch, points, propagate, tracker, triangle,
)

COUNT = 20
GAIN = 0.012
"""Of EdgeTAM's memories, which `memory.randomise` makes count twelvefold."""
TOLERANCE = 5e-5


def scenarios(empty: tuple | None) -> list[dict]:
    """`empty`: a place of the ground where an object goes and comes back."""
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


def apart(found: dict, expected: dict) -> np.ndarray:
    """The largest differences of logits, pointers and scores."""
    assert found.keys() == expected.keys(), "not the same answers"
    return np.max([[np.abs(a - b).max() for a, b in zip(found[key], expected[key])] for key in expected], axis=0)


class IndexOff(video_reference.Tracker):
    def memories(self, *asked_for):
        return [(record, max(row - 1, 0)) for record, row in super().memories(*asked_for)]


class WrongDivisor(video_reference.Tracker):
    def pointers(self, *asked_for):
        return [(record, time * 15 / 16) for record, time in super().pointers(*asked_for)]


class NoBinarize(video_reference.Tracker):
    def remember(self, frame, record, binarize):
        return super().remember(frame, record, False)


class NoRounding(video_reference.Tracker):
    def remember(self, frame, record, binarize):
        with mock.patch.object(video_reference, "to_bfloat16", lambda values: values):
            return super().remember(frame, record, binarize)


class OtherRounding(video_reference.Tracker):
    """No fault: one number of each memory is rounded the other way, as a difference of 1e-7 before it may do on another
    machine."""

    def remember(self, frame, record, binarize):
        features = super().remember(frame, record, binarize)
        bits, place = features.view(np.uint32).reshape(-1), 7919 * (frame + 1) % features.size
        bits[place] += 0x10000
        return features


class OneMemoryLess(video_reference.Tracker):
    def memories(self, *asked_for):
        return super().memories(*asked_for)[:-1] or super().memories(*asked_for)


class OnePointerLess(video_reference.Tracker):
    def pointers(self, *asked_for):
        return super().pointers(*asked_for)[:-1] or super().pointers(*asked_for)


FAULTS = (IndexOff, NoBinarize, NoRounding, OneMemoryLess, OnePointerLess)


def softened(family: sam2.Sam2) -> None:
    """Brings logits to a size at which rounding stays below a fault of the tracker."""
    mlps = family.network.sam_mask_decoder.output_hypernetworks_mlps
    for mlp, factor in zip(mlps, (0.07, 0.07, 0.07, 0.05)):
        mlp.layers[-1].weight.mul_(factor)
        mlp.layers[-1].bias.mul_(factor)


def scores(family: sam2.Sam2, images: torch.Tensor, listed: list, masks: dict) -> np.ndarray:
    """Object scores of what is followed, and of the prompted frames where they are followed over."""
    answers = [in_pytorch(family, images, scenario, masks) for scenario in listed]
    steps = [scenario["steps"] for scenario in listed]
    found = [(s[step], v[2].item()) for s, a in zip(steps, answers) for (step, _, _), v in a.items()]
    return np.array([score for step, score in found if step["op"] == "propagate"])


def of_sam2(family: sam2.Sam2, images: torch.Tensor, _: dict) -> list[dict]:
    """Object scores of both signs over the clip, and a place of the ground where an object is seen, is not, and is seen
    again."""
    softened(family)
    head = family.network.sam_mask_decoder.pred_obj_score_head.layers[-1]
    head.bias.add_(100.0)
    click = [scenario for scenario in scenarios(None) if scenario["name"] == "click"]
    found = scores(family, images, click, {})
    scale = 2.0 / found.std()
    head.weight.mul_(scale)
    head.bias.copy_((head.bias - np.quantile(found, 0.4)) * scale)
    for y in range(112, 84, -8):
        for x in range(8, WIDTH, 16):
            steps = [points(1, 0, (x, y, 1)), propagate(0, 19)]
            answers = in_pytorch(family, images, {"steps": steps, "max_conditioning": None}, {})
            found = np.array([answers[1, 1, t][2].item() for t in range(COUNT)])
            there = found > 0
            if there[0] and there[-1] and (~there).sum() >= 2 and np.abs(found).min() > 0.02:
                print("absent:", (x, y), found.round(2))
                return scenarios((x, y))
    raise SystemExit("no place of the ground has an object score of both signs")


def of_edgetam(family: edgetam.EdgeTam, images: torch.Tensor, masks: dict) -> list[dict]:
    """An object on every frame, and memories that count for less: a memory is 32 tokens here where the small SAM 2.1 has
    256, so that a single number of one which is rounded the other way shows in every mask.

    No object goes: without one a memory is no other (EdgeTAM has no embedding for it), and what the pointer and the mask
    become is not of the memory."""
    softened(family)
    network = family.network
    for block in network.memory_attention.layers:
        block.cross_attn_image.out_proj.weight.mul_(GAIN)
    network.by_transformers()
    head = network.sam_mask_decoder.pred_obj_score_head.layers[-1]
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
    """family, images, masks -> scenarios"""
    stride: int
    """Every so many rows and columns of logits are kept."""
    faults: tuple


FIXTURES = (
    Fixture("video", sam2.build_2_1, 7, of_sam2, 2, (WrongDivisor, *FAULTS)),
    # It does not say when a pointer was made.
    Fixture("video_edgetam", edgetam.build, 7, of_edgetam, 4, FAULTS),
)


def make(fixture: Fixture, folder: Path) -> None:
    out, pictures, masks = folder / fixture.folder, clip(COUNT), {"mask_3.png": triangle(7)}
    family = fixture.build("small", None, fixture.seed)
    images = torch.stack([family.predictor._transforms(picture.copy()) for picture in pictures])
    with as_in_videos(family):
        listed = fixture.calibrate(family, images, masks)
    family = family.again()
    parity.check_sight(family)
    export.export(family, f"{family.family}_small_video", f"random weights, seed {fixture.seed}", out)
    networks = Networks(out)
    frames = encoded(family, networks, images)
    with as_in_videos(family):
        tensors = compared(fixture, family, networks, frames, images, listed, masks)
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


def compared(
    fixture: Fixture, family: sam2.Sam2, networks: Networks, frames: list, images: torch.Tensor, listed: list, masks: dict
) -> dict:
    """What PyTorch says, once the graphs are seen to say the same, and with each fault something else."""
    tensors, stride = {}, fixture.stride
    for scenario in listed:
        expected = in_pytorch(family, images, scenario, masks)

        def run(kind: type = video_reference.Tracker) -> np.ndarray:
            return apart(in_graphs(family, tracker(family, networks, frames, kind), scenario, masks), expected)

        difference, rounding = run(), run(OtherRounding)
        logits = np.stack([mask for mask, _, _ in expected.values()])
        there = np.array([score.item() > 0 for _, _, score in expected.values()])
        moving = np.std([m for (s, _, _), (m, _, score) in expected.items() if score > 0], axis=0).mean()
        print(
            f"{scenario['name']:12} {len(expected)} answers, {(~there).sum()} without an object, logits +- "
            f"{logits[there].std():.2f}, over time {moving:.2f}; graphs: logits {difference[0]:.1e}, pointers "
            f"{difference[1]:.1e}, scores {difference[2]:.1e}; numbers rounded the other way: logits {rounding[0]:.1e}"
        )
        assert np.isfinite(logits).all() and difference[0] < TOLERANCE / 2, scenario["name"]
        assert difference[0] + rounding[0] < TOLERANCE, f"{scenario['name']}: another machine's rounding is as large as a fault"
        assert np.abs([score for _, _, score in expected.values()]).min() > 1e-3, "an object score that rounding may turn"
        assert (scenario["name"] == "absent") <= (0 < there.sum() < len(there)), "absent and back"
        for kind in fixture.faults:
            wrong = run(kind)
            assert wrong[0] > TOLERANCE, f"{kind.__name__} is not seen"
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

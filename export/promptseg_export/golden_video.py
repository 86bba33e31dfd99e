"""Makes tests/golden/video: a small SAM 2.1 with memory, a drawn clip, and what `SAM2VideoPredictor` says of it.

    python -m promptseg_export.golden_video ../tests/golden/video

`scenarios.json` says what is done, step by step; `expected.safetensors` has for each answer, under
`SCENARIO.STEP.OBJECT.FRAME`, the low-resolution logits (every `STRIDE`th row and column), the object pointer and the object
score. Every frame is made smaller as `SAM2ImagePredictor` does it, holes are not filled, and every frame with a correction
is a conditioning frame. The graphs are run as well, as they should be and with faults: what a test must be able to tell.
"""

import json
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from PIL import Image, ImageDraw
from safetensors.numpy import load_file, save_file

from . import bundle, export, parity, sam2, video_reference

SEED = 7
STRIDE = 2
COUNT, WIDTH, HEIGHT = 20, 160, 120
TOLERANCE = 5e-5


def clip() -> list[np.ndarray]:
    """A disc that goes behind a bar and comes back, a box that comes down, a triangle that goes left, on a ground of
    patches."""
    random = np.random.default_rng(3)
    patches = Image.fromarray(random.integers(60, 200, (6, 8, 3), dtype=np.uint8))
    ground = np.asarray(patches.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)) 
    pictures = []
    for t in range(COUNT):
        # Somebody walks past the lamp.
        light = 1 - 0.45 * np.exp(-(((t - 9) / 3.5) ** 2))
        picture = Image.fromarray((ground * light).astype(np.uint8) // 4 * 4)
        draw = ImageDraw.Draw(picture)
        x, y = 18 + 6.5 * t, 42 + 10 * np.sin(t / 3)
        draw.ellipse((x - 14, y - 14, x + 14, y + 14), fill=(220, 60, 40))
        draw.ellipse((x - 6, y - 9, x + 2, y - 1), fill=(250, 200, 190))
        draw.rectangle((66, 8, 98, 78), fill=(60, 70, 80))
        x, y = 122 - t, 14 + 4 * t
        draw.rectangle((x - 11, y - 9, x + 11, y + 9), fill=(40, 90, 210), outline=(240, 240, 60))
        x, y = 140 - 5 * t, 96 - t
        draw.polygon([(x, y - 14), (x - 15, y + 12), (x + 15, y + 12)], fill=(50, 180, 90))
        pictures.append(np.asarray(picture))
    return pictures


def triangle(t: int) -> np.ndarray:
    picture = Image.new("L", (WIDTH, HEIGHT))
    x, y = 140 - 5 * t, 96 - t
    ImageDraw.Draw(picture).polygon([(x, y - 14), (x - 15, y + 12), (x + 15, y + 12)], fill=255)
    return np.asarray(picture)


def points(object: int, frame: int, *xyl: tuple, box: list | None = None) -> dict:
    return {"op": "points", "object": object, "frame": frame, "points": [list(p) for p in xyl], "box": box}


def propagate(start: int, count: int, reverse: bool = False) -> dict:
    return {"op": "propagate", "start": start, "count": count, "reverse": reverse}


def scenarios(empty: tuple) -> list[dict]:
    """`empty`: a place of the ground."""
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
        "absent": [points(1, 0, (*empty, 1)), propagate(0, 19)],
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
    return [{"name": name, "max_conditioning": 2 if name == "many" else None, "steps": steps} for name, steps in plain.items()]


def asked(family: sam2.Sam2, step: dict) -> tuple[np.ndarray, np.ndarray]:
    """Points of a step in the model's square, a box as two of them."""
    box = np.array(step["box"] or [], np.float32).reshape(-1, 2)
    given = np.array(step["points"], np.float32).reshape(-1, 3)
    places = np.concatenate([box, given[:, :2]]) / np.array([WIDTH, HEIGHT], np.float32) * family.side
    return places.astype(np.float32), np.array([2, 3][: len(box)] + given[:, 2].astype(int).tolist())


def in_pytorch(family: sam2.Sam2, images: torch.Tensor, scenario: dict, masks: dict) -> dict:
    """Step, object and frame -> logits, pointer and score, by `SAM2VideoPredictor`."""
    predictor, answers = family.network, {}
    predictor.add_all_frames_to_correct_as_cond = True
    predictor.max_cond_frames_in_attn = scenario["max_conditioning"] or -1
    with mock.patch("sam2.sam2_video_predictor.load_video_frames", lambda **_: (images, HEIGHT, WIDTH)), \
            mock.patch("sam2.sam2_video_predictor.tqdm", lambda frames, **_: frames):
        state = predictor.init_state("")
        for number, step in enumerate(scenario["steps"]):

            def keep(kinds: dict, object: int, frame: int) -> None:
                outputs = kinds[state["obj_id_to_idx"][object]]
                found = outputs["cond_frame_outputs"].get(frame) or outputs["non_cond_frame_outputs"][frame]
                parts = (found[name].float().numpy() for name in ("pred_masks", "obj_ptr", "object_score_logits"))
                answers[number, object, frame] = tuple(part.copy() for part in parts)

            if step["op"] == "propagate":
                asked_for = step["start"], step["count"], step["reverse"]
                for frame, objects, _ in predictor.propagate_in_video(state, *asked_for):
                    for object in objects:
                        keep(state["output_dict_per_obj"], object, frame)
                continue
            if step["op"] == "mask":
                predictor.add_new_mask(state, step["frame"], step["object"], masks[step["mask"]] > 127)
            else:
                given = np.array(step["points"], np.float32).reshape(-1, 3)
                predictor.add_new_points_or_box(
                    state, step["frame"], step["object"], given[:, :2], given[:, 2].astype(np.int32), box=step["box"]
                )
            keep(state["temp_output_dict_per_obj"], step["object"], step["frame"])
    return answers


def in_graphs(family: sam2.Sam2, tracker: video_reference.Tracker, scenario: dict, masks: dict) -> dict:
    """The same by the exported graphs."""
    answers, tracker.max_conditioning = {}, scenario["max_conditioning"]
    for number, step in enumerate(scenario["steps"]):
        if step["op"] == "propagate":
            for frame, object, record in tracker.propagate(step["start"], step["count"], step["reverse"]):
                answers[number, object, frame] = record.mask, record.pointer, record.score
            continue
        if step["op"] == "mask":
            square, small = family.mask_prompt(masks[step["mask"]] > 127)
            record = tracker.mask(step["object"], step["frame"], small, square)
        else:
            record = tracker.points(step["object"], step["frame"], *asked(family, step))
        answers[number, step["object"], step["frame"]] = record.mask, record.pointer, record.score
    return answers


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


class OneMemoryLess(video_reference.Tracker):
    def memories(self, *asked_for):
        return super().memories(*asked_for)[:-1] or super().memories(*asked_for)


class OnePointerLess(video_reference.Tracker):
    def pointers(self, *asked_for):
        return super().pointers(*asked_for)[:-1] or super().pointers(*asked_for)


FAULTS = (IndexOff, WrongDivisor, NoBinarize, NoRounding, OneMemoryLess, OnePointerLess)


def remember_images(family: sam2.Sam2) -> None:
    """The image encoder runs once for each frame: the clip is asked about many times."""
    encode, known = family.network.forward_image, {}

    def once(image: torch.Tensor) -> dict:
        key = image.data_ptr()
        if key not in known:
            known[key] = encode(image)
        return known[key]

    family.network.forward_image = once


def calibrate(family: sam2.Sam2, images: torch.Tensor) -> tuple:
    """Brings the object scores to both signs over the clip, and logits to a size at which rounding stays below a fault of
    the tracker; returns a place of the ground where an object is seen, is not, and is seen again."""
    mlps = family.network.sam_mask_decoder.output_hypernetworks_mlps
    for mlp, factor in zip(mlps, (0.07, 0.07, 0.07, 0.05)):
        mlp.layers[-1].weight.mul_(factor)
        mlp.layers[-1].bias.mul_(factor)
    head = family.network.sam_mask_decoder.pred_obj_score_head.layers[-1]
    head.bias.add_(100.0)
    scenario = next(s for s in scenarios((0, 0)) if s["name"] == "click")
    found = np.array([v[2].item() for (step, _, _), v in in_pytorch(family, images, scenario, {}).items() if step == 1])
    scale = 2.0 / found.std()
    head.weight.mul_(scale)
    head.bias.copy_((head.bias - np.quantile(found, 0.4)) * scale)
    for y in range(112, 84, -8):
        for x in range(8, WIDTH, 16):
            steps = [points(1, 0, (x, y, 1)), propagate(0, 19)]
            answers = in_pytorch(family, images, {"steps": steps, "max_conditioning": None}, {})
            scores = np.array([answers[1, 1, t][2].item() for t in range(COUNT)])
            there = scores > 0
            if there[0] and there[-1] and (~there).sum() >= 2 and np.abs(scores).min() > 0.02:
                print("absent:", (x, y), scores.round(2))
                return x, y
    raise SystemExit("no place of the ground has an object score of both signs")


def make(out: Path) -> None:
    pictures, masks = clip(), {"mask_3.png": triangle(7)}
    family = sam2.build_2_1("small", None, SEED)
    family.fall_back(True)
    remember_images(family)
    images = torch.stack([family.predictor._transforms(picture) for picture in pictures])
    listed = scenarios(calibrate(family, images))
    family = sam2.Sam2(family.network, family.family, remembers=True)
    export.export(family, "sam2.1_small_video", f"random weights, seed {SEED}", out)
    family.fall_back(True)

    sessions = {path.stem: parity.session(path) for path in out.glob("*.onnx")}
    names = {stem: {value.name for value in session.get_inputs()} for stem, session in sessions.items()}

    def run(stem: str, feed: dict) -> list:
        return sessions[stem].run(None, {k: v for k, v in feed.items() if k in names[stem]})

    frames = [dict(zip(family.encoder_outputs, run("image_encoder", {"image": i[None].numpy()}))) for i in images]

    def tracker(kind: type) -> video_reference.Tracker:
        described = family.description()
        return kind(
            frames, run, family.embed_points, load_file(out / bundle.MEMORY), family.memory.description(),
            described["dynamic_multimask"],
        )

    tensors = {}
    for scenario in listed:
        expected = in_pytorch(family, images, scenario, masks)
        difference = apart(in_graphs(family, tracker(video_reference.Tracker), scenario, masks), expected)
        logits = np.stack([mask for mask, _, _ in expected.values()])
        there = np.array([score.item() > 0 for _, _, score in expected.values()])
        moving = np.std([m for (s, _, _), (m, _, score) in expected.items() if score > 0], axis=0).mean()
        print(
            f"{scenario['name']:12} {len(expected)} answers, {(~there).sum()} without an object, logits +- "
            f"{logits[there].std():.2f}, over time {moving:.2f}; graphs: logits {difference[0]:.1e}, pointers "
            f"{difference[1]:.1e}, scores {difference[2]:.1e}"
        )
        assert np.isfinite(logits).all() and difference[0] < TOLERANCE / 2, scenario["name"]
        assert np.abs([score for _, _, score in expected.values()]).min() > 1e-3, "an object score that rounding may turn"
        assert (scenario["name"] == "absent") <= (0 < there.sum() < len(there)), "absent and back"
        for kind in FAULTS:
            wrong = apart(in_graphs(family, tracker(kind), scenario, masks), expected)
            print(f"  {kind.__name__:16} logits {wrong[0]:.1e}, pointers {wrong[1]:.1e}, scores {wrong[2]:.1e}")
        for (step, object, frame), (mask, pointer, score) in expected.items():
            key = f"{scenario['name']}.{step}.{object}.{frame}"
            tensors[f"{key}.low_res"] = mask[0, 0, ::STRIDE, ::STRIDE]
            tensors[f"{key}.pointer"], tensors[f"{key}.score"] = pointer[0], score[0]
    save_file({k: np.ascontiguousarray(v, np.float32) for k, v in tensors.items()}, out / "expected.safetensors")
    (out / "expected.safetensors").chmod(0o644)
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


if __name__ == "__main__":
    with torch.no_grad():
        make(Path(sys.argv[1] if len(sys.argv) > 1 else "../tests/golden/video"))

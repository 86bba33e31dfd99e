"""Compares the video predictor of a package with the exported graphs of a bundle with memory, on a drawn clip."""

from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from PIL import Image, ImageDraw
from safetensors.numpy import load_file

from . import bundle, parity, variants, video_reference
from .family import Family
from .parity import Mismatch, Parity

WIDTH, HEIGHT = 160, 120
EVERY, FRAMES = 3, 6
"""The check uses every `EVERY`th frame of the clip, `FRAMES` in total."""


def clip(count: int = 20) -> list[np.ndarray]:
    """Draws a clip: a disc that passes behind a bar, a box that moves down and a triangle that moves left, on patches."""
    random = np.random.default_rng(3)
    patches = Image.fromarray(random.integers(60, 200, (6, 8, 3), dtype=np.uint8))
    ground = np.asarray(patches.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR))
    pictures = []
    for t in range(count):
        # The light dims for some frames.
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
    """The mask [H, W] of the triangle on frame `t` of the clip."""
    picture = Image.new("L", (WIDTH, HEIGHT))
    x, y = 140 - 5 * t, 96 - t
    ImageDraw.Draw(picture).polygon([(x, y - 14), (x - 15, y + 12), (x + 15, y + 12)], fill=255)
    return np.asarray(picture)


def points(object: int, frame: int, *xyl: tuple, box: list | None = None) -> dict:
    return {"op": "points", "object": object, "frame": frame, "points": [list(p) for p in xyl], "box": box}


def propagate(start: int, count: int, reverse: bool = False) -> dict:
    return {"op": "propagate", "start": start, "count": count, "reverse": reverse}


STEPS = [
    points(1, 0, (18, 42, 1)),
    propagate(0, 3),
    # A correction, a second object by box, and a third by mask.
    points(1, 2, (57, 51, 1), (20, 100, 0)),
    points(2, 2, box=[105, 29, 127, 47]),
    {"op": "mask", "object": 3, "frame": 3, "mask": "triangle"},
    propagate(3, 2),
]


def prompt_points(family: Family, step: dict) -> tuple[np.ndarray, np.ndarray]:
    """Points and labels of a step in the model's square; a box becomes two points."""
    box = np.array(step["box"] or [], np.float32).reshape(-1, 2)
    clicks = np.array(step["points"], np.float32).reshape(-1, 3)
    coordinates = np.concatenate([box, clicks[:, :2]]) / np.array([WIDTH, HEIGHT], np.float32) * family.side
    return coordinates.astype(np.float32), np.array([2, 3][: len(box)] + clicks[:, 2].astype(int).tolist())


def in_pytorch(family: Family, images: torch.Tensor, scenario: dict, masks: dict) -> dict:
    """Runs a scenario in `SAM2VideoPredictor`: step, object and frame -> logits, pointer and score."""
    predictor, answers = family.network, {}
    predictor.add_all_frames_to_correct_as_cond = True
    predictor.max_cond_frames_in_attn = scenario["max_conditioning"] or -1
    with mock.patch("sam2.sam2_video_predictor.load_video_frames", lambda **_: (images, HEIGHT, WIDTH)), \
            mock.patch("sam2.sam2_video_predictor.tqdm", lambda frames, **_: frames):
        state = predictor.init_state("")
        for number, step in enumerate(scenario["steps"]):

            def keep(kinds: dict, object: int, frame: int) -> None:
                outputs = kinds[state["obj_id_to_idx"][object]]
                output = outputs["cond_frame_outputs"].get(frame) or outputs["non_cond_frame_outputs"][frame]
                parts = (output[name].float().numpy() for name in ("pred_masks", "obj_ptr", "object_score_logits"))
                answers[number, object, frame] = tuple(part.copy() for part in parts)

            if step["op"] == "propagate":
                span = step["start"], step["count"], step["reverse"]
                for frame, objects, _ in predictor.propagate_in_video(state, *span):
                    for object in objects:
                        keep(state["output_dict_per_obj"], object, frame)
                continue
            if step["op"] == "mask":
                predictor.add_new_mask(state, step["frame"], step["object"], masks[step["mask"]] > 127)
            else:
                clicks = np.array(step["points"], np.float32).reshape(-1, 3)
                predictor.add_new_points_or_box(
                    state, step["frame"], step["object"], clicks[:, :2], clicks[:, 2].astype(np.int32), box=step["box"]
                )
            keep(state["temp_output_dict_per_obj"], step["object"], step["frame"])
    return answers


def in_graphs(family: Family, tracker: video_reference.Tracker, scenario: dict, masks: dict) -> dict:
    """Runs a scenario in the exported graphs; the results are those of `in_pytorch`."""
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
            record = tracker.points(step["object"], step["frame"], *prompt_points(family, step))
        answers[number, step["object"], step["frame"]] = record.mask, record.pointer, record.score
    return answers


@contextmanager
def as_in_videos(family: Family):
    """Context in which unstable masks are replaced, as in the video predictor, and each frame is encoded only once."""
    encode, cache = family.network.forward_image, {}

    def encode_once(image: torch.Tensor) -> dict:
        key = image.data_ptr()
        if key not in cache:
            cache[key] = encode(image)
            # All frames share the position encodings, which are the largest part.
            cache[key]["vision_pos_enc"] = next(iter(cache.values()))["vision_pos_enc"]
        return cache[key]

    family.network.forward_image = encode_once
    family.fall_back(True)
    try:
        yield
    finally:
        family.fall_back(False)
        del family.network.forward_image


class Networks:
    """Runs the graphs of a bundle by name, and keeps the last `kept` inputs of each graph. Graphs are opened on demand."""

    def __init__(self, folder: Path, kept: int = 0):
        self.folder, self.kept, self.sessions, self.feeds = folder, kept, {}, {}

    def __call__(self, name: str, feed: dict) -> list:
        if name not in self.sessions:
            runner = parity.session(self.folder / f"{name}.onnx")
            self.sessions[name] = runner, {value.name for value in runner.get_inputs()}
        runner, inputs = self.sessions[name]
        # The memory of the first version of SAM 2 lacks some inputs.
        used = {key: value for key, value in feed.items() if key in inputs}
        # Keeps the last inputs, which have the most memories.
        self.feeds[name] = [*self.feeds.get(name, []), used][-self.kept :] if self.kept else []
        return runner.run(None, used)


def tracker(family: Family, networks: Networks, frames: list[dict], kind: type = video_reference.Tracker):
    description, weights = family.description(), load_file(networks.folder / bundle.MEMORY)
    spec, rule = family.memory.description(), description["dynamic_multimask"]
    return kind(frames, networks, family.embed_points, weights, spec, rule)


def encoded(family: Family, networks: Networks, images: torch.Tensor) -> list[dict]:
    features = [networks("image_encoder", {"image": image[None].numpy()}) for image in images]
    return [dict(zip(family.encoder_outputs, each)) for each in features]


def prove(family: Family, folder: Path, half: bool, log) -> dict[str, dict]:
    """Returns the parity of each precision, for the field `memory` of bundle.json.

    `half`: also write the fp16 memory graphs, which are deleted if they are beyond their limit.
    """
    pictures, steps = clip()[::EVERY][:FRAMES], STEPS
    images = torch.stack([family.predictor._transforms(picture.copy()) for picture in pictures])
    masks, scenario = {"triangle": triangle(3 * EVERY)}, {"steps": steps, "max_conditioning": None}
    log(f"{family.family} in PyTorch on a clip of {FRAMES} frames ...")
    with as_in_videos(family), torch.no_grad():
        expected = in_pytorch(family, images, scenario, masks)
        log("memory in ONNX Runtime ...")
        networks = Networks(folder, kept=3)
        actual = in_graphs(family, tracker(family, networks, encoded(family, networks, images)), scenario, masks)
    worst = compare(actual, expected, steps, log)
    limit = parity.LOW_RES["fp32"]
    if problem := worst["logits"].problem("fp32"):
        raise Mismatch(f"tracking: {problem}")
    for part in ("pointers", "scores"):
        if not worst[part] <= limit:
            raise Mismatch(f"tracking: object {part} differ by {worst[part]:.1e} of their range, limit {limit:.0e}")
    measured = {"fp32": fields(worst)}
    if half:
        del networks.sessions["image_encoder"]
        log("memory in fp16 ...")
        worst = compare_half(networks, log)
        limit = parity.LOW_RES["fp16"]
        problem = worst["logits"].problem("fp16")
        if problem is None and not worst["features"] <= limit:
            problem = f"memories differ by {worst['features']:.1e} of their range, limit {limit:.0e}"
        if problem:
            log(f"fp16 of the memory is left out: {problem}")
            for graph in (bundle.MEMORY_ATTENTION, bundle.MEMORY_ENCODER):
                (folder / bundle.variant_of(graph, "fp16")).unlink()
        else:
            measured["fp16"] = fields(worst)
    return measured


def fields(worst: dict) -> dict:
    rest = {name: parity.rounded(value) for name, value in worst.items() if name != "logits"}
    return {"low_res": parity.rounded(worst["logits"].low_res), "mask_iou": round(worst["logits"].mask_iou, 5), **rest}


def compare(actual: dict, expected: dict, steps: list[dict], log) -> dict:
    """The largest differences over all frames and objects."""
    logits, tracked = Parity(), 0
    for (number, object, frame), (mask, _, score) in expected.items():
        actual_mask, _, actual_score = actual[number, object, frame]
        case = f"object {object} on frame {frame}, {steps[number]['op']}"
        if (actual_score > 0) != (score > 0):
            raise Mismatch(f"tracking: {case}: object score {actual_score.item():.4f}, expected {score.item():.4f} as in PyTorch")
        parity_of_case = Parity(case=case) if np.array_equal(actual_mask, mask) else difference(actual_mask, mask, case)
        log(
            f"  {case:34} {parity_of_case.low_res:.1e} of the range, masks {parity_of_case.mask_iou:.4f}, "
            f"object score {score.item():.2f}"
        )
        logits.add(parity_of_case)
        tracked += steps[number]["op"] == "propagate" and bool(score > 0) and not np.array_equal(actual_mask, mask)
    if tracked < 3:
        log(f"  the model tracks an object on only {tracked} frames of this clip: its masks are hardly compared")

    def relative_difference(part: int) -> float:
        ours, theirs = (np.stack([answers[key][part] for key in expected]) for answers in (actual, expected))
        return float(np.abs(ours - theirs).max() / np.ptp(theirs))

    return {"logits": logits, "pointers": relative_difference(1), "scores": relative_difference(2)}


def difference(actual: np.ndarray, expected: np.ndarray, case: str) -> Parity:
    span = float(np.ptp(expected))
    union = ((actual > 0) | (expected > 0)).sum()
    overlap = ((actual > 0) & (expected > 0)).sum() / union if union else 1.0
    return Parity(float(np.abs(actual - expected).max()) / span if span else float("nan"), 0.0, float(overlap), case)


def compare_half(networks: Networks, log) -> dict:
    """Writes the memory graphs in half precision and compares each with fp32 on the inputs of the fp32 run.

    A tracker accumulates differences in both precisions, so whole runs are not compared. The attention is compared through
    the masks decoded from its output.
    """
    folder, logits, features = networks.folder, Parity(), 0.0
    for graph, name in ((bundle.MEMORY_ATTENTION, "memory_attention"), (bundle.MEMORY_ENCODER, "memory_encoder")):
        target = folder / bundle.variant_of(graph, "fp16")
        feeds = list(networks.feeds[name])
        kept = variants.half(folder / graph, target, feeds)
        if kept:
            log(f"  {graph}: {len(kept)} operators stay in fp32, because their values are too large for half precision")
        runner, decoder_feed = parity.session(target), networks.feeds["mask_decoder"][-1]
        for number, feed in enumerate(feeds):
            plain, half = networks(name, feed)[0], runner.run(None, feed)[0]
            if name == "memory_encoder":
                relative = float(np.abs(half - plain).max() / np.ptp(plain))
                features = features if relative <= features else relative
                continue
            answers = [networks("mask_decoder", {**decoder_feed, "image_embeddings": e})[0] for e in (half, plain)]
            for half_mask, mask in zip(answers[0][0], answers[1][0]):
                logits.add(difference(half_mask, mask, f"memories {number}"))
    log(f"  {logits.low_res:.1e} of the range, masks {logits.mask_iou:.4f}, memories {features:.1e} of their range")
    return {"logits": logits, "features": features}

"""The proof of a bundle with memory: the package's video predictor against the exported graphs, on a drawn clip."""

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
"""Of the clip's frames, in the proof."""


def clip(count: int = 20) -> list[np.ndarray]:
    """A disc that goes behind a bar and comes back, a box that comes down, a triangle that goes left, on a ground of
    patches."""
    random = np.random.default_rng(3)
    patches = Image.fromarray(random.integers(60, 200, (6, 8, 3), dtype=np.uint8))
    ground = np.asarray(patches.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)) 
    pictures = []
    for t in range(count):
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


STEPS = [
    points(1, 0, (18, 42, 1)),
    propagate(0, 3),
    # A correction, an object of its own by box, and a mask.
    points(1, 2, (57, 51, 1), (20, 100, 0)),
    points(2, 2, box=[105, 29, 127, 47]),
    {"op": "mask", "object": 3, "frame": 3, "mask": "triangle"},
    propagate(3, 2),
]


def asked(family: Family, step: dict) -> tuple[np.ndarray, np.ndarray]:
    """Points of a step in the model's square, a box as two of them."""
    box = np.array(step["box"] or [], np.float32).reshape(-1, 2)
    given = np.array(step["points"], np.float32).reshape(-1, 3)
    places = np.concatenate([box, given[:, :2]]) / np.array([WIDTH, HEIGHT], np.float32) * family.side
    return places.astype(np.float32), np.array([2, 3][: len(box)] + given[:, 2].astype(int).tolist())


def in_pytorch(family: Family, images: torch.Tensor, scenario: dict, masks: dict) -> dict:
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


def in_graphs(family: Family, tracker: video_reference.Tracker, scenario: dict, masks: dict) -> dict:
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


@contextmanager
def as_in_videos(family: Family):
    """Within it, masks that are not stable are replaced, as the video predictor does it, and the image encoder runs once
    for each frame."""
    encode, known = family.network.forward_image, {}

    def once(image: torch.Tensor) -> dict:
        key = image.data_ptr()
        if key not in known:
            known[key] = encode(image)
            # The same for all, and the most of it.
            known[key]["vision_pos_enc"] = next(iter(known.values()))["vision_pos_enc"]
        return known[key]

    family.network.forward_image = once
    family.fall_back(True)
    try:
        yield
    finally:
        family.fall_back(False)
        del family.network.forward_image


class Networks:
    """The graphs of a bundle by name, each opened when it is needed; keeps what some were fed."""

    def __init__(self, folder: Path, kept: int = 0):
        self.folder, self.kept, self.sessions, self.feeds = folder, kept, {}, {}

    def __call__(self, name: str, feed: dict) -> list:
        if name not in self.sessions:
            runner = parity.session(self.folder / f"{name}.onnx")
            self.sessions[name] = runner, {value.name for value in runner.get_inputs()}
        runner, inputs = self.sessions[name]
        # SAM 2 of the first version lacks some of the memory's.
        given = {key: value for key, value in feed.items() if key in inputs}
        # The later, the more memories.
        self.feeds[name] = [*self.feeds.get(name, []), given][-self.kept :] if self.kept else []
        return runner.run(None, given)


def tracker(family: Family, networks: Networks, frames: list[dict], kind: type = video_reference.Tracker):
    described, weights = family.description(), load_file(networks.folder / bundle.MEMORY)
    spec, rule = family.memory.description(), described["dynamic_multimask"]
    return kind(frames, networks, family.embed_points, weights, spec, rule)


def encoded(family: Family, networks: Networks, images: torch.Tensor) -> list[dict]:
    features = [networks("image_encoder", {"image": image[None].numpy()}) for image in images]
    return [dict(zip(family.encoder_outputs, each)) for each in features]


def prove(family: Family, folder: Path, half: bool, say) -> dict[str, dict]:
    """What was measured by precision, for the field `memory` of bundle.json. `half` makes fp16 too, which is left out
    beyond its limit."""
    pictures, steps = clip()[::EVERY][:FRAMES], STEPS
    images = torch.stack([family.predictor._transforms(picture.copy()) for picture in pictures])
    masks, scenario = {"triangle": triangle(3 * EVERY)}, {"steps": steps, "max_conditioning": None}
    say(f"{family.family} in PyTorch, on a clip of {FRAMES} frames ...")
    with as_in_videos(family), torch.no_grad():
        expected = in_pytorch(family, images, scenario, masks)
        say("memory in ONNX Runtime ...")
        networks = Networks(folder, kept=3)
        found = in_graphs(family, tracker(family, networks, encoded(family, networks, images)), scenario, masks)
    worst = compare(found, expected, steps, say)
    limit = parity.LOW_RES["fp32"]
    if problem := worst["logits"].problem("fp32"):
        raise Mismatch(f"tracking: {problem}")
    for part in ("pointers", "scores"):
        if not worst[part] <= limit:
            raise Mismatch(f"tracking: object {part} differ by {worst[part]:.1e} of their range, limit {limit:.0e}")
    measured = {"fp32": fields(worst)}
    if half:
        del networks.sessions["image_encoder"]
        say("memory in fp16 ...")
        worst = in_half(networks, say)
        limit = parity.LOW_RES["fp16"]
        problem = worst["logits"].problem("fp16")
        if problem is None and not worst["features"] <= limit:
            problem = f"memories differ by {worst['features']:.1e} of their range, limit {limit:.0e}"
        if problem:
            say(f"memory in fp16 is left out: {problem}")
            for graph in (bundle.MEMORY_ATTENTION, bundle.MEMORY_ENCODER):
                (folder / bundle.variant_of(graph, "fp16")).unlink()
        else:
            measured["fp16"] = fields(worst)
    return measured


def fields(worst: dict) -> dict:
    rest = {name: parity.rounded(value) for name, value in worst.items() if name != "logits"}
    return {"low_res": parity.rounded(worst["logits"].low_res), "mask_iou": round(worst["logits"].mask_iou, 5), **rest}


def compare(found: dict, expected: dict, steps: list[dict], say) -> dict:
    """The worst of all frames and objects."""
    logits, tracked = Parity(), 0
    for (number, object, frame), (mask, _, score) in expected.items():
        mask_found, _, score_found = found[number, object, frame]
        where = f"object {object} on frame {frame}, {steps[number]['op']}"
        if (score_found > 0) != (score > 0):
            raise Mismatch(f"tracking: {where}: object score {score_found.item():.4f}, PyTorch's is {score.item():.4f}")
        here = Parity(where=where) if np.array_equal(mask_found, mask) else difference(mask_found, mask, where)
        say(f"  {where:34} {here.low_res:.1e} of the range, masks {here.mask_iou:.4f}, object score {score.item():.2f}")
        logits.add(here)
        tracked += steps[number]["op"] == "propagate" and bool(score > 0) and not np.array_equal(mask_found, mask)
    if tracked < 3:
        say("  the model sees next to no object on this clip: its masks are hardly compared, its object scores are")

    def apart(part: int) -> float:
        ours, theirs = (np.stack([answers[key][part] for key in expected]) for answers in (found, expected))
        return float(np.abs(ours - theirs).max() / np.ptp(theirs))

    return {"logits": logits, "pointers": apart(1), "scores": apart(2)}


def difference(found: np.ndarray, expected: np.ndarray, where: str) -> Parity:
    span = float(np.ptp(expected))
    union = ((found > 0) | (expected > 0)).sum()
    overlap = ((found > 0) & (expected > 0)).sum() / union if union else 1.0
    return Parity(float(np.abs(found - expected).max()) / span if span else float("nan"), 0.0, float(overlap), where)


def in_half(networks: Networks, say) -> dict:
    """Each graph of the memory in half precision with what it was fed in fp32: mistakes of a tracker add up, and are the
    same for both. The attention is judged by the masks that come of it."""
    folder, logits, features = networks.folder, Parity(), 0.0
    for graph, name in ((bundle.MEMORY_ATTENTION, "memory_attention"), (bundle.MEMORY_ENCODER, "memory_encoder")):
        target = folder / bundle.variant_of(graph, "fp16")
        feeds = list(networks.feeds[name])
        kept = variants.half(folder / graph, target, feeds)
        if kept:
            say(f"  {graph}: {len(kept)} operators stay in fp32, their values are too large for half precision")
        runner, decoder_feed = parity.session(target), networks.feeds["mask_decoder"][-1]
        for number, feed in enumerate(feeds):
            plain, half = networks(name, feed)[0], runner.run(None, feed)[0]
            if name == "memory_encoder":
                apart = float(np.abs(half - plain).max() / np.ptp(plain))
                features = features if apart <= features else apart
                continue
            answers = [networks("mask_decoder", {**decoder_feed, "image_embeddings": e})[0] for e in (half, plain)]
            for half_mask, mask in zip(answers[0][0], answers[1][0]):
                logits.add(difference(half_mask, mask, f"memories {number}"))
    say(f"  {logits.low_res:.1e} of the range, masks {logits.mask_iou:.4f}, memories {features:.1e} of theirs")
    return {"logits": logits, "features": features}

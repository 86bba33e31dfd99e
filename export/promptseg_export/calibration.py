"""Pictures for the calibration of 8-bit variants, and the differences between a variant and fp32 on them. Needs no PyTorch."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from safetensors.numpy import load_file

from . import bundle, sight
from .sessions import session

MOST = 64
"""Most pictures that a calibration takes from a folder."""
COMPARED = 16
"""Most pictures on which a variant is compared with fp32."""
SUFFIXES = (".jpg", ".jpeg", ".png")
GRID = 3
"""Clicks along each side of a picture in the comparison."""
GAIN = 0.95
"""An encoder in 8 bits is listed for the CPU if it needs at most this part of the time of fp32, because it is less exact."""
TURNS, MOST_TURNS, SECONDS = 7, 100, 3.0
"""Runs of each encoder when their times are compared: at least, and for quick encoders at most, within some seconds."""


class NoPictures(Exception):
    """The folder has no picture that can be read."""


@dataclass
class Sample:
    """A picture as the network sees it."""

    image: np.ndarray
    """[1, 3, S, S] f32, normalised"""
    levels: np.ndarray
    """[1, S, S, 3] u8, rounded to levels, 0 outside of the content"""
    content: tuple[int, int]
    """Width and height of the part of the square that shows the picture."""


def read(folder: Path, description: dict, log: Callable, most: int = MOST) -> list[Sample]:
    """Reads up to `most` pictures of a folder, at equal distances in the order of their names.

    Raises `NoPictures` if the folder has none that can be read. `description`: fields of bundle.json.
    """
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    chosen = [paths[i * len(paths) // min(most, len(paths))] for i in range(min(most, len(paths)))]
    samples = []
    for path in chosen:
        try:
            with Image.open(path) as picture:
                samples.append(sample(ImageOps.exif_transpose(picture).convert("RGB"), description))
        except (OSError, ValueError, Image.DecompressionBombError) as e:
            log(f"  {path.name} is left out of the calibration: {e}")
    if not samples:
        kinds = ", ".join(SUFFIXES)
        raise NoPictures(f"{folder} has no picture that can be read ({len(paths)} files of {kinds}), expected some dozens")
    log(f"  calibration on {len(samples)} pictures of {folder}")
    return samples


def sample(picture: Image.Image, description: dict) -> Sample:
    """Resizes with Pillow, as SAM does. SAM 2 resizes in floating point, which differs by less than a level."""
    side = description["image_size"]
    width, height = picture.size
    scale = side / max(width, height)
    content = (side, side)
    if description["resize"] == "letterbox":
        content = tuple(min(side, max(1, int(length * scale + 0.5))) for length in (width, height))
    levels = np.zeros((1, side, side, 3), np.uint8)
    levels[0, : content[1], : content[0]] = np.asarray(picture.resize(content, Image.Resampling.BILINEAR))
    image = np.zeros((1, 3, side, side), np.float32)
    inside = levels[0, : content[1], : content[0]].astype(np.float32)
    normalised = (inside - np.float32(description["mean"])) / np.float32(description["std"])
    image[0, :, : content[1], : content[0]] = normalised.transpose(2, 0, 1)
    return Sample(image, levels, content)


def prompts(folder: Path, description: dict, content: tuple[int, int]) -> dict[str, np.ndarray]:
    """Inputs of the decoder for a grid of clicks on a picture, one object each, without the features of the encoder."""
    places = (np.arange(GRID, dtype=np.float32) + 0.5) / GRID
    clicks = np.stack(np.meshgrid(places * content[0], places * content[1]), -1).reshape(-1, 1, 2)
    count, cells = len(clicks), description["low_res_size"]
    if description["prompt_encoder"] == "fused":
        points = np.concatenate([clicks, np.zeros_like(clicks)], 1)
        return {
            "point_coords": points,
            "point_labels": np.tile(np.float32([[1, -1]]), (count, 1)),
            "mask_input": np.zeros((count, 1, cells, cells), np.float32),
            "has_mask_input": np.zeros(count, np.float32),
        }
    weights = {k.removeprefix("prompt_encoder."): v for k, v in load_file(folder / bundle.PROMPT_ENCODER).items()}
    # `PositionEmbeddingRandom` and `PromptEncoder._embed_points` of segment-anything; a pad token ends the list.
    scaled = 2 * (clicks + 0.5) / description["image_size"] - 1
    angles = 2 * np.pi * scaled @ weights["pe_layer.positional_encoding_gaussian_matrix"]
    point = np.concatenate([np.sin(angles), np.cos(angles)], -1) + weights["point_embeddings.1.weight"][None]
    pad = np.broadcast_to(weights["not_a_point_embed.weight"][None], point.shape)
    dense = weights["no_mask_embed.weight"].reshape(1, -1, 1, 1)
    masks = description["candidates"] + int(description["single_mask"])
    every = np.eye(masks, masks + 1, dtype=np.float32)
    return {
        "sparse_prompt_embeddings": np.concatenate([point, pad], 1).astype(np.float32),
        "dense_prompt_embeddings": np.broadcast_to(dense, description["embedding_shape"]).astype(np.float32),
        "wanted_masks": np.tile(every, (count, 1, 1)),
    }


def compare(folder: Path, description: dict, encoder: str, decoder: str, samples: list[Sample]) -> dict[str, float]:
    """Compares the masks of an encoder in 8 bits with those of fp32, for a grid of clicks on each picture.

    Returns the largest difference of the logits, relative to their range, and mean and lowest IoU of the masks. Each click's
    mask is the candidate that fp32 predicts to be the best.
    """
    plain, quantised = session(folder / bundle.ENCODER), session(folder / encoder)
    runner = session(folder / decoder)
    features = [output.name for output in plain.get_outputs()]
    taken = {value.name for value in runner.get_inputs()}
    first = int(description["single_mask"] and description["candidates"] > 0)
    apart, overlaps = 0.0, []
    for sample in samples[:: max(1, len(samples) // COMPARED)][:COMPARED]:
        feeds = {k: v for k, v in prompts(folder, description, sample.content).items() if k in taken}

        def masks(graph) -> tuple[np.ndarray, np.ndarray]:
            outputs = dict(zip(features, graph.run(features, {graph.get_inputs()[0].name: sample.image})))
            embedded = {name: value for name, value in outputs.items() if name in taken}
            return runner.run(["low_res_masks", "iou_predictions"], {**embedded, **feeds})

        (expected, iou), (found, _) = masks(plain), masks(quantised)
        best = np.arange(len(iou)), first + iou[:, first:].argmax(1)
        for theirs, ours in zip(expected[best], found[best]):
            difference, overlap = sight.difference(theirs[None], ours[None])
            apart = max(apart, difference / float(np.ptp(theirs)))
            overlaps.append(overlap)
    return {
        "pictures": len(samples),
        "low_res": float(f"{apart:.2e}"),
        "mask_iou": round(float(np.mean(overlaps)), 5),
        "lowest_mask_iou": round(min(overlaps), 5),
    }


def measured(folder: Path, description: dict, encoder: str, samples: list[Sample], count: int, log: Callable) -> dict:
    """The fields of bundle.json for a calibrated encoder: its providers, and its differences from fp32 on the pictures.

    The CPU is listed if the encoder is faster there than in fp32. No other provider is listed: GPUs compute fp16 with less
    error, and OpenVINO bf16.
    """
    found = compare(folder, description, encoder, bundle.DECODER, samples)
    ratio = time_ratio(folder / bundle.ENCODER, folder / encoder, samples[0].image)
    iou, lowest = found["mask_iou"], found["lowest_mask_iou"]
    log(f"  {count} products in 8 bits; against fp32 on the pictures: {found['low_res']:.1e} of the range, masks {iou:.4f}, "
        f"at least {lowest:.4f}; {ratio:.2f} of the time of fp32 on this CPU")  # fmt: skip
    if ratio > GAIN:
        log(f"  auto does not choose int8: it needs more than {GAIN} of the time of fp32")
    return {"providers": ["cpu"] if ratio <= GAIN else [], "calibration": {**found, "time": ratio}}


def time_ratio(plain: Path, other: Path, image: np.ndarray) -> float:
    """The time of an encoder as a ratio to that of another, on the CPU: the median over turns of both.

    Each runs on one thread: threads that wait for each other would measure the other programs of a busy machine.
    """
    runners, ratios = [session(path, threads=1) for path in (plain, other)], []
    began = time.perf_counter()
    for turn in range(MOST_TURNS + 1):
        if turn > TURNS and time.perf_counter() - began > SECONDS:
            break
        times = []
        for runner in runners:
            start = time.perf_counter()
            runner.run(None, {runner.get_inputs()[0].name: image})
            times.append(time.perf_counter() - start)
        # The first run allocates memory and fills caches.
        if turn > 0:
            ratios.append(times[1] / times[0])
    return round(float(np.median(ratios)), 3)

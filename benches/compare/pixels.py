"""Compares our image processing with the reference implementations, with one thread each.

The compiled benches/pixels.rs and a peer take turns, so that both run under the same load; a ratio compares the medians of
one turn. The results are compared too.
"""

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from segment_anything.modeling import Sam
from segment_anything.utils.transforms import ResizeLongestSide
from torchvision.transforms import Normalize, Resize, ToTensor

from time import perf_counter

TURNS = 15
RUNS = 8
WIDTH, HEIGHT = 1280, 720
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


class Ours:
    """The running program of benches/pixels.rs."""

    def __init__(self, program):
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([program, "--serve"], stdin=pipe, stdout=pipe, text=True)

    def request(self, line):
        print(line, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"benches/pixels.rs ended at `{line}`")
        return answer

    def times(self, case):
        return [float(t) for t in self.request(f"{case} {RUNS}").split()]

    def result(self, case, dtype):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "result"
            self.request(f"{case} save {file}")
            return np.fromfile(file, dtype)


def scene():
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([x * y // 7, x ^ y, x // 3 + y // 2], -1).astype(np.uint8)


def sam_input(side):
    """Input of SAM: SamPredictor.set_image, then Sam.preprocess."""
    resize, image = ResizeLongestSide(side), scene()
    mean, std = torch.tensor(MEAN).view(-1, 1, 1), torch.tensor(STD).view(-1, 1, 1)

    def run():
        x = torch.as_tensor(resize.apply_image(image)).permute(2, 0, 1).contiguous()[None]
        x = (x - mean) / std
        return F.pad(x, (0, side - x.shape[-1], 0, side - x.shape[-2])).numpy()

    return run


def sam2_input(side):
    """Input of SAM 2: SAM2Transforms.__call__."""
    image, resize = scene(), Resize((side, side))
    normalise = Normalize([m / 255 for m in MEAN], [s / 255 for s in STD])
    return lambda: normalise(resize(ToTensor()(image))).numpy()


def objects(side):
    """Logits of an object in three sizes."""
    y, x = np.mgrid[:side, :side].astype(np.float32) / np.float32(side) - np.float32([[[0.3]], [[0.4]]])
    wobble = 1 + 0.15 * np.sin(9 * np.arctan2(y, x))
    return [np.clip((r * wobble - np.hypot(x, y)) * 80, -18, 14).astype(np.float32) for r in (0.08, 0.16, 0.24)]


def noise(side):
    i = np.arange(side * side, dtype=np.uint64)
    word = [((i + n) * 2654435761 & 0xFFFFFFFF) >> 16 for n in range(3)]
    return [(w.astype(np.float32) / np.float32(6553.6) - 5).reshape(side, side) for w in word]


def cv2_masks(low, side):
    """The two resize steps of SAM or, with `side` None, the single step of SAM 2; without box, area and stability."""
    if side is None:
        return lambda: [cv2.resize(logits, (WIDTH, HEIGHT)) > 0 for logits in low]
    width, height = side, ResizeLongestSide.get_preprocess_shape(HEIGHT, WIDTH, side)[0]
    square = lambda logits: cv2.resize(logits, (side, side))[:height, :width]
    return lambda: [cv2.resize(square(logits), (WIDTH, HEIGHT)) > 0 for logits in low]


class Square:
    """The attributes of `Sam` that `postprocess_masks` reads."""

    def __init__(self, side):
        self.image_encoder = type("Encoder", (), {"img_size": side})


def torch_masks(low, side):
    """Sam.postprocess_masks or, with `side` None, SAM2Transforms.postprocess_masks."""
    low = torch.as_tensor(np.stack(low))[None]
    if side is None:
        return lambda: (F.interpolate(low, (HEIGHT, WIDTH), mode="bilinear", align_corners=False) > 0).numpy()
    content = ResizeLongestSide.get_preprocess_shape(HEIGHT, WIDTH, side)
    return lambda: (Sam.postprocess_masks(Square(side), low, content, (HEIGHT, WIDTH)) > 0).numpy()


def peers():
    """Yields case, name of the peer, function of the peer and data type of the result."""
    yield "preprocess/letterbox/1024", "sam", sam_input(1024), np.float32
    yield "preprocess/letterbox/256", "sam", sam_input(256), np.float32
    yield "preprocess/stretch/1024", "sam2", sam2_input(1024), np.float32
    for case, low, side in (
        ("masks/letterbox/3x256", objects(256), 1024),
        ("masks/letterbox/3x128", objects(128), 256),
        ("masks/stretch/3x256", objects(256), None),
        ("masks/noise/3x256", noise(256), 1024),
    ):
        yield case, "cv2", cv2_masks(low, side), np.uint8
        yield case, "torch", torch_masks(low, side), np.uint8


def compare(ours, theirs):
    """Describes the difference of the results."""
    theirs = np.asarray(theirs).reshape(-1)
    if theirs.dtype == bool:
        return f"{np.mean((ours != 0) != theirs):.1e} of the pixels differ"
    return f"within {np.abs(ours - theirs).max():.1e}"


def measure(ours, case, run, turns):
    our_times, peer_times, ratios = [], [], []
    for turn in range(turns + 1):
        a = ours.times(case)
        b = []
        for _ in range(RUNS):
            start = perf_counter()
            run()
            b.append((perf_counter() - start) * 1e3)
        if turn:  # the first turn is a warm-up
            our_times, peer_times = our_times + a, peer_times + b
            ratios.append(statistics.median(a) / statistics.median(b))
    low, _, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return statistics.median(our_times), statistics.median(peer_times), statistics.median(ratios), [low, high]


def measure_all(program, names, turns, record):
    """Measures the cases with these names and passes the rows of each case to `record`."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    ours = Ours(program)
    for case, peer, run, dtype in peers():
        if case not in names:
            continue
        difference = compare(ours.result(case, dtype), run())
        ours_ms, peer_ms, ratio, spread = measure(ours, case, run, turns)
        record([{
            "case": f"{case}/{WIDTH}x{HEIGHT}", "ours_ms": round(ours_ms, 4), "peer": peer, "peer_ms": round(peer_ms, 4),
            "ratio": round(ratio, 4), "spread": [round(v, 4) for v in spread], "turns": turns, "result": difference,
        }])  # fmt: skip

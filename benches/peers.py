"""Our pixels side by side with the reference implementations, one thread each: `./dev bench --peers`.

    python benches/peers.py BENCH

BENCH is the compiled benches/pixels.rs. Ours and a peer's runs take turns, so that both meet the same machine; a ratio
is that of one turn's medians. What they compute is compared too. The results go into out/bench.json: cases of other
benchmarks in that file stay.
"""

import json
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
    """The cases of benches/pixels.rs."""

    def __init__(self, program):
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([program, "--serve"], stdin=pipe, stdout=pipe, text=True)

    def ask(self, line):
        print(line, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"benches/pixels.rs gave up on `{line}`")
        return answer

    def times(self, case):
        return [float(t) for t in self.ask(f"{case} {RUNS}").split()]

    def result(self, case, dtype):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "result"
            self.ask(f"{case} save {file}")
            return np.fromfile(file, dtype)


def scene():
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([x * y // 7, x ^ y, x // 3 + y // 2], -1).astype(np.uint8)


def sam_input(side):
    """SamPredictor.set_image, then Sam.preprocess."""
    resize, image = ResizeLongestSide(side), scene()
    mean, std = torch.tensor(MEAN).view(-1, 1, 1), torch.tensor(STD).view(-1, 1, 1)

    def run():
        x = torch.as_tensor(resize.apply_image(image)).permute(2, 0, 1).contiguous()[None]
        x = (x - mean) / std
        return F.pad(x, (0, side - x.shape[-1], 0, side - x.shape[-2])).numpy()

    return run


def sam2_input(side):
    """SAM2Transforms.__call__."""
    image, resize = scene(), Resize((side, side))
    normalise = Normalize([m / 255 for m in MEAN], [s / 255 for s in STD])
    return lambda: normalise(resize(ToTensor()(image))).numpy()


def objects(side):
    """An object of three sizes."""
    y, x = np.mgrid[:side, :side].astype(np.float32) / np.float32(side) - np.float32([[[0.3]], [[0.4]]])
    wobble = 1 + 0.15 * np.sin(9 * np.arctan2(y, x))
    return [np.clip((r * wobble - np.hypot(x, y)) * 80, -18, 14).astype(np.float32) for r in (0.08, 0.16, 0.24)]


def noise(side):
    i = np.arange(side * side, dtype=np.uint64)
    word = [((i + n) * 2654435761 & 0xFFFFFFFF) >> 16 for n in range(3)]
    return [(w.astype(np.float32) / np.float32(6553.6) - 5).reshape(side, side) for w in word]


def cv2_masks(low, side):
    """SAM's two steps, or with `side` None SAM 2's one; without box, area and stability."""
    if side is None:
        return lambda: [cv2.resize(logits, (WIDTH, HEIGHT)) > 0 for logits in low]
    width, height = side, ResizeLongestSide.get_preprocess_shape(HEIGHT, WIDTH, side)[0]
    square = lambda logits: cv2.resize(logits, (side, side))[:height, :width]
    return lambda: [cv2.resize(square(logits), (WIDTH, HEIGHT)) > 0 for logits in low]


class Square:
    """The part of `Sam` that `postprocess_masks` looks at."""

    def __init__(self, side):
        self.image_encoder = type("Encoder", (), {"img_size": side})


def torch_masks(low, side):
    """Sam.postprocess_masks, or with `side` None SAM2Transforms.postprocess_masks."""
    low = torch.as_tensor(np.stack(low))[None]
    if side is None:
        return lambda: (F.interpolate(low, (HEIGHT, WIDTH), mode="bilinear", align_corners=False) > 0).numpy()
    content = ResizeLongestSide.get_preprocess_shape(HEIGHT, WIDTH, side)
    return lambda: (Sam.postprocess_masks(Square(side), low, content, (HEIGHT, WIDTH)) > 0).numpy()


def peers():
    """case, name of the peer, its run, type of the result."""
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
    """How far apart the results are, in words."""
    theirs = np.asarray(theirs).reshape(-1)
    if theirs.dtype == bool:
        return f"{np.mean((ours != 0) != theirs):.1e} of the pixels differ"
    return f"within {np.abs(ours - theirs).max():.1e}"


def measure(ours, case, run):
    mine, their, ratios = [], [], []
    for turn in range(TURNS + 1):
        a = ours.times(case)
        b = []
        for _ in range(RUNS):
            start = perf_counter()
            run()
            b.append((perf_counter() - start) * 1e3)
        if turn:  # the first warms up
            mine, their = mine + a, their + b
            ratios.append(statistics.median(a) / statistics.median(b))
    low, _, high = statistics.quantiles(ratios, n=4)
    return statistics.median(mine), statistics.median(their), statistics.median(ratios), [low, high]


def main():
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    ours = Ours(sys.argv[1])
    out = Path(__file__).parents[1] / "out" / "bench.json"
    rows = []
    print(f"{'case':<28} {'ours':>8} {'peer':>15}   ratio (half of them)    result")
    for case, peer, run, dtype in peers():
        difference = compare(ours.result(case, dtype), run())
        ours_ms, peer_ms, ratio, spread = measure(ours, case, run)
        print(
            f"{case:<28} {ours_ms:5.2f} ms {peer:>6} {peer_ms:5.2f} ms   "
            f"{ratio:5.3f} ({spread[0]:.3f} to {spread[1]:.3f})  {difference}",
            flush=True,
        )
        rows.append({
            "case": f"{case}/{WIDTH}x{HEIGHT}", "ours_ms": ours_ms, "peer": peer, "peer_ms": peer_ms,
            "ratio": ratio, "spread": spread, "result": difference,
        })  # fmt: skip
    out.parent.mkdir(exist_ok=True)
    known = json.loads(out.read_text()) if out.exists() else []
    measured = {(row["case"], row["peer"]) for row in rows}
    kept = [row for row in known if (row.get("case"), row.get("peer")) not in measured]
    out.write_text(json.dumps(kept + rows, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""A contender that tracks: `SAM2VideoPredictor`. `torch_tracker.py FAMILY MODEL SEED`, see contender.py."""

import sys
from importlib import import_module
from time import perf_counter
from unittest import mock

import numpy as np
import torch
from contender import THREADS, serve
from PIL import Image
from promptseg_export.cli import FAMILIES

WARM, MOST, MOVE, SIZE = 8, 40, 4, (640, 480)
"""Values of benches/models/tracking.rs; MOST is the largest number of frames."""


class Tracker:
    def __init__(self, family: str, model: str, seed: int):
        listing = next(f for f in FAMILIES if f.name == family)
        module = import_module(f"promptseg_export.{listing.module}")
        self.family = getattr(module, listing.build)(model, None, seed)
        self.frames = None

    def photo(self, file: str) -> str:
        picture = Image.open(file).convert("RGB")
        width, height = SIZE

        def frame(at: int) -> np.ndarray:
            x, y = MOVE * at, MOVE * at // 2
            return np.asarray(picture.crop((x, y, x + width, y + height)))

        images = torch.stack([self.family.predictor._transforms(frame(at)) for at in range(MOST)])
        predictor = self.family.network
        with torch.inference_mode(), \
                mock.patch("sam2.sam2_video_predictor.load_video_frames", lambda **_: (images, height, width)):
            state = predictor.init_state("")
            click = np.array([[width * 0.42, height * 0.45]], np.float32)
            predictor.add_new_points_or_box(state, 0, 1, click, np.array([1], np.int32))
            self.frames = predictor.propagate_in_video(state)
            for _ in range(WARM + 1):
                next(self.frames)
        return "ok"

    def track(self, objects: str, memories: str) -> float:
        assert (objects, memories) == ("1", "6"), "only one object with all its memories is supported"
        start = perf_counter()
        with torch.inference_mode():
            next(self.frames)
        return (perf_counter() - start) * 1e3


if __name__ == "__main__":
    torch.set_num_threads(THREADS)
    tracker = Tracker(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    serve({"photo": tracker.photo, "track": tracker.track})

"""A contender: a typical Python loop around ONNX Runtime, on the files of a bundle.

    python_loop.py BUNDLE PRECISION      # requests: see contender.py

The loop resizes with OpenCV, normalises with NumPy, runs two sessions and resizes the mask with OpenCV. Its pixel values
differ slightly from those of the reference.
"""

import json
import sys
from pathlib import Path
from time import perf_counter

import cv2
import numpy as np
import onnxruntime
from contender import THREADS, serve
from safetensors.numpy import load_file


class Loop:
    def __init__(self, bundle: Path, precision: str):
        self.description = json.loads((bundle / "bundle.json").read_text())
        variants = self.description.get("variants", [])
        files = next((v for v in variants if v["precision"] == precision), {})
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS

        def session(part: str, default: str) -> onnxruntime.InferenceSession:
            return onnxruntime.InferenceSession(bundle / files.get(part, default), options, ["CPUExecutionProvider"])

        self.encoder = session("encoder", "image_encoder.onnx")
        self.decoder = session("decoder", "mask_decoder.onnx")
        weights = load_file(bundle / "prompt_encoder.safetensors")
        self.weights = {k.removeprefix("prompt_encoder."): v for k, v in weights.items()}
        self.side, self.stretch = self.description["image_size"], self.description["resize"] == "stretch"
        self.mean, self.std = (np.float32(self.description[key]) for key in ("mean", "std"))
        self.image = self.features = self.last = None

    def photo(self, file: str) -> str:
        self.image = cv2.cvtColor(cv2.imread(file), cv2.COLOR_BGR2RGB)
        self.features = None
        return "ok"

    def scale(self) -> np.ndarray:
        height, width = self.image.shape[:2]
        if self.stretch:
            return np.float32([self.side / width, self.side / height])
        return np.float32([self.side / max(width, height)] * 2)

    def encode(self) -> None:
        height, width = self.image.shape[:2]
        w, h = (int(round(length * s)) for length, s in zip((width, height), self.scale()))
        resized = (cv2.resize(self.image, (w, h)).astype(np.float32) - self.mean) / self.std
        square = np.zeros((1, 3, self.side, self.side), np.float32)
        square[0, :, :h, :w] = resized.transpose(2, 0, 1)
        names = [output.name for output in self.encoder.get_outputs()]
        outputs = self.encoder.run(names, {self.encoder.get_inputs()[0].name: square})
        self.features = dict(zip(names, outputs))

    def sparse(self, points: np.ndarray, labels: list) -> np.ndarray:
        """Sparse embeddings: points [N, P, 2] in pixels of the image, labels [P] (-1 for padding) -> [N, P, C]."""
        w = self.weights
        position = 2 * (points * self.scale() + 0.5) / self.side - 1
        angle = 2 * np.pi * position @ w["pe_layer.positional_encoding_gaussian_matrix"]
        tokens = np.concatenate([np.sin(angle), np.cos(angle)], -1).astype(np.float32)
        for i, label in enumerate(labels):
            if label < 0:
                tokens[:, i] = w["not_a_point_embed.weight"]
            else:
                tokens[:, i] += w[f"point_embeddings.{label}.weight"][0]
        return tokens

    def decode(self, points: np.ndarray, labels: list) -> None:
        if self.features is None:
            self.encode()
        c, h, w = self.description["embedding_shape"][1:]
        dense = np.broadcast_to(self.weights["no_mask_embed.weight"].reshape(1, -1, 1, 1), (1, c, h, w))
        feeds = {
            **self.features,
            "sparse_prompt_embeddings": self.sparse(points, labels),
            "dense_prompt_embeddings": np.ascontiguousarray(dense),
            "wanted_masks": np.float32([[[0, 0, 0, 0, 1]]] * len(points)),  # the best candidate
        }
        names = [i.name for i in self.decoder.get_inputs()]
        for logits in self.decoder.run(["low_res_masks"], {name: feeds[name] for name in names})[0]:
            self.last = self.to_image(logits[0])

    def to_image(self, low: np.ndarray) -> np.ndarray:
        height, width = self.image.shape[:2]
        if not self.stretch:
            w, h = (int(round(length * s)) for length, s in zip((width, height), self.scale()))
            low = cv2.resize(low, (self.side, self.side))[:h, :w]
        return cv2.resize(low, (width, height)) > self.description["mask_threshold"]

    def _click(self, x: str, y: str) -> None:
        self.decode(np.float32([[[float(x), float(y)], [0, 0]]]), [1, -1])

    def timed(self, run) -> float:
        start = perf_counter()
        run()
        return (perf_counter() - start) * 1e3

    def image_to_mask(self, x: str, y: str) -> float:
        self.features = None
        return self.timed(lambda: self._click(x, y))

    def click(self, x: str, y: str) -> float:
        return self.timed(lambda: self._click(x, y))

    def mask(self, file: str) -> str:
        self.last.astype(np.uint8).tofile(file)
        return "ok"


if __name__ == "__main__":
    cv2.setNumThreads(THREADS)
    loop = Loop(Path(sys.argv[1]), sys.argv[2])
    serve({name: getattr(loop, name) for name in ("photo", "image_to_mask", "click", "mask")})

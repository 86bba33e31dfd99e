"""A contender that finds boxes by phrases: `Owlv2ForObjectDetection`. `torch_text.py MODEL SEED`, see text.py."""

import sys
from time import perf_counter

import numpy as np
import torch
from contender import THREADS, serve
from PIL import Image
from promptseg_export import owlv2, parity


class Detector:
    def __init__(self, model: str, seed: int):
        self.model, self.picture = owlv2.build(model, seed, photo=parity.photo()), None

    def photo(self, file: str) -> str:
        self.picture = np.asarray(Image.open(file).convert("RGB"))
        return "ok"

    def timed(self, run) -> float:
        start = perf_counter()
        with torch.inference_mode():
            run()
        return (perf_counter() - start) * 1e3

    def image(self) -> float:
        """Everything that does not depend on a phrase."""

        def run():
            network = self.model.network
            pixels = self.model.processor(images=self.picture, return_tensors="pt").pixel_values.float()
            features, _ = network.image_embedder(pixels)
            flat = features.flatten(1, 2)
            network.box_predictor(flat, features)
            network.objectness_predictor(flat)
            network.class_head.dense0(flat)

        return self.timed(run)

    def phrase(self) -> float:
        def run():
            ids = self.model.processor(text=[["a photo of the cup"]], return_tensors="pt").input_ids
            self.model.network.owlv2.get_text_features(input_ids=ids)

        return self.timed(run)

    def first(self) -> float:
        def run():
            inputs = self.model.processor(text=[["a photo of the cup"]], images=self.picture, return_tensors="pt")
            outputs = self.model.network(**inputs)
            self.model.detections(outputs, self.picture.shape[:2], owlv2.THRESHOLD)

        return self.timed(run)


if __name__ == "__main__":
    torch.set_num_threads(THREADS)
    detector = Detector(sys.argv[1], int(sys.argv[2]))
    serve({"photo": detector.photo, "image": detector.image, "phrase": detector.phrase, "first": detector.first})

"""A contender that finds objects by phrases: `Owlv2ForObjectDetection` or `Sam3Model`. `torch_text.py FAMILY MODEL SEED`, see text.py."""

import sys
from time import perf_counter

import numpy as np
import torch
from contender import THREADS, serve
from PIL import Image
from promptseg_export import owlv2, parity, sam3

PHRASE = "a photo of the cup"


class Detector:
    """The steps of a model. `image`, `phrase` and `first` answer with milliseconds."""

    def __init__(self, model):
        self.model, self.picture = model, None

    def photo(self, file: str) -> str:
        self.picture = np.asarray(Image.open(file).convert("RGB"))
        return "ok"

    def timed(self, run) -> float:
        start = perf_counter()
        with torch.inference_mode():
            run()
        return (perf_counter() - start) * 1e3

    def image(self) -> float:
        return self.timed(self.look)

    def phrase(self) -> float:
        return self.timed(self.understand)

    def first(self) -> float:
        return self.timed(self.find)

    def pixels(self) -> torch.Tensor:
        return self.model.processor(images=self.picture, return_tensors="pt").pixel_values.float()


class Owlv2(Detector):
    def look(self) -> None:
        """Everything that does not depend on a phrase."""
        network = self.model.network
        features, _ = network.image_embedder(self.pixels())
        flat = features.flatten(1, 2)
        network.box_predictor(flat, features)
        network.objectness_predictor(flat)
        network.class_head.dense0(flat)

    def understand(self) -> None:
        ids = self.model.processor(text=[[PHRASE]], return_tensors="pt").input_ids
        self.model.network.owlv2.get_text_features(input_ids=ids)

    def find(self) -> None:
        inputs = self.model.processor(text=[[PHRASE]], images=self.picture, return_tensors="pt")
        outputs = self.model.network(**inputs)
        self.model.detections(outputs, self.picture.shape[:2], owlv2.THRESHOLD)


class Sam3(Detector):
    def look(self) -> None:
        self.model.network.get_vision_features(pixel_values=self.pixels())

    def understand(self) -> None:
        self.model.network.get_text_features(**self.model.processor(text=PHRASE, return_tensors="pt"))

    def find(self) -> None:
        text = self.model.processor(text=PHRASE, return_tensors="pt")
        outputs = self.model.network(pixel_values=self.pixels(), **text)
        self.model.detections(outputs, self.picture.shape[:2], sam3.THRESHOLD)


if __name__ == "__main__":
    torch.set_num_threads(THREADS)
    family, model, seed = sys.argv[1:]
    detector = {"owlv2": Owlv2, "sam3": Sam3}[family](
        {"owlv2": owlv2, "sam3": sam3}[family].build(model, int(seed), photo=parity.photo())
    )
    serve({"photo": detector.photo, "image": detector.image, "phrase": detector.phrase, "first": detector.first})

"""A contender: the predictor of a family's own package. `torch_predictor.py FAMILY MODEL SEED`, see contender.py."""

import sys
from time import perf_counter

import numpy as np
import torch
from contender import THREADS, serve
from PIL import Image
from promptseg_export.cli import FAMILIES


class Predictor:
    def __init__(self, family: str, model: str, seed: int):
        from importlib import import_module

        listing = next(f for f in FAMILIES if f.name == family)
        module = import_module(f"promptseg_export.{listing.module}")
        family_model = getattr(module, listing.build)(model, None, seed)
        self.predictor, self.image, self.last = family_model.predictor, None, None

    def photo(self, file: str) -> str:
        self.image = np.asarray(Image.open(file).convert("RGB"))
        return "ok"

    def timed(self, run) -> float:
        start = perf_counter()
        with torch.no_grad():
            run()
        return (perf_counter() - start) * 1e3

    def _click(self, x: str, y: str) -> None:
        masks, iou, _ = self.predictor.predict(np.array([[float(x), float(y)]]), np.array([1]))
        self.last = masks[int(np.argmax(iou))]

    def image_to_mask(self, x: str, y: str) -> float:
        def run():
            self.predictor.set_image(self.image)
            self._click(x, y)

        return self.timed(run)

    def click(self, x: str, y: str) -> float:
        return self.timed(lambda: self._click(x, y))

    def _boxes(self, boxes: np.ndarray) -> None:
        if hasattr(self.predictor, "predict_torch"):
            height, width = self.image.shape[:2]
            scaled = self.predictor.transform.apply_boxes_torch(torch.as_tensor(boxes), (height, width))
            masks, _, _ = self.predictor.predict_torch(None, None, boxes=scaled, multimask_output=False)
            masks = masks.numpy()
        else:
            masks, _, _ = self.predictor.predict(box=boxes, multimask_output=False)
        self.last = masks.reshape(-1, *self.image.shape[:2])[-1]

    def boxes(self, *numbers: str) -> float:
        boxes = np.array(numbers, dtype=np.float32).reshape(-1, 4)
        return self.timed(lambda: self._boxes(boxes))

    def one_by_one(self, *numbers: str) -> float:
        boxes = np.array(numbers, dtype=np.float32).reshape(-1, 1, 4)
        return self.timed(lambda: [self._boxes(box) for box in boxes])

    def mask(self, file: str) -> str:
        (self.last > 0).astype(np.uint8).tofile(file)
        return "ok"


if __name__ == "__main__":
    torch.set_num_threads(THREADS)
    predictor = Predictor(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    names = ("photo", "image_to_mask", "click", "boxes", "one_by_one", "mask")
    serve({name: getattr(predictor, name) for name in names})

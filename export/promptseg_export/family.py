"""What the framework asks of a family of models: one subclass of `Family` for each, in a module of its own."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

MEAN = [123.675, 116.28, 103.53]
STD = [58.395, 57.12, 57.375]


@dataclass(frozen=True)
class Prompts:
    """One call of a predictor: B objects with equally many prompts, in pixels of the photo."""

    name: str
    points: np.ndarray | None = None
    """[B, N, 2] f32"""
    labels: np.ndarray | None = None
    """[B, N], 1 foreground, 0 background"""
    boxes: np.ndarray | None = None
    """[B, 4] f32, x and y of two corners"""
    masks: np.ndarray | None = None
    """[B, 1, L, L] f32, logits"""


class Family(ABC):
    """A PyTorch model with its predictor, and the two modules that its graphs are made of.

    Set by `__init__`: `family`, `licence`; `network`, the package's whole model in evaluation mode; `encoder`, image
    [1, 3, S, S] -> features in the order of `encoder_outputs`, of fixed shapes; `decoder`, features in the order of
    `decoder_features`, sparse [B, N, C], dense [1 or B, C, h, w], wanted [B, M, 5] -> `decoder_outputs`; `side` (S), `embedding_shape`
    ([1, C, h, w]), `low_res` (L); `resize`; `fields`, what bundle.json says differently from `description` below.
    """

    family: str
    licence: str
    network: nn.Module
    encoder: nn.Module
    encoder_outputs: tuple = ("image_embeddings",)
    decoder: nn.Module
    decoder_features: tuple = ("image_embeddings",)
    decoder_outputs: tuple = ("low_res_masks", "iou_predictions")
    side: int
    embedding_shape: tuple
    low_res: int
    resize: str = "letterbox"
    fields: dict = {}
    memory = None
    """`memory.Memory` of a model that tracks."""

    @abstractmethod
    def prompt_weights(self) -> dict[str, Tensor]:
        """What prompt_encoder.safetensors holds: parameters under SAM's names, `prompt_encoder.*`."""

    @abstractmethod
    def set_image(self, photo: np.ndarray) -> np.ndarray:
        """Gives a photo [H, W, 3] (RGB, u8) to the package's predictor; returns what its network was fed, [1, 3, S, S]."""

    @abstractmethod
    def predict(self, prompts: Prompts, multimask: bool) -> tuple[np.ndarray, np.ndarray]:
        """The answer of the package's predictor: low-resolution logits [B, M, L, L] and predicted IoU [B, M]."""

    @abstractmethod
    def embed(self, prompts: Prompts) -> tuple[np.ndarray, np.ndarray]:
        """Sparse and dense embeddings by the package's prompt encoder; one dense one for all objects without masks."""

    def answer(self, outputs: dict[str, np.ndarray], multimask: bool) -> tuple[np.ndarray, np.ndarray]:
        """What of the decoder's outputs, with all of its masks, the predictor returns."""
        kept = slice(1, 4) if multimask else slice(0, 1)
        return outputs["low_res_masks"][:, kept], outputs["iou_predictions"][:, kept]

    def description(self) -> dict:
        """The fields of bundle.json that are the family's."""
        return {
            "family": self.family,
            "licence": self.licence,
            "image_size": self.side,
            "resize": self.resize,
            "mean": MEAN,
            "std": STD,
            "embedding_shape": list(self.embedding_shape),
            "low_res_size": self.low_res,
            "mask_threshold": 0.0,
            "candidates": 3,
            "single_mask": True,
            "multimask_for_several_prompts": False,
            "prompts": ["point", "box", "mask"],
            "prompt_encoder": "external",
            **self.fields,
        }

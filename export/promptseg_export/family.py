"""The interface of a model family: each family has a subclass of `Family` in a module of its own."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

MEAN = [123.675, 116.28, 103.53]
STD = [58.395, 57.12, 57.375]


@dataclass(frozen=True)
class Prompts:
    """The prompts of one predictor call: B objects with the same number of prompts each, in pixels of the photo."""

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
    """A PyTorch model with its predictor and the two modules that become graphs.

    `__init__` sets: `family`, `licence`; `network`, the whole model of the package in evaluation mode; `encoder`, image
    [1, 3, S, S] -> features in the order of `encoder_outputs`, of fixed shapes; `decoder`, features in the order of
    `decoder_features`, sparse [B, N, C], dense [1 or B, C, h, w], wanted [B, M, 5] -> `decoder_outputs`; `side` (S),
    `embedding_shape` ([1, C, h, w]), `low_res` (L); `resize`; `fields`, fields of bundle.json that override `description`.
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
    """The `memory.Memory` of a model that tracks, else None."""

    @abstractmethod
    def prompt_weights(self) -> dict[str, Tensor]:
        """The content of prompt_encoder.safetensors: parameters under the names of SAM, `prompt_encoder.*`."""

    @abstractmethod
    def set_image(self, photo: np.ndarray) -> np.ndarray:
        """Sets a photo [H, W, 3] (RGB, u8) in the predictor; returns the input of the network, [1, 3, S, S]."""

    @abstractmethod
    def predict(self, prompts: Prompts, multimask: bool) -> tuple[np.ndarray, np.ndarray]:
        """Runs the predictor of the package: returns low-resolution logits [B, M, L, L] and predicted IoU [B, M]."""

    @abstractmethod
    def embed(self, prompts: Prompts) -> tuple[np.ndarray, np.ndarray]:
        """Sparse and dense embeddings of the package's prompt encoder. Objects without masks share one dense embedding."""

    def answer(self, outputs: dict[str, np.ndarray], multimask: bool) -> tuple[np.ndarray, np.ndarray]:
        """Selects the masks and IoUs that the predictor returns from the outputs of the decoder."""
        kept = slice(1, 4) if multimask else slice(0, 1)
        return outputs["low_res_masks"][:, kept], outputs["iou_predictions"][:, kept]

    def description(self) -> dict:
        """The fields of bundle.json that depend on the family."""
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

"""SAM-HQ (Ke et al. 2023): SAM with an HQ mask, from early features, that is added to each mask of SAM.

`hq_token_only` of the predictor, which returns the HQ mask alone, is not supported; the default of the predictor adds both.
"""

import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn

with warnings.catch_warnings():  # timm warns about old names of its modules
    warnings.simplefilter("ignore")
    from segment_anything_hq import SamPredictor, sam_model_registry, sam_model_registry_baseline
    from segment_anything_hq.modeling import ImageEncoderViT, MaskDecoder, MaskDecoderHQ, Sam, tiny_vit_sam

# mobile_sam imports the names of the package from here, so that the warnings are suppressed in one place.
__all__ = ["MaskDecoder", "Sam", "SamHQ", "SamPredictor", "build", "sam_model_registry_baseline", "tiny_vit_sam"]

from . import sam
from .family import MEAN, STD
from .sam_decoder import DecoderHQ, EncoderHQ


class SamHQ(sam.SamFamily):
    family, licence = "sam-hq", "Apache-2.0"
    predictor_class = SamPredictor
    encoder_outputs = decoder_features = ("image_embeddings", "hq_features")

    def __init__(self, network: nn.Module):
        super().__init__(network)
        self.encoder = EncoderHQ(network.image_encoder, network.mask_decoder)

    def make_decoder(self) -> nn.Module:
        return DecoderHQ(self.network.mask_decoder, self.network.prompt_encoder.get_dense_pe())

    def answer(self, outputs: dict, multimask: bool) -> tuple[np.ndarray, np.ndarray]:
        """Selects the best of three candidates, as the predictor of SAM-HQ does."""
        low_res, iou = super().answer(outputs, multimask)
        best = iou.argmax(1)[:, None]
        return np.take_along_axis(low_res, best[..., None, None], 1), np.take_along_axis(iou, best, 1)


def small(image_size: int, width: int = 64) -> Sam:
    prompts, transformer = sam.small_parts(image_size)
    decoder = sam.small_decoder(transformer, MaskDecoderHQ, vit_dim=width)
    encoder = sam.small_vit(image_size, ImageEncoderViT, width)
    return Sam(encoder, prompts, decoder, pixel_mean=MEAN, pixel_std=STD)


def build(
    model: str, checkpoint: Path | None, seed: int | None, image_size: int | None = None, width: int = 64
) -> SamHQ:
    if seed is not None:
        torch.manual_seed(seed)
    network = small(image_size or 512, width) if model == "small" else sam_model_registry[model](checkpoint=None)
    sam.weights(network, checkpoint, seed)
    return SamHQ(network)

"""MobileSAM (Zhang et al. 2023): SAM with TinyViT as image encoder, and TinySAM, which has the same network. The package of
SAM-HQ contains MobileSAM as a baseline."""

from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from . import sam
from .family import MEAN, STD, Prompts
from .sam_hq import MaskDecoder, Sam, SamPredictor, sam_model_registry_baseline, tiny_vit_sam


class Embedding(nn.Module):
    """TinyViT without the output of early features, which only SAM-HQ uses."""

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder = encoder

    def forward(self, image: Tensor) -> Tensor:
        return self.encoder(image)[0]


class MobileSam(sam.SamFamily):
    family, licence = "mobile-sam", "Apache-2.0"
    predictor_class = SamPredictor

    def __init__(self, network: nn.Module):
        super().__init__(network)
        self.encoder = Embedding(network.image_encoder)


class TinySam(MobileSam):
    """TinySAM (Shu et al. 2023): the network of MobileSAM with other weights.

    TinySAM is trained and predicts with the three candidates only, so that its single mask is never returned.
    """

    family = "tinysam"

    def __init__(self, network: nn.Module):
        super().__init__(network)
        self.fields = {**self.fields, "multimask_for_several_prompts": True}

    def predict(self, prompts: Prompts, multimask: bool) -> tuple[np.ndarray, np.ndarray]:
        return super().predict(prompts, True)

    def answer(self, outputs: dict, multimask: bool) -> tuple[np.ndarray, np.ndarray]:
        return super().answer(outputs, True)


def small_tiny_vit() -> nn.Module:
    """A small TinyViT. The class fixes the image size of 1024 pixels and the widths after the last stride."""
    encoder = tiny_vit_sam.TinyViT(
        img_size=1024, num_classes=1, embed_dims=[8, 16, 24, 32], depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 2],
        window_sizes=[7, 7, 14, 7], mlp_ratio=2.0, drop_path_rate=0.0,
    )  # fmt: skip
    # The class omits this stride only for the widths of the published models.
    encoder.layers[2].downsample.conv2 = tiny_vit_sam.Conv2d_BN(32, 32, 3, 1, 1, groups=32)
    norm = tiny_vit_sam.LayerNorm2d
    encoder.neck = nn.Sequential(
        nn.Conv2d(32, 32, 1, bias=False), norm(32), nn.Conv2d(32, 32, 3, padding=1, bias=False), norm(32)
    )
    return encoder


def small() -> Sam:
    prompts, transformer = sam.small_parts(1024)
    decoder = sam.small_decoder(transformer, MaskDecoder)
    return Sam(small_tiny_vit(), prompts, decoder, pixel_mean=MEAN, pixel_std=STD)


def build(
    model: str, checkpoint: Path | None, seed: int | None, image_size: int | None = None, kind: type = MobileSam
) -> MobileSam:
    if seed is not None:
        torch.manual_seed(seed)
    network = small() if model == "small" else sam_model_registry_baseline[model](checkpoint=None)
    sam.weights(network, checkpoint, seed)
    return kind(network)


build_tinysam = partial(build, kind=TinySam)

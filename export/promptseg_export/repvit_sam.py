"""RepViT-SAM (Wang et al. 2023): SAM with RepViT as image encoder, and a small configuration of the same classes for tests.

The authors' code is not published as a package. The encoder is timm's `repvit_m2_3` with the depths and the stride of
RepViT-SAM, and the neck of SAM; the other parts are those of SAM. The names of the authors' checkpoint are converted.
"""

import copy
import re
from pathlib import Path

import timm
import torch
from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from segment_anything.modeling.common import LayerNorm2d
from timm.utils import reparameterize_model
from torch import Tensor, nn

from . import checkpoints, sam
from .family import MEAN, STD

DEPTHS = (6, 6, 34, 2)
SMALL = {"embed_dim": (8, 16, 24, 32), "depth": (2, 1, 2, 1)}
"""Options of timm's `repvit_m2_3` for the small model."""

STEM = ((r"^0\.", "conv1."), (r"^2\.", "conv2."))
BLOCK = (
    (r"^token_mixer\.0\.", "token_mixer."),
    (r"^token_mixer\.1\.", "se."),
    (r"^channel_mixer\.m\.0\.", "channel_mixer.conv1."),
    (r"^channel_mixer\.m\.2\.", "channel_mixer.conv2."),
)
DOWNSAMPLE = (
    (r"^token_mixer\.0\.", "spatial_downsample."),
    (r"^token_mixer\.2\.", "channel_downsample."),
    (r"^channel_mixer\.m\.0\.", "ffn.conv1."),
    (r"^channel_mixer\.m\.2\.", "ffn.conv2."),
)
"""Names in the authors' checkpoint -> names of timm, for each kind of block."""


class ImageEncoder(nn.Module):
    """image [1, 3, S, S] -> [1, C, S/16, S/16]"""

    def __init__(self, img_size: int, channels: int, **options):
        super().__init__()
        self.img_size = img_size
        self.body = timm.create_model("repvit_m2_3", num_classes=0, **options)
        # The last stage keeps the resolution of the third.
        self.body.stages[-1].downsample.spatial_downsample.c.stride = (1, 1)
        self.neck = nn.Sequential(
            nn.Conv2d(self.body.num_features, channels, 1, bias=False),
            LayerNorm2d(channels),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            LayerNorm2d(channels),
        )

    def forward(self, image: Tensor) -> Tensor:
        return self.neck(self.body.forward_features(image))


class RepVitSam(sam.SamFamily):
    family, licence = "repvit-sam", "Apache-2.0"

    def __init__(self, network: nn.Module):
        super().__init__(network)
        # Joins the parallel branches of RepViT into one convolution each, as its authors do for inference.
        self.encoder = copy.deepcopy(network.image_encoder)
        self.encoder.body = reparameterize_model(self.encoder.body, inplace=True)


def places(depths: tuple) -> list:
    """The blocks of timm's RepViT in the order of the authors' list `features`, with the conversion of their names."""
    listed = [("stem", STEM)]
    for stage, depth in enumerate(depths):
        if stage > 0:
            listed.append((f"stages.{stage}.downsample", DOWNSAMPLE))
        listed += [(f"stages.{stage}.blocks.{block}", BLOCK) for block in range(depth)]
        if stage + 1 < len(depths):
            listed.append((f"stages.{stage + 1}.downsample.pre_block", BLOCK))
    return listed


def to_timm_names(state: dict, depths: tuple) -> dict:
    """Converts the names of the authors' checkpoint. Names without a place stay unchanged, so that an error shows them."""
    listed, renamed = places(depths), {}
    for name, value in state.items():
        match = re.match(r"image_encoder\.features\.(\d+)\.(.*)", name)
        if match and int(match[1]) < len(listed):
            place, names = listed[int(match[1])]
            rest = match[2]
            for pattern, replacement in names:
                rest, count = re.subn(pattern, replacement, rest)
                if count:
                    break
            name = f"image_encoder.body.{place}.{rest}"
        renamed[name] = value
    return renamed


def published() -> Sam:
    """The network at its published size."""
    prompts = PromptEncoder(
        embed_dim=256, image_embedding_size=(64, 64), input_image_size=(1024, 1024), mask_in_chans=16
    )
    decoder = MaskDecoder(
        num_multimask_outputs=3,
        transformer=TwoWayTransformer(depth=2, embedding_dim=256, mlp_dim=2048, num_heads=8),
        transformer_dim=256,
        iou_head_depth=3,
        iou_head_hidden_dim=256,
    )
    return Sam(ImageEncoder(1024, 256, depth=DEPTHS), prompts, decoder, pixel_mean=MEAN, pixel_std=STD)


def small(image_size: int) -> Sam:
    prompts, transformer = sam.small_parts(image_size)
    encoder = ImageEncoder(image_size, 32, **SMALL)
    return Sam(encoder, prompts, sam.small_decoder(transformer), pixel_mean=MEAN, pixel_std=STD)


def build(model: str, checkpoint: Path | None, seed: int | None, image_size: int | None = None) -> RepVitSam:
    if seed is not None:
        torch.manual_seed(seed)
    network = small(image_size or 256) if model == "small" else published()
    if checkpoint is not None:
        depths = SMALL["depth"] if model == "small" else DEPTHS
        state = checkpoints.read(checkpoint)
        checkpoints.fit(network, to_timm_names(state, depths), checkpoint)
    sam.weights(network, None, seed)
    return RepVitSam(network)

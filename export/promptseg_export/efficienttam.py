"""EfficientTAM (Xiong et al. 2024): SAM 2 with a plain ViT instead of Hiera, without high-resolution features, and with or
without pooled memories; and a small configuration for tests.

The authors' package `efficient-track-anything` has the name of the package `sam2` for its modules, so that both cannot be
installed together. The trunk, the neck and the pooled attention are therefore modules of their own here, with the names of
the authors' checkpoints; all other parts are those of `sam2`. `golden_video` compares them with the authors' classes.
"""

from pathlib import Path

import torch
from sam2.build_sam import build_sam2
from sam2.modeling.backbones.image_encoder import ImageEncoder
from sam2.modeling.backbones.utils import PatchEmbed, window_partition, window_unpartition
from sam2.modeling.position_encoding import PositionEmbeddingSine
from sam2.modeling.sam2_base import SAM2Base
from sam2.modeling.sam2_utils import MLP, LayerNorm2d
from torch import Tensor, nn

from . import checkpoints, memory, sam2
from .pooled import PooledAttention

TRUNKS = {
    "ti": {"width": 192, "heads": 3, "depth": 12, "windowed": (0, 1, 3, 4, 6, 7, 9, 10)},
    "s": {"width": 384, "heads": 6, "depth": 12, "windowed": (0, 1, 3, 4, 6, 7, 9, 10)},
    "small": {"width": 32, "heads": 2, "depth": 3, "windowed": (0, 1)},
}
POOLED = {"1": 1, "2": 2}
"""The kind of the pooled attention by the last part of a model's name. Other models attend to all cells."""
PRETRAINED_GRID = 14
"""Side of the grid of positions in the checkpoints."""
IMAGE_PATH = ("image_encoder.", "sam_prompt_encoder.", "sam_mask_decoder.", "no_mem_embed")
"""Prefixes of the image path in a checkpoint. All other tensors belong to the memory."""


class Attention(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, H, W, C] -> [B, H, W, C]"""
        b, h, w, c = x.shape
        q, k, v = self.qkv(x).reshape(b, h * w, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        attended = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.proj(attended.transpose(1, 2).reshape(b, h, w, c))


class Block(nn.Module):
    """A block of ViTDet. `window`: side of the windows in which cells attend to each other, 0 for the whole picture."""

    def __init__(self, width: int, heads: int, window: int):
        super().__init__()
        self.window = window
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.mlp = MLP(width, 4 * width, width, num_layers=2, activation=nn.GELU)

    def forward(self, x: Tensor) -> Tensor:
        cells = self.norm1(x)
        if self.window > 0:
            windows, padded = window_partition(cells, self.window)
            x = x + window_unpartition(self.attn(windows), self.window, padded, x.shape[1:3])
        else:
            x = x + self.attn(cells)
        return x + self.mlp(self.norm2(x))


class Trunk(nn.Module):
    """The backbone, in the place of `Hiera` in SAM 2: image [1, 3, S, S] -> features at S/16."""

    def __init__(self, width: int, heads: int, depth: int, windowed: tuple):
        super().__init__()
        self.channel_list = [width]
        self.patch_embed = PatchEmbed((16, 16), (16, 16), (0, 0), embed_dim=width)
        # The first position is that of the class token.
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + PRETRAINED_GRID**2, width))
        self.blocks = nn.ModuleList(Block(width, heads, 14 if i in windowed else 0) for i in range(depth))

    def _get_pos_embed(self, hw: tuple) -> Tensor:
        positions = self.pos_embed[:, 1:].reshape(1, PRETRAINED_GRID, PRETRAINED_GRID, -1).permute(0, 3, 1, 2)
        return nn.functional.interpolate(positions, size=hw, mode="bicubic", align_corners=False).permute(0, 2, 3, 1)

    def forward(self, image: Tensor) -> list:
        x = self.patch_embed(image)
        x = x + self._get_pos_embed(tuple(x.shape[1:3]))
        for block in self.blocks:
            x = block(x)
        return [x.permute(0, 3, 1, 2)]


class Neck(nn.Module):
    """features [1, C', h, w] -> [1, C, h, w] and positions"""

    def __init__(self, width: int, channels: int):
        super().__init__()
        self.position_encoding, self.d_model = PositionEmbeddingSine(channels), channels
        self.backbone_channel_list = [width]
        convolution = nn.Sequential()
        convolution.add_module("conv_1x1", nn.Conv2d(width, channels, 1, bias=False))
        convolution.add_module("norm_0", LayerNorm2d(channels))
        convolution.add_module("conv_3x3", nn.Conv2d(channels, channels, 3, padding=1, bias=False))
        convolution.add_module("norm_1", LayerNorm2d(channels))
        self.convs = nn.ModuleList([convolution])

    def forward(self, features: list) -> tuple:
        x = self.convs[0](features[0])
        return [x], [self.position_encoding(x)]


class Decoder(sam2.Decoder):
    """`MaskDecoder.predict_masks` without high-resolution features."""

    def forward(self, image_embeddings: Tensor, sparse: Tensor, dense: Tensor, wanted: Tensor):
        queries, cells = self.attended(image_embeddings, sparse, dense)
        return self.answers(queries, self.decoder.output_upscaling(self.picture(cells)), wanted)


class EfficientTam(sam2.Sam2):
    encoder_outputs = decoder_features = ("image_embeddings",)
    decoder_class = Decoder

    def rebuilt(self) -> "EfficientTam":
        return EfficientTam(self.network, self.family, self.memory is not None)


def parts(model: str) -> tuple[dict, int, int | None]:
    """The trunk of a model, the side of its picture, and the kind of its pooled attention."""
    name, _, kind = model.partition("_")
    side = 256 if name == "small" else 512 if kind == "512x512" else 1024
    return TRUNKS[name], side, POOLED.get(kind)


def network(model: str, image_size: int | None = None, with_memory: bool = False) -> SAM2Base:
    trunk, side, kind = parts(model)
    side = image_size or side
    if model.startswith("small"):
        base = sam2.small("sam2", side, with_memory=with_memory, high_res=False)
    else:
        options = [*sam2.VIDEO, *sam2.LOW_RES, f"++model.image_size={side}"]
        base = build_sam2(sam2.config("sam2", "hiera_tiny"), device="cpu", hydra_overrides_extra=options)
    width, c = trunk["width"], base.hidden_dim
    base.image_encoder = ImageEncoder(trunk=Trunk(**trunk), neck=Neck(width, c))
    if not with_memory:
        for name in {n.split(".")[0] for n in base.state_dict() if not n.startswith(IMAGE_PATH)}:
            delattr(base, name)
        return base.eval()
    if kind is not None:
        grid = (base.sam_image_embedding_size,) * 2
        for layer in base.memory_attention.layers:
            layer.cross_attn_image = PooledAttention(
                kind, embedding_dim=c, num_heads=1, downsample_rate=1, kv_in_dim=base.mem_dim, feat_sizes=grid
            )
    return base.eval()


def build(
    model: str, checkpoint: Path | None, seed: int | None, image_size: int | None = None, with_memory: bool = True
) -> EfficientTam:
    """Builds EfficientTAM. `model`: `ti` or `s`, with `_1` or `_2` for pooled memories, with `_512x512` for a smaller picture."""
    if seed is not None:
        torch.manual_seed(seed)
    base = network(model, image_size, with_memory)
    if checkpoint is not None:
        state = checkpoints.read(checkpoint)
        state = state["model"] if isinstance(state.get("model"), dict) else state
        used = state if with_memory else {k: v for k, v in state.items() if k.startswith(IMAGE_PATH)}
        checkpoints.fit(base, used, checkpoint)
    if seed is not None:
        sam2.randomise(base)
        if with_memory:
            memory.randomise(base)
    return EfficientTam(base.eval(), "efficienttam", with_memory)

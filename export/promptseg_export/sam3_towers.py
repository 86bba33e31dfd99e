"""The image tower and the text tower of SAM 3, which do not depend on each other."""

import torch
from torch import Tensor, nn
from transformers import Sam3Model
from transformers.models.sam3.modeling_sam3 import rotate_pairwise, window_partition, window_unpartition

from . import attention

MASKED = -1e4
"""Added to the weight of padding. The exponential of it is zero, and half precision has it."""


class ImageTower(nn.Module):
    """image [1, 3, S, S] -> level_0, level_1, level_2 [1, C, side, side], from the finest to the coarsest.

    Everything that depends on the image alone is done, so that a phrase costs less. The first two are levels of the neck after
    the convolution of the mask decoder that follows their sum with a coarser level: the convolution of a sum is the sum of
    convolutions. The third is the coarsest level after the self-attention of the detector's first layer. The last level of the
    neck serves nothing.
    """

    outputs = ("level_0", "level_1", "level_2")

    def __init__(self, network: Sam3Model):
        super().__init__()
        backbone = network.vision_encoder.backbone
        self.grid = network.config.vision_config.image_size // backbone.config.patch_size
        self.patches, self.norm, self.layers = backbone.embeddings.patch_embeddings, backbone.layer_norm, backbone.layers
        self.neck = nn.ModuleList(network.vision_encoder.neck.fpn_layers[:3])
        self.first, self.convolutions = network.detr_encoder.layers[0], network.mask_decoder.pixel_decoder.conv_layers[:2]
        with torch.no_grad():
            tiled = backbone.embeddings._tile_position_embeddings(backbone.embeddings.position_embeddings, self.grid, self.grid)
            self.register_buffer("positions", tiled.clone(), persistent=False)
            self.register_buffer("level_positions", level_positions(network, self.grid), persistent=False)
            # Cosines and sines [L, d] of the global layers and of the windows.
            for name, layer in {layer.window_size: layer for layer in self.layers}.items():
                cos, sin = layer.rotary_emb(tiled, layer.position_ids)
                self.register_buffer(f"cos_{name}", cos[0], persistent=False)
                self.register_buffer(f"sin_{name}", sin[0], persistent=False)

    def forward(self, image: Tensor) -> tuple:
        x = self.norm((self.patches(image) + self.positions).reshape(1, self.grid, self.grid, -1))
        for layer in self.layers:
            x = self.block(layer, x)
        finest, middle, coarsest = (layer(x.permute(0, 3, 1, 2)) for layer in self.neck)
        attended = self_attention(self.first, coarsest.flatten(2).transpose(1, 2), self.level_positions)
        attended = attended.transpose(1, 2).reshape(coarsest.shape)
        return self.convolutions[1](finest), self.convolutions[0](middle), attended

    def block(self, layer: nn.Module, x: Tensor) -> Tensor:
        """`Sam3ViTLayer` on x [1, grid, grid, C]."""
        y, size = layer.layer_norm1(x), layer.window_size
        if size > 0:
            y, padded = window_partition(y, size)
        y = self.attend(layer, y)
        if size > 0:
            y = window_unpartition(y, size, padded, (self.grid, self.grid))
        x = x + y
        return x + layer.mlp(layer.layer_norm2(x))

    def attend(self, layer: nn.Module, x: Tensor) -> Tensor:
        """`Sam3ViTRoPEAttention` on windows [B, side, side, C]."""
        module, windows = layer.attention, x
        cos, sin = getattr(self, f"cos_{layer.window_size}"), getattr(self, f"sin_{layer.window_size}")
        x, heads = x.flatten(1, 2), module.num_attention_heads
        query = attention.split(module.q_proj(x) * module.scaling, heads)
        key, value = attention.split(module.k_proj(x), heads), attention.split(module.v_proj(x), heads)
        query, key = (y * cos + rotate_pairwise(y) * sin for y in (query, key))
        mixed = attention.joined(attention.in_parts(query, key.transpose(2, 3), value))
        return module.o_proj(mixed).reshape(windows.shape)


class TextTower(nn.Module):
    """token_ids [1, T] (int32, padded), token_mask [1, T] (1: token, 0: padding) -> features [1, T, C], one row a token."""

    outputs = ("features",)

    def __init__(self, network: Sam3Model, tokens: int):
        super().__init__()
        self.text, self.projection, self.tokens = network.text_encoder.text_model, network.text_projection, tokens
        self.register_buffer("causal", torch.full((tokens, tokens), MASKED).triu(1), persistent=False)

    def forward(self, token_ids: Tensor, token_mask: Tensor) -> Tensor:
        embeddings = self.text.embeddings
        x = embeddings.token_embedding(token_ids) + embeddings.position_embedding.weight[: self.tokens]
        mask = self.causal + padding_bias(token_mask)
        for layer in self.text.encoder.layers:
            x = attention.clip_layer(layer, x, mask)
        return self.projection(self.text.final_layer_norm(x))


def padding_bias(token_mask: Tensor) -> Tensor:
    """[1, T] (1: token, 0: padding) -> what is added to the weights of attention to the tokens, [1, 1, 1, T]"""
    return ((1 - token_mask) * MASKED)[:, None, None]


def level_positions(network: Sam3Model, grid: int) -> Tensor:
    """The position encoding of the coarsest level, [1, L, C]."""
    encode = network.vision_encoder.neck.position_encoding
    shape = (1, network.config.detr_encoder_config.hidden_size, grid, grid)
    return encode(shape, "cpu", torch.float32).flatten(2).transpose(1, 2).contiguous()


def self_attention(layer: nn.Module, x: Tensor, positions: Tensor) -> Tensor:
    """The first part of `Sam3DetrEncoderLayer`, in which x [1, L, C] attends to itself."""
    y = layer.layer_norm1(x)
    return x + attend(layer.self_attn, y + positions, y + positions, y)


def attend(module: nn.Module, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None = None) -> Tensor:
    """`Sam3Attention`. The queries are scaled instead of the weights, which are many more."""
    heads = module.num_attention_heads
    query = attention.split(module.q_proj(query) * module.scaling, heads)
    key, value = attention.split(module.k_proj(key), heads), attention.split(module.v_proj(value), heads)
    return module.o_proj(attention.joined(attention.in_parts(query, key.transpose(2, 3), value, bias)))

"""Attention for a few rows of its weights at a time, and the layers of CLIP, which text models share."""

import torch
from torch import Tensor, nn

SCORES = 16 << 20
"""Most bytes of attention weights that are computed at a time. More leave the caches of a processor."""


def in_parts(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None = None) -> Tensor:
    """Attention of `query` [B, heads, L, d], which is already scaled, to `key` [B, heads, d, K] and `value` [B, heads, K, d].

    `bias` is added to the weights: [..., L, K], or [..., 1, K] for all rows.
    """
    batch, heads, length, _ = query.shape
    rows = max(1, SCORES // (4 * batch * heads * key.shape[3]))
    parts = []
    for start in range(0, length, rows):
        scores = query[:, :, start : start + rows] @ key
        if bias is not None:
            scores = scores + (bias[..., start : start + rows, :] if rows < bias.shape[-2] else bias)
        parts.append(torch.softmax(scores, dim=-1) @ value)
    return torch.cat(parts, dim=2) if len(parts) > 1 else parts[0]


def split(x: Tensor, heads: int) -> Tensor:
    """[B, L, C] -> [B, heads, L, C / heads]"""
    batch, length, width = x.shape
    return x.reshape(batch, length, heads, width // heads).transpose(1, 2)


def joined(x: Tensor) -> Tensor:
    """[B, heads, L, d] -> [B, L, heads * d]"""
    batch, heads, length, width = x.shape
    return x.transpose(1, 2).reshape(batch, length, heads * width)


def clip_layer(layer: nn.Module, x: Tensor, mask: Tensor | None = None) -> Tensor:
    """A layer of the encoder, as `CLIPEncoderLayer` and `Owlv2EncoderLayer`."""
    x = x + attend(layer.self_attn, layer.layer_norm1(x), mask)
    return x + layer.mlp(layer.layer_norm2(x))


def attend(attention: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
    """`CLIPAttention` and `Owlv2Attention`. The queries are scaled instead of the weights, which are many more."""
    heads = attention.num_heads
    query, key = split(attention.q_proj(x) * attention.scale, heads), split(attention.k_proj(x), heads).transpose(2, 3)
    value = split(attention.v_proj(x), heads)
    return attention.out_proj(joined(in_parts(query, key, value, mask)))

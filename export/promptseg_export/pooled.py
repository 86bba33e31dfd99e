"""The efficient cross attention of EfficientTAM (Xiong et al. 2024): queries attend to memories pooled over 2 x 2 cells.

A pooled key stands for four cells, so its weight is increased: kind 1 adds log 4 to its logit, kind 2 adds log 4 to each of
its numbers, as the classes `EfficientRoPEAttention1` and `EfficientRoPEAttention2` do. The memory of a single frame is not
pooled.
"""

import math

import torch
from sam2.modeling.position_encoding import apply_rotary_enc
from sam2.modeling.sam.transformer import RoPEAttention
from torch import Tensor, nn

from .graphs import reshape

WINDOW = 2
SHIFT = math.log(WINDOW * WINDOW)
EXCLUDED = -1000.0
"""Addition to the logits of keys that are left out. Their weights become 0 in single precision."""


class PooledAttention(RoPEAttention):
    """The attention in PyTorch, with the parameters and the arguments of `RoPEAttention`."""

    def __init__(self, kind: int, **options):
        super().__init__(rope_k_repeat=True, **options)
        self.kind = kind

    def forward(self, q: Tensor, k: Tensor, v: Tensor, num_k_exclude_rope: int = 0) -> Tensor:
        projected = zip((q, k, v), (self.q_proj, self.k_proj, self.v_proj))
        q, k, v = (self._separate_heads(project(x), self.num_heads) for x, project in projected)
        cells, count = q.shape[-2], k.shape[-2] - num_k_exclude_rope
        side = math.isqrt(cells)
        cis = self.compute_cis(end_x=side, end_y=side)
        q, rotated = apply_rotary_enc(q, k[:, :, :count], freqs_cis=cis, repeat_freqs_k=True)
        keys, values, logits = rotated, v[:, :, :count], None
        if count > cells:
            keys, values = (self._pool(x, side) for x in (keys, values))
            if self.kind == 2:
                keys = keys + SHIFT
            else:
                logits = torch.zeros(keys.shape[-2] + num_k_exclude_rope)
                logits[: keys.shape[-2]] = SHIFT
                logits = logits.expand(cells, -1)
        keys, values = torch.cat([keys, k[:, :, count:]], 2), torch.cat([values, v[:, :, count:]], 2)
        attended = nn.functional.scaled_dot_product_attention(q, keys, values, attn_mask=logits)
        return self.out_proj(self._recombine_heads(attended))

    @staticmethod
    def _pool(x: Tensor, side: int) -> Tensor:
        """[B, heads, F * side * side, C] -> [B, heads, F * side * side / 4, C]"""
        pictures = x.reshape(-1, side, side, x.shape[-1]).permute(0, 3, 1, 2)
        pooled = nn.functional.avg_pool2d(pictures, WINDOW).flatten(2).transpose(1, 2)
        return pooled.reshape(*x.shape[:2], -1, x.shape[-1])


class Pooling(nn.Module):
    """The pooled keys and values of a graph.

    A graph for any number of memories F has no branch for a single memory. It has the keys of the first memory and the
    pooled keys of all memories, and the logits of those that do not apply are lowered.
    """

    def __init__(self, side: int, kind: int):
        super().__init__()
        self.side, self.kind = side, kind
        self.register_buffer("cells", torch.ones(1, 1, side * side))
        self.register_buffer("pooled_cells", torch.ones(1, side * side // WINDOW**2))

    def join(self, cells: Tensor, pointers: Tensor, keys: bool = False) -> Tensor:
        """Joins keys or values of memories [F, N, C] and of pointers [1, P, C]: [1, N + F * N / 4 + P, C]."""
        width, half = int(cells.shape[2]), self.side // WINDOW
        pooled = reshape(cells, -1, half, WINDOW, half, WINDOW * width)
        pooled = reshape(pooled.mean(dim=2), -1, half * half, WINDOW, width).mean(dim=2)
        if keys and self.kind == 2:
            pooled = pooled + SHIFT
        return torch.cat([cells[:1], reshape(pooled, 1, -1, width), pointers], dim=1)

    def logits(self, memory_times: Tensor, pointers: Tensor) -> Tensor:
        """The addition to the logits of the keys that `join` returns, [1, 1, N + F * N / 4 + P]."""
        # Each row of `memory_times` has a single 1.
        ones = memory_times.sum(dim=1, keepdim=True)
        several = (ones.sum(dim=0, keepdim=True) - 1.0).clamp(0.0, 1.0)
        shift = SHIFT if self.kind == 1 else 0.0
        first = self.cells * (EXCLUDED * several)
        pooled = reshape(ones * self.pooled_cells * (EXCLUDED * (1.0 - several) + shift), 1, 1, -1)
        return torch.cat([first, pooled, reshape(0.0 * pointers.sum(dim=2), 1, 1, -1)], dim=2)

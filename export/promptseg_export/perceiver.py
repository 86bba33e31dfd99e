"""The memory of a frame in EdgeTAM: latents that attend to the cells of the frame.

Global latents attend to all cells, window latents to the cells of one window each. The names of parameters are those of
EdgeTAM's checkpoint.
"""

import math

import torch
from sam2.modeling.position_encoding import PositionEmbeddingSine
from torch import Tensor, nn

from .graphs import reshape


def feed_forward(width: int) -> nn.Sequential:
    inner = 4 * width
    return nn.Sequential(
        nn.LayerNorm(width), nn.Linear(width, inner, bias=False), nn.GELU(), nn.Linear(inner, width, bias=False)
    )


class Attention(nn.Module):
    """Attention with one head. `norms`: names of the norms of queries and of keys, or of a norm for both."""

    def __init__(self, width: int, norms: tuple):
        super().__init__()
        self.norms = norms
        for name in norms:
            self.add_module(name, nn.LayerNorm(width))
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_kv = nn.Linear(width, 2 * width, bias=False)
        self.to_out = nn.Linear(width, width, bias=False)

    def forward(self, latents: Tensor, cells: Tensor | None = None, positions: Tensor | float = 0.0) -> Tensor:
        width = self.to_q.in_features
        queries = getattr(self, self.norms[0])(latents)
        kv = self.to_kv(queries if cells is None else getattr(self, self.norms[1])(cells))
        k, v = kv[..., :width] + positions, kv[..., width:] + positions
        weights = torch.softmax((self.to_q(queries) * width**-0.5) @ k.transpose(1, 2), dim=-1)
        return self.to_out(weights @ v)


class Layer(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.attn, self.ff = Attention(width, ("norm_latents", "norm_x")), feed_forward(width)
        self.self_attn, self.self_ff = Attention(width, ("norm",)), feed_forward(width)

    def forward(self, latents: Tensor, cells: Tensor, positions: Tensor | float = 0.0) -> Tensor:
        latents = latents + self.attn(latents, cells, positions)
        latents = latents + self.ff(latents)
        latents = latents + self.self_attn(latents)
        return latents + self.self_ff(latents)


class Perceiver(nn.Module):
    """features [1, h * w, C], positions [1, h * w, C] -> latents [1, N, C], first global latents, then window latents."""

    def __init__(self, width: int, side: int, latents: int, windows: int, depth: int = 2):
        super().__init__()
        self.side, self.across = side, math.isqrt(windows)
        self.latents = nn.Parameter(torch.randn(latents, width))
        self.latents_2d = nn.Parameter(torch.randn(windows, width))
        self.layers = nn.ModuleList(Layer(width) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, features: Tensor, positions: Tensor) -> Tensor:
        count, width = self.across, self.norm.normalized_shape[0]
        window = self.side // count
        windows = reshape(features, count, window, count, window, width).permute(0, 2, 1, 3, 4)
        windows = reshape(windows, count * count, window * window, width)
        global_latents, window_latents = self.latents[None], self.latents_2d[:, None]
        for layer in self.layers:
            global_latents, window_latents = layer(global_latents, features, positions), layer(window_latents, windows)
        return self.norm(torch.cat([global_latents, window_latents.transpose(0, 1)], dim=1))

    def positions(self) -> Tensor:
        """Positional encodings of the latents, [1, N, C]; zero for global latents."""
        width, count = self.norm.normalized_shape[0], self.across
        encoding = PositionEmbeddingSine(width)(torch.zeros(1, 1, count, count))
        return torch.cat([torch.zeros(1, len(self.latents), width), encoding.flatten(2).transpose(1, 2)], dim=1)

    def cis(self, rotate) -> Tensor:
        """Rotary positions of the latents; no rotation for global latents."""
        windows = rotate(end_x=self.across, end_y=self.across)
        return torch.cat([torch.ones(len(self.latents), windows.shape[1], dtype=windows.dtype), windows])

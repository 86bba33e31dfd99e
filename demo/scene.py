"""A drawn table with moving objects, as a function of time, so that every process of the demo knows the true masks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image, ImageChops, ImageFilter

import things

WIDTH, HEIGHT = 640, 480
HORIZON = 96
# The camera: focal length in pixels, angle below the horizontal, and height above the table in metres.
FOCAL, PITCH, CAMERA_HEIGHT = 560.0, math.radians(35), 0.7
SHADOW_BLUR = 7
SHADOW_SHIFT = (11, 9)


@dataclass(frozen=True)
class Path:
    """The path of a thing: a slow Lissajous figure around (x, y), with a swaying rotation."""

    x: float
    y: float
    reach_x: float
    reach_y: float
    period: float
    phase: float = 0.0
    sway: float = 0.0  # radians

    def at(self, t: float) -> tuple[float, float, float]:
        a = 2 * math.pi * t / self.period + self.phase
        return self.x + self.reach_x * math.sin(a), self.y + self.reach_y * math.cos(a), self.sway * math.sin(a)


@dataclass(frozen=True)
class Thing:
    name: str
    sprite: Image.Image
    path: Path

    @cached_property
    def shadow(self) -> Image.Image:
        """The blurred shadow of the thing, as an alpha channel."""
        pad = SHADOW_BLUR * 3
        dark = Image.new("L", (self.sprite.width + 2 * pad, self.sprite.height + 2 * pad))
        dark.paste(self.sprite.getchannel("A"), (pad, pad))
        return dark.filter(ImageFilter.BoxBlur(SHADOW_BLUR)).point(lambda v: int(v * 0.55))

    def placed(self, t: float, shadow: bool = False) -> tuple[Image.Image, tuple[int, int]]:
        """The rotated sprite (or its shadow) at time t, and the pixel of its top-left corner."""
        x, y, turn = self.path.at(t)
        sprite = self.shadow if shadow else self.sprite
        margin = 2 + int(abs(self.path.sway) * max(sprite.size) / 2)
        w, h = sprite.width + 2 * margin, sprite.height + 2 * margin
        left, top = math.floor(x - w / 2), math.floor(y - h / 2)
        cos, sin = math.cos(turn), math.sin(turn)
        cx, cy = x - left, y - top
        sx, sy = sprite.width / 2, sprite.height / 2
        inverse = (cos, sin, sx - cos * cx - sin * cy, -sin, cos, sy + sin * cx - cos * cy)
        return sprite.transform((w, h), Image.Transform.AFFINE, inverse, Image.Resampling.BILINEAR), (left, top)


def all_things() -> list[Thing]:
    """All things from the back of the table to the front; later things cover earlier things."""
    return [
        Thing("book", things.book(), Path(104, 190, 10, 5, 9, 0.5, 0.08)),
        Thing("apple", things.apple(), Path(272, 160, 62, 6, 8, 2.0)),
        Thing("parcel", things.parcel(), Path(508, 176, 8, 4, 13, 1.0)),
        Thing("cup", things.cup(), Path(406, 322, 9, 5, 12, 4.0)),
        Thing("ball", things.ball(), Path(190, 348, 7, 4, 10, 3.6)),
        Thing("banana", things.banana(), Path(546, 408, 6, 4, 12, 0.0, 0.06)),
    ]


def _smooth_noise(rng: np.random.Generator, height: int, width: int, cell_y: float, cell_x: float) -> np.ndarray:
    """Noise of mean 0 with structures of about cell_x by cell_y pixels."""
    coarse = rng.random((int(height / cell_y) + 3, int(width / cell_x) + 3), np.float32)
    large = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(large) - 0.5


def _ground() -> Image.Image:
    """A wooden table in front of a plain wall."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    depth = (y - HORIZON) / (HEIGHT - HORIZON)
    # Boards become wider towards the viewer.
    board = np.sqrt(np.clip(depth, 0, 1)) * 6.2
    tone = rng.normal(0, 0.045, 9).astype(np.float32)[np.clip(board, 0, 8).astype(int)]
    grain = 0.10 * _smooth_noise(rng, HEIGHT, WIDTH, 3, 90) + 0.07 * _smooth_noise(rng, HEIGHT, WIDTH, 1.4, 30)
    wood = np.array([0.52, 0.37, 0.245], np.float32) * (1 + (tone + grain)[..., None] * 1.5)
    gap = np.clip(1 - np.abs(np.mod(board, 1) - 0.5 - 0.48) / 0.03, 0, 1)
    wood *= (1 - 0.35 * gap)[..., None]
    wall = np.array([0.60, 0.64, 0.60], np.float32) * (1 + 0.05 * _smooth_noise(rng, HEIGHT, WIDTH, 40, 60)[..., None])
    image = np.where((y < HORIZON)[..., None], wall * (0.86 + 0.12 * y / HORIZON)[..., None], wood)
    image *= (1 - 0.30 * np.clip(1 - np.abs(y - HORIZON) / 7, 0, 1))[..., None]
    # The lamp is at the upper left.
    image *= (1.12 - 0.32 * np.hypot(x - 170, (y - 140) * 1.1) / 560)[..., None]
    return Image.fromarray((np.clip(image, 0, 1) * 255).astype(np.uint8))


class Scene:
    """Draws the picture and the true masks at any time (seconds)."""

    def __init__(self) -> None:
        self.things = all_things()
        self._ground = _ground()
        noise = np.random.default_rng(11).normal(128, 3.0, (HEIGHT + 64, WIDTH + 64, 3))
        self._noise = Image.fromarray(np.clip(np.round(noise), 0, 255).astype(np.uint8))

    def picture(self, t: float) -> Image.Image:
        """The picture at time t: RGB, WIDTH x HEIGHT."""
        canvas = self._ground.copy()
        for thing in self.things:
            dark, (left, top) = thing.placed(t, shadow=True)
            canvas.paste((22, 14, 10), (left + SHADOW_SHIFT[0], top + SHADOW_SHIFT[1]), dark)
            sprite, corner = thing.placed(t)
            canvas.paste(sprite, corner, sprite)
        # Sensor noise: another part of the same noise for every frame.
        tick = int(t * 1000)
        dy, dx = tick * 31 % 64, tick * 17 % 64
        return ImageChops.add(canvas, self._noise.crop((dx, dy, dx + WIDTH, dy + HEIGHT)), offset=-128)

    def truth(self, t: float) -> dict[str, np.ndarray]:
        """The visible mask of each thing: bool, [HEIGHT, WIDTH]."""
        labels = Image.new("L", (WIDTH, HEIGHT))
        for number, thing in enumerate(self.things, 1):
            sprite, corner = thing.placed(t)
            labels.paste(number, corner, sprite.getchannel("A").point(lambda v: 255 if v > 127 else 0))
        visible = np.asarray(labels)
        return {thing.name: visible == number for number, thing in enumerate(self.things, 1)}

    def depth(self, t: float) -> np.ndarray:
        """The picture of a depth camera at time t: millimetres, uint16, [HEIGHT, WIDTH], with steps and holes.

        Things stand on the table, with a surface that is round as that of a cylinder.
        """
        y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
        depth = np.minimum(_table_depth(y), _upright_depth(HORIZON, y))
        for thing in self.things:
            sprite, (left, top) = thing.placed(t)
            rows, columns = np.nonzero(np.asarray(sprite.getchannel("A")) > 127)
            depth_of_rows = _upright_depth(top + rows.max(), np.float32(rows + top))
            middle, half = (columns.min() + columns.max()) / 2, (columns.max() - columns.min()) / 2 + 1
            round_part = np.sqrt(1 - ((columns - middle) / half) ** 2) * half * depth_of_rows / FOCAL * 0.8
            inside = (rows + top >= 0) & (rows + top < HEIGHT) & (columns + left >= 0) & (columns + left < WIDTH)
            depth[rows[inside] + top, columns[inside] + left] = (depth_of_rows - round_part)[inside]
        rng = np.random.default_rng(int(t * 1000) & 0xFFFF)
        depth = depth + rng.normal(0, 0.0015, depth.shape) * depth**2
        depth[rng.random(depth.shape) < 0.02] = 0
        return np.round(depth * 1000).astype(np.uint16)


def _table_depth(y: np.ndarray | np.float32) -> np.ndarray:
    """Depth in metres of the table on rows of the picture; infinite above its horizon."""
    slope = (y - HEIGHT / 2) / FOCAL * math.cos(PITCH) + math.sin(PITCH)
    return CAMERA_HEIGHT / np.maximum(slope, 1e-3)


def _upright_depth(foot: float, y: np.ndarray) -> np.ndarray:
    """Depth in metres, on rows of the picture, of an upright surface that stands on the table at the row `foot`."""
    ahead = lambda row: math.cos(PITCH) - (row - HEIGHT / 2) / FOCAL * math.sin(PITCH)  # noqa: E731
    return float(_table_depth(np.float32(foot))) * ahead(foot) / ahead(y)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two masks (bool)."""
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 1.0


def innermost(mask: np.ndarray) -> tuple[int, int]:
    """The pixel (x, y) of a mask that is farthest from its border."""
    inside = np.pad(mask, 1)
    while True:
        core = inside.copy()
        for axis in (0, 1):
            core &= np.roll(inside, 1, axis) & np.roll(inside, -1, axis)
        if not core.any():
            break
        inside = core
    ys, xs = np.nonzero(inside[1:-1, 1:-1])
    middle = np.argmin(np.hypot(xs - xs.mean(), ys - ys.mean()))
    return int(xs[middle]), int(ys[middle])


def tight_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """(x_min, y_min, x_max, y_max) of a mask; x_max and y_max lie one pixel beyond the mask."""
    ys, xs = np.nonzero(mask)
    return int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1

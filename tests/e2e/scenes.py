"""Drawn images with true masks: a few plain shapes on a plain background, well separated."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw

WIDTH, HEIGHT = 320, 240

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Shape:
    kind: str  # ellipse, rectangle
    box: Box  # x_min, y_min, x_max, y_max
    colour: tuple[int, int, int]

    @property
    def centre(self) -> tuple[float, float]:
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2

    def moved(self, dx: int, dy: int) -> Shape:
        x0, y0, x1, y1 = self.box
        return Shape(self.kind, (x0 + dx, y0 + dy, x1 + dx, y1 + dy), self.colour)


DISK = Shape("ellipse", (40, 60, 120, 140), (214, 70, 44))
CARD = Shape("rectangle", (190, 40, 280, 110), (40, 90, 190))
EGG = Shape("ellipse", (170, 150, 260, 215), (236, 208, 70))


@dataclass
class Scene:
    """`rgb` is uint8 [height, width, 3]; `truth[i]` belongs to `shapes[i]`, bool [height, width]."""

    shapes: tuple[Shape, ...] = (DISK, CARD, EGG)
    width: int = WIDTH
    height: int = HEIGHT
    rgb: np.ndarray = field(init=False, repr=False)
    truth: list[np.ndarray] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(5)
        y, x = np.mgrid[0 : self.height, 0 : self.width]
        ground = np.stack([104 + 0.05 * x, 112 + 0.04 * y, 100 + 0.0 * x], -1)
        picture = Image.fromarray(ground.astype(np.uint8))
        self.truth = []
        for shape in self.shapes:
            mask = Image.new("L", picture.size)
            getattr(ImageDraw.Draw(mask), shape.kind)(shape.box, fill=255)
            picture.paste(shape.colour, (0, 0), mask)
            self.truth.append(np.asarray(mask) > 127)
        noisy = np.asarray(picture, np.float32) + rng.normal(0, 3, (self.height, self.width, 3))
        self.rgb = np.clip(np.round(noisy), 0, 255).astype(np.uint8)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two masks (bool)."""
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 1.0

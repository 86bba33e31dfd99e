"""Writes the pictures of the demo."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

PAPER, INK, FAINT = (24, 26, 30), (236, 236, 232), (150, 154, 160)
COLUMNS, TILE_WIDTH, GAP = 3, 480, 10


@dataclass
class Moment:
    """An overlay for the contact sheet, with its caption."""

    jpeg: bytes
    title: str
    detail: str


def open_jpeg(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def _fitted(draw: ImageDraw.ImageDraw, text: str, font: ImageFont.ImageFont, width: int) -> str:
    while text and draw.textlength(text, font) > width:
        text = text[:-2].rstrip() + "…"
    return text


def contact_sheet(moments: Sequence[Moment], path: Path) -> None:
    """Writes the moments in a grid, each with its caption."""
    first = open_jpeg(moments[0].jpeg)
    columns = min(COLUMNS, len(moments))
    height = round(TILE_WIDTH * first.height / first.width)
    caption = 52
    rows = -(-len(moments) // columns)
    sheet = Image.new("RGB", (GAP + columns * (TILE_WIDTH + GAP), GAP + rows * (height + caption + GAP)), PAPER)
    draw = ImageDraw.Draw(sheet)
    title, detail = ImageFont.load_default(17), ImageFont.load_default(14)
    for i, moment in enumerate(moments):
        x = GAP + i % columns * (TILE_WIDTH + GAP)
        y = GAP + i // columns * (height + caption + GAP)
        tile = open_jpeg(moment.jpeg).resize((TILE_WIDTH, height), Image.Resampling.LANCZOS)
        sheet.paste(tile, (x, y))
        draw.text((x + 4, y + height + 6), _fitted(draw, moment.title, title, TILE_WIDTH - 8), INK, title)
        draw.text((x + 4, y + height + 29), _fitted(draw, moment.detail, detail, TILE_WIDTH - 8), FAINT, detail)
    sheet.save(path, optimize=True)


def animation(
    overlays: Sequence[tuple[tuple[int, int], bytes]], path: Path, per_second: float = 6, width: int = 400
) -> None:
    """Writes the overlay stream as an animated GIF."""
    frames: list[Image.Image] = []
    due = 0.0
    for (seconds, nanoseconds), data in overlays:
        at = seconds + nanoseconds * 1e-9
        if at < due:
            continue
        due = at + 1 / per_second - 1e-3
        picture = open_jpeg(data)
        frames.append(picture.resize((width, round(width * picture.height / picture.width)), Image.Resampling.BOX))
    if not frames:
        return
    # All frames share one palette, computed from samples of the whole film, so that colours do not flicker.
    samples = frames[:: max(1, len(frames) // 8)]
    film = Image.new("RGB", (width, frames[0].height * len(samples)))
    for i, frame in enumerate(samples):
        film.paste(frame, (0, i * frame.height))
    palette = film.quantize(200, Image.Quantize.MEDIANCUT, kmeans=4)
    flat = [f.quantize(palette=palette, dither=Image.Dither.NONE) for f in frames]
    flat[0].save(path, save_all=True, append_images=flat[1:], duration=round(1000 / per_second), loop=0, optimize=False)


def save_mask(mask: np.ndarray, path: Path) -> None:
    """Writes a mask (bool) as a black and white picture."""
    Image.fromarray((mask * np.uint8(255)).astype(np.uint8)).save(path, optimize=True)

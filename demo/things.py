"""The things on the table: drawn sprites, lit from the upper left."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

# Sprites are drawn larger by this factor and then reduced, which smooths their edges.
SUPERSAMPLING = 3
LIGHT = np.array([-0.55, -0.60, 0.58])

Array = np.ndarray
Painter = Callable[[Array, Array], tuple[Array, Array]]


def _paint(width: int, height: int, painter: Painter) -> Image.Image:
    """Runs `painter(x, y)` on pixels with the origin in the centre; it returns colours (0..1) and inside (bool)."""
    s = SUPERSAMPLING
    y, x = np.mgrid[0 : height * s, 0 : width * s].astype(np.float32)
    colour, inside = painter((x + 0.5) / s - width / 2, (y + 0.5) / s - height / 2)
    rgb = np.clip(colour, 0, 1) * 255
    # Colours outside the shape stay, so that no dark colour is mixed into the edge.
    small = Image.fromarray(rgb.astype(np.uint8)).resize((width, height), Image.Resampling.BOX)
    alpha = Image.fromarray((inside * 255).astype(np.uint8)).resize((width, height), Image.Resampling.BOX)
    small.putalpha(alpha)
    return small


def _colour(red: int, green: int, blue: int) -> Array:
    return np.array([red, green, blue], np.float32) / 255


def _mix(a: Array, b: Array, weight: Array) -> Array:
    return a + (b - a) * weight[..., None]


def _lit(base: Array, nx: Array, ny: Array, nz: Array, shine: float = 0.35, hard: float = 24) -> Array:
    """Lambertian shading with a highlight, for unit normals."""
    light = LIGHT / np.linalg.norm(LIGHT)
    diffuse = np.clip(nx * light[0] + ny * light[1] + nz * light[2], 0, 1)
    half = light + np.array([0, 0, 1])
    half /= np.linalg.norm(half)
    glint = np.clip(nx * half[0] + ny * half[1] + nz * half[2], 0, 1) ** hard
    return base * (0.42 + 0.68 * diffuse)[..., None] + (shine * glint)[..., None]


def ball(radius: float = 58) -> Image.Image:
    """A striped ball."""

    def painter(x: Array, y: Array) -> tuple[Array, Array]:
        nx, ny = x / radius, y / radius
        r2 = nx * nx + ny * ny
        nz = np.sqrt(np.clip(1 - r2, 0.0, 1))
        # A band along a great circle of the sphere.
        across = 0.80 * nx - 0.45 * ny + 0.40 * nz
        base = _mix(_colour(232, 98, 34), _colour(250, 168, 84), (np.abs(across) < 0.16).astype(np.float32))
        return _lit(base, nx, ny, nz, 0.45, 40), r2 <= 1

    side = int(2 * radius) + 6
    return _paint(side, side, painter)


def cup() -> Image.Image:
    """A mug with a handle, a band around it, and tea."""

    def painter(x: Array, y: Array) -> tuple[Array, Array]:
        x = x + 14
        half = 48 - 6 * np.clip((y + 50) / 110, 0, 1)
        bend = 13 * np.sqrt(np.clip(1 - (x / half) ** 2, 0, 1))
        body = (np.abs(x) < half) & (y > -50) & (y < 48 + bend)
        rim = (x / 48) ** 2 + ((y + 50) / 14) ** 2
        hx, hy = (x - 46) / 26, (y - 2) / 33
        ring = np.hypot(hx, hy)
        handle = (ring < 1) & (ring > 0.60) & (x > half - 6)
        nx = np.clip(x / half, -1, 1)
        nz = np.sqrt(1 - nx * nx)
        glaze = _colour(38, 128, 138)
        band = ((y > 2 + bend * 0.9) & (y < 18 + bend * 0.9)).astype(np.float32)
        colour = _lit(_mix(glaze, _colour(120, 190, 186), band), nx, np.zeros_like(nx), nz, 0.30, 14)
        tube = (ring - 0.8) / 0.2
        on_handle = _lit(
            glaze, tube * hx / (ring + 1e-6), tube * hy / (ring + 1e-6), np.sqrt(np.clip(1 - tube**2, 0, 1))
        )
        colour = np.where((handle & ~body)[..., None], on_handle, colour)
        colour = np.where((rim < 1)[..., None], glaze * 1.25, colour)
        inner = (x / 43) ** 2 + ((y + 50) / 11) ** 2
        tea = _mix(_colour(60, 26, 10), _colour(126, 66, 26), np.clip((y + 58) / 18, 0, 1))
        colour = np.where((inner < 1)[..., None], np.where((y > -53)[..., None], tea, glaze * 0.45), colour)
        return colour, body | handle | (rim < 1)

    return _paint(136, 148, painter)


def parcel() -> Image.Image:
    """A cardboard box with tape and an address label."""

    def painter(x: Array, y: Array) -> tuple[Array, Array]:
        board = _colour(186, 138, 88)
        grain = 0.03 * np.sin(x * 0.9 + 2 * np.sin(y * 0.05)) + 0.02 * np.sin(y * 2.1 + x * 0.3)
        front = (np.abs(x + 16) < 62) & (y > -22) & (y < 52)
        lean = (y + 22) / -34  # 0 at the front edge of the lid, 1 at its back edge
        top = (lean >= 0) & (lean < 1) & (np.abs(x + 16 - 34 * lean) < 62)
        deep = (x - 46) / 34
        side = (deep >= 0) & (deep < 1) & (y > -22 - 34 * deep) & (y < 52 - 34 * deep)
        colour = np.broadcast_to(board * 0.92, (*x.shape, 3)).copy()
        colour[top] = board * 1.22
        colour[side] = board * 0.58
        tape = (front | top) & (np.abs(x + 16 - 34 * np.where(top, lean, 0)) < 9)
        colour[tape] = _mix(colour, np.broadcast_to(_colour(226, 200, 150), colour.shape), np.full_like(x, 0.6))[tape]
        label = front & (np.abs(x - 14) < 20) & (np.abs(y - 24) < 14)
        colour[label] = _colour(236, 234, 226)
        colour[label & (np.abs(x - 10) < 12) & (np.mod(y, 7) < 2)] = _colour(70, 70, 80)
        colour += grain[..., None]
        colour[front] *= (1.04 - 0.0022 * (y + 22))[..., None][front]
        return colour, front | top | side

    return _paint(172, 122, painter)


def banana() -> Image.Image:
    """A crescent with brown tips."""

    def painter(x: Array, y: Array) -> tuple[Array, Array]:
        cx, cy = x, y + 62
        radius, angle = np.hypot(cx, cy), np.arctan2(cx, cy)
        along = angle / 0.88
        width = 20 * np.sqrt(np.clip(1 - np.abs(along) ** 2.6, 0, 1)) + 3.5
        middle = 84 - 9 * along**2
        across = (radius - middle) / width
        inside = (np.abs(across) < 1) & (np.abs(along) < 1.04)
        out = np.clip(across, -1, 1)
        nx, ny = out * cx / (radius + 1e-6), out * cy / (radius + 1e-6)
        nz = np.sqrt(1 - out * out)
        ripe = _colour(240, 200, 56)
        ridge = (np.abs(across - 0.15) < 0.06).astype(np.float32) * 0.35
        base = _mix(
            _mix(ripe, _colour(120, 84, 30), ridge), _colour(86, 62, 30), np.clip((np.abs(along) - 0.86) * 9, 0, 1)
        )
        return _lit(base, nx, ny, nz, 0.15, 12), inside

    return _paint(176, 96, painter)


def apple() -> Image.Image:
    """A red apple with a stem."""

    def painter(x: Array, y: Array) -> tuple[Array, Array]:
        angle = np.arctan2(x, -y)
        edge = 38 * (1 - 0.17 * np.exp(-((angle / 0.42) ** 2)) - 0.06 * np.exp(-(((np.abs(angle) - np.pi) / 0.4) ** 2)))
        r = np.hypot(x, y) / edge
        nx, ny = x / 40, y / 40
        nz = np.sqrt(np.clip(1 - r * r, 0, 1))
        red = _mix(_colour(176, 22, 30), _colour(222, 166, 60), np.clip(0.5 + 0.5 * np.sin(angle * 9), 0, 1) * 0.22)
        colour = _lit(red, nx, ny, nz, 0.5, 30)
        stem = (np.abs(x - 3 - (y + 30) * -0.25) < 2.4) & (y > -50) & (y < -26)
        colour[stem] = _colour(78, 52, 28)
        return colour, (r < 1) | stem

    return _paint(88, 106, painter)


def book() -> Image.Image:
    """A dark blue book with a title."""

    def painter(x: Array, y: Array) -> tuple[Array, Array]:
        u, v = x * 0.966 + y * 0.259, -x * 0.259 + y * 0.966
        cover = (np.abs(u) < 46) & (np.abs(v) < 60)
        pages = (np.abs(u - 4) < 46) & (np.abs(v - 5) < 60) & ~cover
        colour = np.broadcast_to(_colour(44, 58, 122), (*x.shape, 3)).copy()
        colour += (0.04 * np.sin(u * 1.7) * np.sin(v * 1.7) - 0.0012 * (u + v))[..., None]
        colour[np.abs(u + 39) < 3] *= 0.6
        title = (np.abs(u - 3) < 30) & (np.abs(np.abs(v + 24) - 8) < 3.2)
        colour[title] = _colour(222, 190, 104)
        badge = np.hypot(u - 3, v - 26) < 12
        colour[badge] = _colour(198, 82, 66)
        colour[pages] = _colour(226, 220, 204)
        return colour, cover | pages

    return _paint(136, 158, painter)

"""Scenes drawn from nothing: a background, up to a dozen objects with parts, light and shadow, then a camera.

    image, labels = Gen(seed).scene()

image: uint8 [256,256,3], RGB. labels: uint8 [256,256,2]; the first is the visible object (1..49) or the background
region (100..), the second the part of the object (0 is its body).
"""
import cv2
import numpy as np

from .model import IMAGE_SIZE as SIZE
from .shapes import FAMILY_KINDS, LARGE_KINDS, choose, draw_shape
from .textures import WHOLE, Textures

BACKGROUND = 100              # label of the first background region
MIN_AREA = 60                 # pixels; smaller objects are left out


def blur(picture, sigma):
    return np.stack([cv2.GaussianBlur(channel, (0, 0), sigma) for channel in picture])


def quantile_step(values, picked, sharpness, fraction):
    """A soft step in 0..1 at a quantile of the picked values."""
    return np.clip((values - np.quantile(picked, fraction)) * sharpness + 0.5, 0, 1)


class Style:
    """What the objects of one scene have in common. A family are look-alikes side by side."""

    def __init__(self, rng, textures):
        self.family = rng.random() < 0.3
        self.kind = str(rng.choice(FAMILY_KINDS)) if self.family and rng.random() < 0.7 else None
        self.colour = textures.colour() if self.family and rng.random() < 0.7 else None
        self.radius = 2 ** rng.uniform(3.2, 5)
        self.shadows, self.outlines = rng.random() < 0.5, rng.random() < 0.15
        self.light = rng.uniform(0, 2 * np.pi)
        self.large = int(rng.integers(1, 4)) if rng.random() < 0.35 else None      # which object fills much of the picture

    def size_of(self, number, rng):
        if self.family:
            return self.radius * rng.uniform(0.8, 1.25)
        radius = min(2 ** rng.uniform(3.2, 7.0), 115)
        return radius if number <= 3 else min(radius, 60)


class Gen:
    def __init__(self, seed):
        self.textures = Textures(np.random.default_rng(seed))
        self.rng = self.textures.rng

    def reseed(self, rng):
        """Draws from here on with another source of numbers; the bank of noise stays."""
        self.rng = self.textures.rng = rng

    def scene(self):
        rng = self.rng
        self.style = Style(rng, self.textures)
        self.picture = self.textures.texture()
        self.labels = np.zeros((SIZE, SIZE, 2), np.uint8)
        self.labels[..., 0] = BACKGROUND
        self.draw_background()
        for number in range(1, int(rng.integers(2, 13)) + 1):
            self.draw_object(number)
        return self.photograph(), self.labels

    def draw_background(self):
        """Wall, table, sky: regions that fill the picture; sometimes clutter, sometimes out of focus."""
        rng, textures = self.rng, self.textures
        for number in range(rng.choice([0, 1, 2], p=[0.5, 0.35, 0.15])):
            upright = rng.random() < 0.5
            edge = textures.ramp(1) if upright else textures.ramp(1, np.pi / 2 + rng.normal(0, 0.1))
            edge = edge + (textures.noise() - 0.5) * float(rng.choice([0, 0, 10, 40]))
            amount = quantile_step(edge, edge[::8, ::8], rng.uniform(0.3, 1), rng.uniform(0.2, 0.8))
            self.picture += (textures.texture() - self.picture) * amount
            self.labels[amount > 0.5, 0] = BACKGROUND + 1 + number
        if rng.random() < 0.15:
            canvas = np.ascontiguousarray(self.picture.transpose(1, 2, 0))
            for _ in range(rng.integers(5, 40)):
                start, other = rng.integers(0, SIZE, (2, 2))
                end = start + (other - start) // 4
                colour, thickness = textures.colour().tolist(), int(rng.integers(1, 4))
                cv2.line(canvas, start.tolist(), end.tolist(), colour, thickness, cv2.LINE_AA)
            self.picture = np.ascontiguousarray(canvas.transpose(2, 0, 1))
        if rng.random() < 0.3:
            self.picture = blur(self.picture, rng.uniform(0.7, 4))

    def draw_object(self, number):
        rng, style = self.rng, self.style
        radius, kind = style.size_of(number, rng), style.kind
        x, y = rng.uniform(0, SIZE, 2)
        if number == style.large:
            radius, kind = rng.uniform(55, 125), choose(LARGE_KINDS, rng)
            x, y = rng.uniform(0.2 * SIZE, 0.8 * SIZE, 2)
        cover = draw_shape(rng, self.textures, x, y, radius, kind)
        if cover.sum() < MIN_AREA:
            return
        if rng.random() < 0.3:
            cover = cv2.GaussianBlur(cover, (0, 0), rng.uniform(0.5, 1.6))
        left, top, width, height = cv2.boundingRect((cover > 0).astype(np.uint8))
        if style.shadows:
            self.draw_shadow(cover, radius, (left, top, width, height))
        window = slice(top, top + height), slice(left, left + width)
        cover = np.ascontiguousarray(cover[window])
        body = cover > 0.5
        surface, parts = self.textures.texture(style.colour, window), np.zeros(cover.shape, np.uint8)
        if rng.random() < 0.35:
            surface = self.draw_parts(surface, parts, body, (x, y), radius, window)
        if rng.random() < 0.6:
            shade, highlight = self.light(cover, radius)
            surface = surface * shade + highlight
        if style.outlines:
            edge = cv2.morphologyEx(body.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
            surface = surface * (1 - 0.8 * edge.astype(np.float32))
        self.picture[(slice(None), *window)] += (surface - self.picture[(slice(None), *window)]) * cover
        self.labels[window][body] = np.stack([np.full(body.sum(), number), parts[body]], 1)

    def draw_parts(self, surface, parts, body, centre, radius, window):
        """Parts with a surface of their own: shapes on the body, or the body cut in two."""
        rng = self.rng
        for part in range(1, rng.integers(2, 4)):
            if rng.random() < 0.5:
                x, y = rng.normal(centre, radius * 0.3)
                cover = draw_shape(rng, self.textures, x, y, radius * rng.uniform(0.25, 0.6))[window]
            else:
                ramp = self.textures.ramp(1, window=window)
                if not body.any():
                    continue
                cover = quantile_step(ramp, ramp[body], 1.0, rng.uniform(0.2, 0.8))
            colour = self.style.colour if rng.random() < 0.3 else None
            surface = surface + (self.textures.texture(colour, window) - surface) * cover.astype(np.float32)
            parts[cover > 0.5] = part
        return surface

    def draw_shadow(self, cover, radius, bounds):
        """The shadow falls away from the light; it belongs to no object."""
        rng = self.rng
        left, top, width, height = bounds
        distance, softness = radius * rng.uniform(0.05, 0.35), max(0.8, radius * rng.uniform(0.05, 0.3))
        margin = int(distance + 3 * softness)
        window = (slice(max(0, top - margin), min(SIZE, top + height + margin)),
                  slice(max(0, left - margin), min(SIZE, left + width + margin)))
        light = self.style.light
        move = np.float32([[1, 0, -distance * np.cos(light)], [0, 1, -distance * np.sin(light)]])
        source = cover[window]
        shadow = cv2.GaussianBlur(cv2.warpAffine(source, move, source.shape[::-1]), (0, 0), softness)
        self.picture[(slice(None), *window)] *= 1 - rng.uniform(0.2, 0.7) * shadow

    def light(self, cover, radius):
        """Rounds the object: a height from the distance to its border, lit from one side; a factor and a highlight."""
        rng = self.rng
        distance = cv2.distanceTransform((cover > 0.5).astype(np.uint8), cv2.DIST_L2, 3)
        height = np.sqrt(np.minimum(distance, radius * rng.uniform(0.2, 1.2)) + 0.01)
        height = cv2.GaussianBlur(height, (0, 0), max(1, radius * 0.08))
        dx, dy = cv2.Sobel(height, cv2.CV_32F, 1, 0), cv2.Sobel(height, cv2.CV_32F, 0, 1)
        steepness = np.sqrt(dx * dx + dy * dy + rng.uniform(0.3, 3))
        lit = (dx * float(np.cos(self.style.light)) + dy * float(np.sin(self.style.light))) / steepness
        shade = 1 + rng.uniform(0.1, 0.6) * lit
        strength = rng.uniform(0, 3) if rng.random() < 0.3 else 0
        return shade, np.clip(lit - 0.75, 0, 1) * strength

    def photograph(self):
        """Uneven light, white balance, gamma, focus, noise, grey, JPEG."""
        rng, picture = self.rng, self.picture
        if rng.random() < 0.5:
            picture = picture * (1 + rng.uniform(0.1, 0.7) * (self.textures.ramp(SIZE, window=WHOLE) - 0.5))
        if rng.random() < 0.5:
            picture = picture * np.clip(rng.normal(1, 0.12, 3), 0.6, 1.4).astype(np.float32)[:, None, None]
        picture = np.clip(picture, 0, 1)
        if rng.random() < 0.5:
            picture = picture ** rng.uniform(0.6, 1.6)
        if rng.random() < 0.6:
            picture = blur(picture, rng.uniform(0.4, 1.3))
        if rng.random() < 0.6:
            picture = picture + rng.standard_normal(picture.shape, np.float32) * rng.uniform(0.005, 0.06)
        if rng.random() < 0.1:
            picture = np.repeat(picture.mean(0, keepdims=True), 3, 0)
        pixels = np.ascontiguousarray(np.clip(picture * 255, 0, 255).astype(np.uint8).transpose(1, 2, 0))
        if rng.random() < 0.5:
            quality = int(rng.integers(25, 90))
            pixels = cv2.imdecode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)
        return pixels

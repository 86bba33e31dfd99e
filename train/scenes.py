"""Draws synthetic scenes: a background, up to a dozen objects with parts, light and shadow, then a camera.

    image, labels = SceneGenerator(seed).scene()

image: uint8 [256,256,3], RGB. labels: uint8 [256,256,2]; the first channel is the visible object (1..49) or the
background region (100..), the second channel the part of the object (0 is its body).
"""
import cv2
import numpy as np

from . import things
from .camera import blur, photograph
from .model import IMAGE_SIZE as SIZE
from .shapes import FAMILY_KINDS, LARGE_KINDS, choose, draw_shape
from .textures import Textures

BACKGROUND = 100              # label of the first background region
MIN_AREA = 60                 # pixels; smaller objects are left out


def quantile_step(values, picked, sharpness, fraction):
    """A soft step from 0 to 1 at a quantile of the values in `picked`."""
    return np.clip((values - np.quantile(picked, fraction)) * sharpness + 0.5, 0, 1)


class Style:
    """The properties that the objects of one scene share. The objects of a family look alike."""

    def __init__(self, rng, textures, plain):
        self.family = rng.random() < 0.3
        self.kind = str(rng.choice(FAMILY_KINDS)) if self.family and rng.random() < 0.7 else None
        self.thing = choose(things.KINDS, rng) if self.family and self.kind is None and rng.random() < 0.6 else None
        self.colour = textures.colour() if self.family and rng.random() < 0.7 else None
        self.surface = textures.texture(self.colour) if self.family and rng.random() < 0.3 else None    # of every object
        self.radius = 2 ** rng.uniform(3.2, 5)
        self.places = self.rows(rng) if self.family and rng.random() < 0.35 else None
        self.shadows, self.outlines = rng.random() < 0.5, rng.random() < 0.15
        self.light = rng.uniform(0, 2 * np.pi)
        self.large = int(rng.integers(1, 4)) if rng.random() < 0.35 else None      # number of the object that fills much of the picture
        self.horizon = rng.uniform(0.1, 0.6) * SIZE if rng.random() < 0.25 else None
        self.things = rng.choice([0.1, 0.3, 0.8])                                  # how often an object is built of parts
        self.plain = plain > 0 and rng.random() < plain    # with plain = 0 no number is drawn: held-out scenes stay the same
        if self.plain:
            self.thing = self.surface = self.places = self.large = self.horizon = None
            self.things = 0

    def rows(self, rng):
        """Places side by side, close enough to touch."""
        step = self.radius * rng.uniform(1.5, 2.4)
        x, y = np.meshgrid(np.arange(step / 2, SIZE, step), np.arange(step / 2, SIZE, step))
        places = np.stack([x.ravel(), y.ravel()], 1) + rng.normal(0, step * 0.05, (x.size, 2))
        near = np.hypot(*(places - rng.uniform(0.2, 0.8, 2) * SIZE).T)
        return places[np.argsort(near)]

    def size_of(self, number, rng):
        if self.family:
            return self.radius * rng.uniform(0.8, 1.25)
        radius = min(2 ** rng.uniform(3.2, 7.0), 115)
        return radius if number <= 3 else min(radius, 60)

    def place_of(self, number, radius, rng):
        """Centre and radius of an object: in rows, on the ground (nearer objects are larger), or anywhere."""
        if self.places is not None and number <= len(self.places):
            return *self.places[number - 1], radius
        if number == self.large:
            return *rng.uniform(0.2 * SIZE, 0.8 * SIZE, 2), rng.uniform(55, 125)
        if self.horizon is not None:
            foot = self.horizon + (SIZE * 1.05 - self.horizon) * min(1.0, number / 9 + rng.uniform(0, 0.15))
            radius = float(np.clip((foot - self.horizon) * rng.uniform(0.15, 0.7), 6, 110))
            return rng.uniform(0, SIZE), foot - radius * 0.9, radius
        return *rng.uniform(0, SIZE, 2), radius


class SceneGenerator:
    """Draws scenes. `plain` is the share of plain scenes, which have no objects built of parts, no ground, no rows, no
    transparent objects, no bad light and no bad camera."""

    def __init__(self, seed, plain=0.0):
        self.plain = plain
        self.textures = Textures(np.random.default_rng(seed))
        self.rng = self.textures.rng

    def reseed(self, rng):
        """Replaces the source of random numbers; the bank of noise textures stays."""
        self.rng = self.textures.rng = rng

    def scene(self):
        rng = self.rng
        self.style = Style(rng, self.textures, self.plain)
        self.picture = self.textures.texture()
        self.labels = np.zeros((SIZE, SIZE, 2), np.uint8)
        self.labels[..., 0] = BACKGROUND
        self.draw_background()
        for number in range(1, int(rng.integers(2, 13)) + 1):
            self.draw_object(number)
        return photograph(rng, self.textures, self.picture, self.style.plain), self.labels

    def draw_background(self):
        """Draws regions that fill the picture (wall, table, sky), sometimes with clutter, sometimes out of focus."""
        rng, textures = self.rng, self.textures
        if self.style.horizon is not None:
            self.draw_ground()
        for number in range(rng.choice([0, 1, 2], p=[0.5, 0.35, 0.15]) if self.style.horizon is None else 0):
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

    def draw_ground(self):
        """Draws a ground plane in perspective up to the horizon; above it lies sky or a wall."""
        rng, horizon = self.rng, self.style.horizon
        rows = int(SIZE - horizon)
        corners = np.float32([[0, 0], [SIZE, 0], [SIZE, SIZE], [0, SIZE]])
        spread, middle = rng.uniform(1.5, 5), rng.uniform(0, SIZE)
        near = [middle - spread * SIZE, rows], [middle + spread * SIZE, rows]
        plane = np.float32([[middle - SIZE * 0.6, 0], [middle + SIZE * 0.6, 0], near[1], near[0]])
        matrix = cv2.getPerspectiveTransform(corners * rng.uniform(1, 2), plane)
        ground = np.stack([
            cv2.warpPerspective(np.ascontiguousarray(channel), matrix, (SIZE, rows), borderMode=cv2.BORDER_REFLECT)
            for channel in self.textures.texture()])
        if rng.random() < 0.6:                                    # haze towards the horizon
            haze = np.exp(-np.arange(rows, dtype=np.float32) / rng.uniform(5, 40))[:, None] * rng.uniform(0.2, 1)
            ground = ground + (self.textures.colour()[:, None, None] - ground) * haze
        if rng.random() < 0.4:                                    # a plain sky
            self.picture = self.textures.gradient((slice(0, SIZE), slice(0, SIZE))) * np.float32(0.3) + np.broadcast_to(
                self.textures.colour()[:, None, None] * 0.7, self.picture.shape)
            self.picture = np.ascontiguousarray(self.picture, np.float32)
        self.picture[:, SIZE - rows:] = ground
        self.labels[SIZE - rows:, :, 0] = BACKGROUND + 1

    def draw_object(self, number):
        rng, style = self.rng, self.style
        x, y, radius = style.place_of(number, style.size_of(number, rng), rng)
        kind, parts = style.kind, None
        thing = style.thing or (choose(things.KINDS, rng) if kind is None and rng.random() < style.things else None)
        if thing:
            cover, parts = things.draw_thing(rng, x, y, radius, thing)
        else:
            if number == style.large:
                kind = choose(LARGE_KINDS, rng)
            cover = draw_shape(rng, self.textures, x, y, radius, kind)
        if cover.sum() < MIN_AREA:
            return
        if rng.random() < 0.3:
            cover = cv2.GaussianBlur(cover, (0, 0), rng.uniform(0.5, 1.6))
        left, top, width, height = cv2.boundingRect((cover > 0).astype(np.uint8))
        if style.shadows:
            self.draw_shadow(cover, radius, (left, top, width, height))
        if style.horizon is not None and rng.random() < 0.7:
            self.draw_contact(x, top + height, width)
        window = slice(top, top + height), slice(left, left + width)
        cover = np.ascontiguousarray(cover[window])
        body = cover > 0.5
        surface = self.textures.texture(style.colour, window) if style.surface is None else style.surface[(slice(None), *window)]
        if parts is not None:
            surface, parts = self.paint_parts(surface, parts[window])
        else:
            parts = np.zeros(cover.shape, np.uint8)
            if rng.random() < 0.35:
                surface = self.draw_parts(surface, parts, body, (x, y), radius, window)
        if rng.random() < 0.6:
            shade, highlight = self.light(cover, radius)
            surface = surface * shade + highlight
        edge = None
        if style.outlines or (not style.plain and rng.random() < 0.06):
            edge = cv2.morphologyEx(body.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)).astype(np.float32)
        if style.outlines:
            surface = surface * (1 - 0.8 * edge)
        elif edge is not None:                                    # transparent, less so at the rim
            cover = cover * np.maximum(rng.uniform(0.3, 0.75), edge * rng.uniform(0, 1))
        self.picture[(slice(None), *window)] += (surface - self.picture[(slice(None), *window)]) * cover
        self.labels[window][body] = np.stack([np.full(body.sum(), number), parts[body]], 1)

    def paint_parts(self, surface, parts):
        """Paints a surface for each part of a thing; some parts look like the body."""
        rng, window = self.rng, (slice(0, parts.shape[0]), slice(0, parts.shape[1]))
        numbers = np.unique(parts[parts > 0])
        body = rng.choice(numbers) if len(numbers) else 0
        base = surface[:, ::8, ::8].mean((1, 2))
        surface = surface.copy()
        for number in numbers:
            if number == body or rng.random() < 0.1:
                continue
            shaded = rng.random() < 0.25                          # the same material, lighter or darker: a face of a box, a fold
            texture = surface * rng.uniform(0.5, 1.3) if shaded else self.textures.texture(base if rng.random() < 0.1 else None, window)
            mask = parts == number
            surface[:, mask] = texture[:, mask]
        return cv2.merge([cv2.GaussianBlur(c, (0, 0), 0.5) for c in surface]).transpose(2, 0, 1), parts

    def draw_contact(self, x, foot, width):
        """Darkens the ground where a thing stands on it."""
        shadow = np.zeros((SIZE, SIZE), np.float32)
        axes = max(2, int(width * 0.5)), max(1, int(width * self.rng.uniform(0.06, 0.15)))
        cv2.ellipse(shadow, (int(x), int(min(foot, SIZE * 2))), axes, 0, 0, 360, 1, -1)
        self.picture *= 1 - self.rng.uniform(0.3, 0.7) * cv2.GaussianBlur(shadow, (0, 0), max(1.0, axes[1] * 0.5))

    def draw_parts(self, surface, parts, body, centre, radius, window):
        """Draws parts with surfaces of their own: shapes on the body, or the body divided in two."""
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
        """Draws a shadow on the side away from the light; it belongs to no object."""
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
        """Shades the object as a rounded surface lit from one side: returns a factor and a highlight per pixel."""
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

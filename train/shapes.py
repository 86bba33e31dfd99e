"""Draws outlines of objects: filled, at twice the size and then averaged, so that borders are soft."""
import cv2
import numpy as np

from .model import IMAGE_SIZE as SIZE
from .textures import X, Y

DOUBLE = 2 * SIZE
TURN = np.arange(0, 2 * np.pi, 0.05)


class Outline:
    """A canvas of twice the size with a centre, a radius and an angle; each method draws one kind of shape on it."""

    def __init__(self, rng, x, y, radius):
        self.rng = rng
        self.canvas = np.zeros((DOUBLE, DOUBLE), np.uint8)
        self.x, self.y, self.radius = x * 2, y * 2, radius * 2
        self.degrees, self.aspect = rng.uniform(0, 360), rng.uniform(0.3, 1)

    def place(self, points):
        """Rotates points around the origin and moves them to the centre of the shape."""
        angle = np.radians(self.degrees)
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        return (points @ turn + [self.x, self.y]).astype(np.int32)

    def fill(self, points):
        cv2.fillPoly(self.canvas, [self.place(np.asarray(points))], 255)

    def fill_polar(self, angles, distances, flatten=1.0):
        self.fill(np.stack([np.cos(angles) * distances, np.sin(angles) * distances * flatten], 1))

    def ellipse(self):
        axes = int(self.radius), int(self.radius * self.aspect)
        cv2.ellipse(self.canvas, (int(self.x), int(self.y)), axes, self.degrees, 0, 360, 255, -1)

    def circle(self):
        cv2.circle(self.canvas, (int(self.x), int(self.y)), int(self.radius), 255, -1)

    def rectangle(self):
        rng = self.rng
        if rng.random() < 0.4:
            self.degrees = rng.normal(0, 3)
        width, height = rng.permutation([self.radius, self.radius * self.aspect])
        self.fill([[-width, -height], [width, -height], [width, height], [-width, height]])
        if rng.random() < 0.4 and self.radius > 12:                    # round corners
            side = int(self.radius * self.aspect * rng.uniform(0.2, 0.8)) | 1
            twice = cv2.blur(cv2.blur(self.canvas, (side, side)), (side, side))
            self.canvas = (twice > 127).astype(np.uint8) * 255

    def polygon(self):
        rng = self.rng
        corners = rng.integers(3, 8)
        angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
        self.fill_polar(angles, rng.uniform(0.5, 1.1, corners) * self.radius, rng.uniform(0.5, 1))

    def star(self):
        rays = self.rng.integers(4, 9)
        inner = self.rng.uniform(0.3, 0.75)
        distances = np.where(np.arange(2 * rays) % 2, inner, 1) * self.radius
        self.fill_polar(np.arange(2 * rays) * np.pi / rays, distances)

    def blob(self):
        rng = self.rng
        distances = np.ones_like(TURN)
        for wave in range(1, rng.integers(3, 10)):
            distances += rng.normal(0, 0.35 / wave ** 0.7) * np.cos(wave * TURN + rng.uniform(0, 6.3))
        self.fill_polar(TURN, np.clip(distances, 0.15, 2) * self.radius / 1.3, rng.uniform(0.4, 1))

    def ring(self):
        rng = self.rng
        axes = int(self.radius * 0.9), int(self.radius * 0.9 * self.aspect)
        end = 360 if rng.random() < 0.7 else rng.uniform(120, 330)
        thickness = max(4, int(self.radius * self.aspect * rng.uniform(0.15, 0.5)))
        cv2.ellipse(self.canvas, (int(self.x), int(self.y)), axes, self.degrees, 0, end, 255, thickness)

    def thin(self):
        rng = self.rng
        t = np.linspace(-1, 1, 40)
        bow = rng.normal(0, 0.4) * t ** 2 + rng.normal(0, 0.2) * np.sin(t * rng.uniform(2, 8))
        line = self.place(np.stack([t * self.radius * 1.6, self.radius * bow], 1))
        cv2.polylines(self.canvas, [line], False, 255, int(max(4, self.radius * rng.uniform(0.04, 0.3))))

    def limbs(self):
        """Connected bars and ellipses, like an articulated object."""
        rng = self.rng
        joints = [np.array([self.x, self.y])]
        for _ in range(rng.integers(2, 7)):
            start = joints[rng.integers(len(joints))]
            angle, length = rng.uniform(0, 6.3), self.radius * rng.uniform(0.3, 0.9)
            width = self.radius * rng.uniform(0.1, 0.5)
            end = start + length * np.array([np.cos(angle), np.sin(angle)])
            if rng.random() < 0.5:
                cv2.line(self.canvas, start.astype(int).tolist(), end.astype(int).tolist(), 255, max(3, int(width)))
            else:
                axes = max(2, int(length * 0.7)), max(2, int(width))
                middle = ((start + end) / 2).astype(int).tolist()
                cv2.ellipse(self.canvas, middle, axes, np.degrees(angle), 0, 360, 255, -1)
            joints.append(end)

    def letters(self):
        rng = self.rng
        text = chr(rng.integers(ord("A"), ord("Z") + 1))
        if rng.random() < 0.5:
            text += chr(rng.integers(ord("a"), ord("z") + 1))
        scale = self.radius / 14
        corner = int(self.x - self.radius * 0.7), int(self.y + self.radius * 0.6)
        cv2.putText(self.canvas, text, corner, int(rng.integers(0, 5)), scale, 255, max(3, int(scale * rng.uniform(2, 6))))

    def roughen(self, textures):
        """Makes the border wavy."""
        amount = self.rng.uniform(2, self.radius * 0.18)
        dx, dy = (cv2.resize((textures.noise() - 0.5) * 2 * amount, (DOUBLE, DOUBLE)) for _ in range(2))
        x, y = (cv2.resize(grid * 2, (DOUBLE, DOUBLE)) for grid in (X, Y))
        self.canvas = cv2.remap(self.canvas, x + dx, y + dy, cv2.INTER_LINEAR)


KINDS = {
    "ellipse": 0.13, "rectangle": 0.12, "polygon": 0.12, "blob": 0.22, "ring": 0.05, "thin": 0.07, "limbs": 0.16,
    "star": 0.04, "letters": 0.03, "circle": 0.06}
LARGE_KINDS = {"limbs": 0.4, "blob": 0.2, "ellipse": 0.12, "rectangle": 0.12, "polygon": 0.1, "ring": 0.06}
FAMILY_KINDS = ["ellipse", "circle", "rectangle", "blob", "polygon"]


def choose(kinds, rng):
    return str(rng.choice(list(kinds), p=list(kinds.values())))


def draw_shape(rng, textures, x, y, radius, kind=None):
    """The coverage of each pixel by the shape: float [256,256] in 0..1."""
    outline = Outline(rng, x, y, radius)
    getattr(outline, kind or choose(KINDS, rng))()
    if rng.random() < 0.25 and outline.radius > 20:
        outline.roughen(textures)
    return cv2.resize(outline.canvas, (SIZE, SIZE), interpolation=cv2.INTER_AREA).astype(np.float32) / 255

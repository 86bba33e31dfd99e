"""Draws objects built of parts: a figure, a cup, a vehicle, a box with three faces.

Each recipe draws numbered parts on one canvas; later parts cover earlier parts. The whole object and each part are right
answers to a click. Parts mostly differ in colour, so that colour alone does not identify an object.
"""
import cv2
import numpy as np

from .model import IMAGE_SIZE as SIZE

DOUBLE = 2 * SIZE
CIRCLE = np.stack([np.cos(np.arange(0, 2 * np.pi, 0.2)), np.sin(np.arange(0, 2 * np.pi, 0.2))], 1)


class Thing:
    """A canvas of twice the size with the number of the part in each pixel, 0 outside. Recipes use coordinates of about
    -1..1 with y down."""

    def __init__(self, rng, x, y, radius, turned=None):
        self.rng = rng
        self.parts = np.zeros((DOUBLE, DOUBLE), np.uint8)
        angle = rng.uniform(0, 2 * np.pi) if rng.random() < 0.25 else rng.normal(0, 0.12)
        angle = angle if turned is None else turned
        self.scale = 2 * radius
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        stretch = np.array([rng.choice([-1, 1]) * rng.uniform(0.75, 1.25), 1.0])
        self.matrix = stretch[:, None] * turn * self.scale
        self.centre = np.array([2 * x, 2 * y])

    def fill(self, part, points):
        points = np.asarray(points, np.float64) @ self.matrix + self.centre
        cv2.fillPoly(self.parts, [np.clip(points, -4000, 4000).astype(np.int32)], int(part))

    def disc(self, part, x, y, width, height=None, turned=0.0):
        points = CIRCLE * (width, width if height is None else height)
        if turned:
            points = points @ [[np.cos(turned), np.sin(turned)], [-np.sin(turned), np.cos(turned)]]
        self.fill(part, points + (x, y))

    def box(self, part, left, top, right, bottom, taper=1.0):
        """A box. taper: width of the bottom divided by the width of the top."""
        middle, half = (left + right) / 2, (right - left) / 2 * taper
        self.fill(part, [[left, top], [right, top], [middle + half, bottom], [middle - half, bottom]])

    def bar(self, part, start, end, width):
        """A bar with round ends, never thinner than two pixels of the canvas."""
        start, end = np.asarray(start, np.float64), np.asarray(end, np.float64)
        width = max(width, 3 / self.scale)
        along = end - start
        across = np.array([-along[1], along[0]]) / (np.hypot(*along) + 1e-6) * width / 2
        self.fill(part, [start + across, end + across, end - across, start - across])
        self.disc(part, *start, width / 2)
        self.disc(part, *end, width / 2)

    def hoop(self, part, x, y, outer, inner):
        points = [CIRCLE * size + (x, y) for size in (outer, inner)]
        outlines = [(np.clip(ring @ self.matrix + self.centre, -4000, 4000)).astype(np.int32) for ring in points]
        cv2.fillPoly(self.parts, outlines, int(part))                # even-odd rule: the inside of the inner circle stays empty

    # ------------------------------------------------------------------------------------------------------ recipes

    def figure(self):
        rng = self.rng
        hip, shoulder, width = rng.uniform(0, 0.25), -0.45, rng.uniform(0.18, 0.32)
        for side in (-1, 1):                                                    # trousers 1, shirt 2, skin 3, hair 4
            foot = (side * rng.uniform(0.05, 0.45), 1)
            self.bar(1, (side * width * 0.5, hip), foot, rng.uniform(0.14, 0.24))
        self.box(2, -width, shoulder, width, hip + 0.1, rng.uniform(0.7, 1.3))
        for side in (-1, 1):
            elbow = np.array([side * (width + rng.uniform(0, 0.35)), rng.uniform(-0.35, 0.1)])
            hand = elbow + rng.uniform(-0.3, 0.3, 2)
            self.bar(2, (side * width * 0.85, shoulder + 0.07), elbow, 0.14)
            self.bar(rng.choice([2, 3]), elbow, hand, 0.12)
        self.bar(3, (0, shoulder), (0, shoulder - 0.15), 0.12)
        self.disc(4, 0, shoulder - 0.33, rng.uniform(0.17, 0.26), rng.uniform(0.2, 0.27))
        self.disc(3, rng.uniform(-0.06, 0.06), shoulder - rng.uniform(0.25, 0.33), 0.15, 0.2)

    def beast(self):
        rng = self.rng
        thick, leg = rng.uniform(0.22, 0.42), rng.uniform(0.07, 0.16)
        for x in (-0.55, -0.35, 0.35, 0.55):
            self.bar(1, (x, 0), (x + rng.normal(0, 0.1), rng.uniform(0.55, 0.9)), leg)
        self.bar(1, (-0.6, -0.05), (-0.95, rng.uniform(-0.5, 0.4)), leg * 0.7)
        self.disc(1, 0, 0, 0.72, thick)
        neck = np.array([rng.uniform(0.6, 0.95), rng.uniform(-0.75, -0.2)])
        head = rng.choice([1, 2])
        self.bar(head, (0.5, -0.1), neck, thick * 0.7)
        self.disc(head, *neck, rng.uniform(0.18, 0.3), rng.uniform(0.14, 0.22), rng.normal(0, 0.4))
        if rng.random() < 0.5:                                                  # a saddle, a patch
            self.disc(3, rng.uniform(-0.4, 0.3), -0.1, rng.uniform(0.1, 0.3), thick * 0.6)

    def vehicle(self):
        rng = self.rng
        top = rng.uniform(-0.55, -0.25)
        self.fill(1, [[-0.6, -0.1], [-0.4, top], [0.3, top], [0.6, -0.1]])
        self.fill(3, [[-0.48, -0.1], [-0.34, top + 0.08], [-0.05, top + 0.08], [-0.05, -0.1]])
        self.fill(3, [[0.03, -0.1], [0.03, top + 0.08], [0.27, top + 0.08], [0.46, -0.1]])
        self.box(1, -1, -0.1, 1, 0.3, rng.uniform(0.9, 1))
        if rng.random() < 0.5:
            self.box(4, -1, 0.18, 1, 0.3)
        for x in (-0.58, 0.58):
            size = rng.uniform(0.18, 0.28)
            self.disc(2, x, 0.3, size)
            self.disc(5, x, 0.3, size * 0.5)

    def cup(self):
        rng = self.rng
        taper, deep = rng.uniform(0.55, 1), rng.uniform(0.12, 0.35)
        if rng.random() < 0.6:
            self.hoop(1, 0.65, 0.0, rng.uniform(0.35, 0.45), rng.uniform(0.2, 0.3))
        self.box(1, -0.65, -0.45, 0.65, 0.75, taper)
        self.disc(1, 0, 0.75, 0.65 * taper, deep * taper)
        self.disc(1, 0, -0.45, 0.65, deep)
        self.disc(2, 0, -0.43, 0.57, deep * 0.8)
        if rng.random() < 0.3:
            self.box(3, -0.6, -0.05, 0.6, 0.35, 0.9)

    def bottle(self):
        rng = self.rng
        width, neck = rng.uniform(0.2, 0.4), rng.uniform(0.08, 0.16)
        self.fill(1, [[-neck, -0.8], [neck, -0.8], [neck, -0.5], [width, -0.25], [width, 1], [-width, 1],
                      [-width, -0.25], [-neck, -0.5]])
        self.box(2, -neck * 1.2, -1, neck * 1.2, -0.75)
        if rng.random() < 0.7:
            self.box(3, -width, rng.uniform(-0.1, 0.2), width, rng.uniform(0.4, 0.8))

    def plant(self):
        rng = self.rng
        crown = rng.choice([2, 2, 3])
        self.bar(1, (0, 0.9), (rng.normal(0, 0.1), -0.3), rng.uniform(0.06, 0.2))
        for _ in range(rng.integers(4, 11)):
            x, y = rng.normal(0, 0.35), rng.normal(-0.4, 0.28)
            self.bar(1, (0, 0.2), (x, y), 0.05)
            self.disc(crown, x, y, rng.uniform(0.12, 0.35), rng.uniform(0.08, 0.3), rng.uniform(0, 3))
        if rng.random() < 0.5:
            self.box(4, -0.35, 0.55, 0.35, 1, 0.7)

    def flower(self):
        rng = self.rng
        petals, width = rng.integers(4, 10), rng.uniform(0.15, 0.35)
        if rng.random() < 0.5:
            self.bar(3, (0, 0), (rng.normal(0, 0.3), 1.3), 0.08)
        for angle in np.arange(petals) * 2 * np.pi / petals:
            self.disc(1, 0.5 * np.cos(angle), 0.5 * np.sin(angle), 0.45, width, angle)
        self.disc(2, 0, 0, rng.uniform(0.15, 0.4))

    def house(self):
        rng = self.rng
        wide = rng.uniform(0.5, 0.9)
        self.box(1, -wide, -0.2, wide, 1)
        self.fill(2, [[-wide - 0.15, -0.2], [rng.uniform(-0.3, 0.3), rng.uniform(-1, -0.5)], [wide + 0.15, -0.2]])
        for x in np.arange(-wide + 0.12, wide - 0.2, rng.uniform(0.35, 0.6)):
            for y in (0.0, 0.45):
                self.box(3, x, y, x + 0.2, y + 0.25)
        self.box(4, -0.12, 0.5, 0.12, 1)

    def crate(self):
        """A box with three visible faces, each a part."""
        rng = self.rng
        deep, high = rng.uniform(0.2, 0.6), rng.uniform(0.2, 0.6)
        width, height = rng.uniform(0.4, 0.8), rng.uniform(0.3, 0.7)
        corners = np.array([[-width, height], [width - deep, height], [width - deep, -height + high], [-width, -height + high]])
        self.fill(1, corners)
        self.fill(2, [corners[3], corners[2], corners[2] + (deep, -high), corners[3] + (deep, -high)])
        self.fill(3, [corners[1], corners[2], corners[2] + (deep, -high), corners[1] + (deep, -high)])
        if rng.random() < 0.3:
            self.box(4, -width * 0.6, 0, 0.1, height * 0.6)

    def table(self):
        rng = self.rng
        leg, top = rng.uniform(0.04, 0.12), rng.uniform(-0.6, 0)
        for x in (-0.8, -0.5, 0.55, 0.85):
            self.bar(1, (x, top), (x, rng.uniform(0.7, 0.95)), leg)
        self.fill(2, [[-0.7, top - 0.2], [0.7, top - 0.2], [1, top + 0.05], [-1, top + 0.05]])
        if rng.random() < 0.4:                                                  # a chair
            self.box(rng.choice([2, 3]), -0.9, top - 0.9, -0.7, top)

    def tool(self):
        rng = self.rng
        self.bar(1, (0, -0.5), (0, 1), rng.uniform(0.08, 0.25))
        kind = rng.integers(4)
        if kind == 0:
            self.box(2, -0.5, -0.8, rng.uniform(0.3, 0.6), -0.45)
        elif kind == 1:
            self.disc(2, 0, -0.5, rng.uniform(0.3, 0.7), rng.uniform(0.2, 0.45))
        elif kind == 2:
            self.fill(2, [[-0.25, -0.8], [0.25, -0.8], [0.6, -0.1], [-0.6, -0.1]])
        else:
            self.hoop(2, 0, -0.6, 0.45, rng.uniform(0.25, 0.37))
        if rng.random() < 0.3:
            self.box(3, -0.3, 0.9, 0.3, 1.05)

    def bicycle(self):
        rng = self.rng
        size = rng.uniform(0.38, 0.5)
        rim, tube = rng.uniform(0.06, 0.14), rng.uniform(0.05, 0.1)
        for x in (-0.6, 0.6):
            self.hoop(1, x, 0.35, size, size - rim)
        joints = np.array([[-0.6, 0.35], [-0.25, -0.3], [0, 0.35], [0.4, -0.35], [0.6, 0.35]])
        for start, end in ((0, 1), (0, 2), (1, 2), (1, 3), (2, 3), (3, 4)):
            self.bar(2, joints[start], joints[end], tube)
        self.bar(2, joints[3], joints[3] + (-0.05, -0.25), tube)
        self.disc(3, -0.28, -0.4, 0.2, 0.07)

    def fence(self):
        """Bars with the background between them."""
        rng = self.rng
        step, width = rng.uniform(0.2, 0.5), rng.uniform(0.05, 0.13)
        for x in np.arange(-1, 1.01, step):
            self.bar(1, (x, -0.6), (x, 0.7), width)
        for y in (-0.35, 0.4):
            self.bar(rng.choice([1, 2]), (-1, y), (1, y), width)

    def frame(self):
        """A frame around a picture, or an empty frame."""
        rng = self.rng
        width, height, rim = rng.uniform(0.6, 1), rng.uniform(0.5, 1), rng.uniform(0.08, 0.25)
        self.box(1, -width, -height, width, height)
        self.box(0 if rng.random() < 0.5 else 2, -width + rim, -height + rim, width - rim, height - rim)

    def sieve(self):
        """A plate with holes."""
        rng = self.rng
        self.disc(1, 0, 0, 1, rng.uniform(0.6, 1)) if rng.random() < 0.5 else self.box(1, -0.9, -0.7, 0.9, 0.7)
        for _ in range(rng.integers(1, 7)):
            self.disc(0, *rng.uniform(-0.55, 0.55, 2), rng.uniform(0.08, 0.28))


KINDS = {
    "figure": 0.15, "beast": 0.11, "vehicle": 0.09, "cup": 0.09, "bottle": 0.07, "plant": 0.08, "flower": 0.06, "house": 0.06,
    "crate": 0.09, "table": 0.04, "tool": 0.06, "bicycle": 0.03, "fence": 0.02, "frame": 0.03, "sieve": 0.02}


def draw_thing(rng, x, y, radius, kind, turned=None):
    """The coverage of each pixel by the thing, float [256,256], and the number of the part in the pixel, uint8."""
    thing = Thing(rng, x, y, radius, turned)
    getattr(thing, kind)()
    covered = (thing.parts > 0).astype(np.uint8) * 255
    cover = cv2.resize(covered, (SIZE, SIZE), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    # the highest number of four canvas pixels, so that no covered pixel has part 0
    rows = np.maximum(thing.parts[::2], thing.parts[1::2])
    parts = np.maximum(rows[:, ::2], rows[:, 1::2])
    return cover, parts

"""Colours and textures: noise, stripes, checks, gradients. Pictures are float [3,H,W] in 0..1, patterns [H,W]."""
import cv2
import numpy as np

from .model import IMAGE_SIZE as SIZE

Y, X = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)
WHOLE = (slice(0, SIZE), slice(0, SIZE))
BANK_SIZE = 384
NATURAL_HUES = [12, 18, 25, 40, 60, 105]          # skin, wood, sand, leaves, sky; of OpenCV's 180


def spread(values):
    return (values - values.min()) / (values.max() - values.min() + 1e-6)


class Textures:
    """Draws textures for a window (rows, columns) of the picture, so that small objects cost little time."""

    def __init__(self, rng):
        self.rng = rng
        # Noise is expensive, so every texture cuts a window out of a bank of large pieces.
        self.bank = [self.octaves() for _ in range(48)] + [self.cells() for _ in range(12)]

    def octaves(self):
        """Noise of several scales, sometimes stretched like wood grain."""
        rng, side = self.rng, BANK_SIZE
        total = np.zeros((side, side), np.float32)
        frequency = 2 ** rng.uniform(1, 5)
        stretch = 2 ** rng.uniform(0, 3) if rng.random() < 0.4 else 1
        amplitude = 1.0
        for _ in range(rng.integers(1, 5)):
            rows, columns = max(2, int(frequency)), max(2, int(frequency * stretch))
            if max(rows, columns) > side:
                break
            coarse = rng.random((rows, columns), np.float32)
            total += amplitude * cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
            amplitude *= rng.uniform(0.4, 0.8)
            frequency *= 2
        return spread(total)

    def cells(self):
        """Voronoi cells: flat cells, or the distance to the cell centres."""
        rng, side = self.rng, BANK_SIZE
        centres = np.full((side, side), 255, np.uint8)
        count = int(2 ** rng.uniform(5, 9))
        centres[rng.integers(0, side, count), rng.integers(0, side, count)] = 0
        distance, cell = cv2.distanceTransformWithLabels(centres, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
        if rng.random() < 0.5:
            return rng.random(count + 2).astype(np.float32)[cell]
        return np.clip(distance / np.percentile(distance, 98), 0, 1).astype(np.float32)

    def noise(self, window=WHOLE):
        rng = self.rng
        piece = self.bank[rng.integers(len(self.bank))]
        y, x = rng.integers(0, BANK_SIZE - SIZE, 2)
        piece = piece[y:y + SIZE, x:x + SIZE]
        if rng.random() < 0.5:
            piece = piece[::-1]
        if rng.random() < 0.5:
            piece = piece[:, ::-1]
        if rng.random() < 0.5:
            piece = piece.T
        return piece[window]

    def ramp(self, period, angle=None, window=WHOLE):
        """A ramp that grows by one every `period` pixels in the direction of the angle."""
        angle = self.rng.uniform(0, 2 * np.pi) if angle is None else angle
        return X[window] * float(np.cos(angle) / period) + Y[window] * float(np.sin(angle) / period)

    def radius_from(self, x, y, window=WHOLE):
        """Distance of every pixel from (x, y)."""
        return np.hypot(X[window] - np.float32(x), Y[window] - np.float32(y))

    def pattern(self, window=WHOLE):
        """A random pattern with values in 0..1."""
        draw, weights = zip(
            (self.flat, 0.14), (self.gradient, 0.14), (self.radial, 0.06), (self.noise, 0.28), (self.stripes, 0.12),
            (self.checks, 0.06), (self.dots, 0.06), (self.patches, 0.14))
        return draw[self.rng.choice(len(draw), p=weights)](window)

    def flat(self, window):
        return np.full(X[window].shape, 0.5, np.float32)

    def gradient(self, window):
        ramp = self.ramp(self.rng.uniform(80, 350), window=window)
        return np.clip(ramp - ramp.min(), 0, 1)

    def radial(self, window):
        x, y = self.rng.uniform(0, SIZE, 2)
        return np.clip(self.radius_from(x, y, window) / np.float32(self.rng.uniform(40, 250)), 0, 1)

    def stripes(self, window):
        rng = self.rng
        bend = self.noise(window) * rng.uniform(0, 12) if rng.random() < 0.6 else 0
        wave = np.sin(self.ramp(rng.uniform(0.7, 7), window=window) + bend)
        return wave * 0.5 + 0.5 if rng.random() < 0.5 else (wave > rng.uniform(-0.6, 0.6)).astype(np.float32)

    def checks(self, window):
        angle, period = self.rng.uniform(0, 1.6), self.rng.uniform(4, 26)
        across, along = self.ramp(period, angle, window), self.ramp(period, angle + np.pi / 2, window)
        return ((np.floor(across) + np.floor(along)) % 2).astype(np.float32)

    def dots(self, window):
        angle, period = self.rng.uniform(0, 1.6), self.rng.uniform(1.2, 6)
        across, along = self.ramp(period, angle, window), self.ramp(period, angle + np.pi / 2, window)
        return (np.sin(across) * np.sin(along) > self.rng.uniform(0.1, 0.6)).astype(np.float32)

    def patches(self, window):
        threshold = self.rng.uniform(0.3, 0.7)
        return np.clip((self.noise(window) - threshold) * self.rng.uniform(2, 20) + 0.5, 0, 1)

    def colour(self):
        rng = self.rng
        if rng.random() < 0.5:
            hue, saturation, value = rng.uniform(0, 180), rng.beta(1.2, 1.4), rng.uniform(0.08, 1)
        else:
            hue = rng.choice(NATURAL_HUES) + rng.normal(0, 6)
            saturation, value = rng.beta(1.2, 3), rng.beta(1.6, 1.6)
        pixel = np.array([[[hue % 180, saturation * 255, value * 255]]]).astype(np.uint8)
        return cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0].astype(np.float32) / 255

    def near(self, colour, distance=None):
        """A colour close to the given colour, mostly lighter or darker."""
        rng = self.rng
        distance = float(rng.choice([0.04, 0.1, 0.2, 0.45])) if distance is None else distance
        return np.clip(colour + rng.normal(0, distance) + rng.normal(0, distance * 0.5, 3), 0, 1).astype(np.float32)

    def texture(self, base=None, window=WHOLE):
        """One or two patterns between close colours, sometimes with noise on top. base: a colour to stay close to."""
        rng = self.rng
        first = self.colour() if base is None else self.near(base, 0.05)
        picture = self.blend(first[:, None, None], first, self.pattern(window))
        if rng.random() < 0.35:
            picture = self.blend(picture, first, self.pattern(window) * rng.uniform(0.3, 1))
        if rng.random() < 0.5:
            picture = picture + (self.noise(window) - 0.5) * rng.uniform(0.02, 0.25)
        return picture.astype(np.float32)

    def blend(self, picture, colour, amount):
        return picture + (self.near(colour)[:, None, None] - picture) * amount

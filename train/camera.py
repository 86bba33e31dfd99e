"""Turns a drawn scene into a photograph: uneven light, glare, night, lens blur, sensor noise, JPEG.

None of these effects belongs to an object, so the labels do not change.
"""
import cv2
import numpy as np

from .textures import WHOLE

GREY = np.array([0.3, 0.59, 0.11], np.float32)[:, None, None]


def blur(picture, sigma):
    return np.stack([cv2.GaussianBlur(channel, (0, 0), sigma) for channel in picture])


def motion_blur(picture, length, angle):
    """Blurs the picture as a camera that moves while its shutter is open."""
    side = int(length) | 1
    kernel = np.zeros((side, side), np.float32)
    middle, reach = side // 2, side / 2
    end = int(round(middle + reach * np.cos(angle))), int(round(middle + reach * np.sin(angle)))
    start = int(round(middle - reach * np.cos(angle))), int(round(middle - reach * np.sin(angle)))
    cv2.line(kernel, start, end, 1.0)
    return np.stack([cv2.filter2D(channel, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT) for channel in picture])


def patches_of_light(rng, textures, picture):
    """Draws shadows of objects outside the picture: window bars, a branch, a wall."""
    kind = rng.integers(3)
    if kind == 0:
        amount = np.sin(textures.ramp(rng.uniform(3, 20), window=WHOLE)) * 3 + rng.uniform(-1, 1)
    elif kind == 1:
        amount = (textures.noise() - rng.uniform(0.35, 0.65)) * rng.uniform(4, 16)
    else:
        ramp = textures.ramp(rng.uniform(6, 30), window=WHOLE)
        amount = ramp - np.quantile(ramp[::8, ::8], rng.uniform(0.2, 0.8))
    amount = cv2.GaussianBlur(np.clip(amount + 0.5, 0, 1).astype(np.float32), (0, 0), rng.uniform(0.8, 5))
    return picture * (1 - rng.uniform(0.2, 0.65) * amount)


def glare(rng, textures, picture):
    """Adds lights that shine into the camera, with the haze that they spread over the picture."""
    size = picture.shape[1]
    for _ in range(rng.integers(1, 4)):
        x, y = rng.uniform(-0.1, 1.1, 2) * size
        distance = textures.radius_from(x, y)
        light = np.exp(-distance / rng.uniform(4, 25)) * rng.uniform(0.5, 2) + np.exp(-distance / (0.6 * size)) * rng.uniform(0, 0.35)
        colour = np.clip(rng.normal(1, 0.12, 3), 0.6, 1.2).astype(np.float32)
        picture = picture + light * colour[:, None, None]
    return picture


def night(rng, textures, picture):
    """Darkens the picture, sometimes adds a lamp, and adds the noise of a sensor at high gain."""
    brightness = rng.uniform(0.12, 0.35)
    if rng.random() < 0.5:
        distance = textures.radius_from(*rng.uniform(0, picture.shape[1], 2))
        brightness = brightness * 0.6 + np.exp(-distance / rng.uniform(40, 140)) * rng.uniform(0.3, 0.9)
    tint = np.array([1.0, 0.9, 0.7] if rng.random() < 0.5 else [0.8, 0.9, 1.1], np.float32)
    picture = picture * brightness * tint[:, None, None]
    return picture + rng.standard_normal(picture.shape, np.float32) * rng.uniform(0.005, 0.035)


def sensor_noise(rng, picture):
    """Adds sensor noise: sometimes stronger in bright areas, sometimes in blotches as noise reduction leaves them."""
    noise = rng.standard_normal(picture.shape, np.float32)
    if rng.random() < 0.25:
        noise = blur(noise, rng.uniform(0.6, 1.5)) * 2
    strength = rng.uniform(0.005, 0.06)
    if rng.random() < 0.5:
        return picture + noise * strength * np.sqrt(np.clip((picture * GREY).sum(0) * 2, 0.05, 2))
    return picture + noise * strength


def photograph(rng, textures, picture, good_conditions):
    """Photographs a picture: float [3,256,256], about 0..1 -> uint8 [256,256,3].

    good_conditions: good light and a good camera that does not move.
    """
    def mishap(chance):
        return not good_conditions and rng.random() < chance

    if rng.random() < 0.5:
        picture = picture * (1 + rng.uniform(0.1, 0.7) * (textures.ramp(picture.shape[1], window=WHOLE) - 0.5))
    if mishap(0.12):
        picture = patches_of_light(rng, textures, picture)
    if rng.random() < 0.5:
        picture = picture * np.clip(rng.normal(1, 0.12, 3), 0.6, 1.4).astype(np.float32)[:, None, None]
    if mishap(0.06):
        picture = night(rng, textures, np.clip(picture, 0, 1))
    if mishap(0.07):
        picture = glare(rng, textures, picture)
    picture = np.clip(picture, 0, 1)
    if rng.random() < 0.5:
        picture = picture ** rng.uniform(0.6, 1.6)
    if mishap(0.1):
        picture = motion_blur(picture, rng.uniform(3, 13), rng.uniform(0, np.pi))
    elif rng.random() < 0.6:
        picture = blur(picture, rng.uniform(0.4, 1.3))
    if rng.random() < 0.6:
        picture = sensor_noise(rng, picture)
    if rng.random() < 0.1:
        picture = np.repeat(picture.mean(0, keepdims=True), 3, 0)
    pixels = np.ascontiguousarray(np.clip(picture * 255, 0, 255).astype(np.uint8).transpose(1, 2, 0))
    if mishap(0.08):                                              # a camera of low resolution
        size, small = pixels.shape[0], int(pixels.shape[0] * rng.uniform(0.4, 0.8))
        pixels = cv2.resize(cv2.resize(pixels, (small, small), interpolation=cv2.INTER_AREA), (size, size))
    if rng.random() < 0.5:
        quality = int(rng.integers(25, 90))
        pixels = cv2.imdecode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)
    return pixels

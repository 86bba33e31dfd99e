"""Prompts as people give them: clicks, boxes, corrections. Everything in pixels of the 256 square, (x, y)."""
import cv2
import numpy as np

from .model import BACKGROUND, BOTTOM_RIGHT, FOREGROUND, IMAGE_SIZE, PAD, TOP_LEFT


def inner_distance(mask):
    """Distance of every pixel of the mask to its outside; the picture's border counts as outside."""
    padded = np.pad(mask.astype(np.uint8), 1)
    return cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1]


def innermost(mask):
    distance = inner_distance(mask)
    y, x = np.unravel_index(distance.argmax(), distance.shape)
    return int(x), int(y)


def random_click(mask, rng, inner=False):
    """A pixel of the mask, of its inner half when asked."""
    if inner:
        distance = inner_distance(mask)
        mask = distance >= 0.5 * distance.max()
    where = np.flatnonzero(mask)
    index = int(where[rng.integers(len(where))])
    return index % mask.shape[1], index // mask.shape[1]


def tight_box(mask):
    """[[x0, y0], [x1, y1]], the first and last column and row of the mask."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return np.array([[columns[0], rows[0]], [columns[-1] + 1, rows[-1] + 1]], np.float32)


def sloppy_box(mask, rng, jitter=0.1):
    box = tight_box(mask)
    if rng.random() < 0.35:
        return box
    size = np.maximum(box[1] - box[0], 4)
    shift = np.clip(rng.normal(0, jitter / 2, (2, 2)), -jitter, jitter) * size
    return np.clip(box + shift, 0, IMAGE_SIZE)


def sample_prompt(mask, slots, rng):
    """A random prompt for the mask: points [slots,2] and labels [slots], the rest padding."""
    points, labels = [], []
    kind = rng.choice(["click", "box", "clicks"], p=[0.35, 0.45, 0.2])
    if kind == "box":
        if slots >= 3 and rng.random() < 0.2:
            points.append(random_click(mask, rng))
            labels.append(FOREGROUND)
        points += list(sloppy_box(mask, rng))
        labels += [TOP_LEFT, BOTTOM_RIGHT]
    elif kind == "click" or slots < 3:
        points.append(random_click(mask, rng, inner=rng.random() < 0.6))
        labels.append(FOREGROUND)
    else:
        reach = int(rng.choice([5, 15, 41]))
        around = cv2.dilate(mask.astype(np.uint8), np.ones((reach, reach), np.uint8)).astype(bool) & ~mask
        for number in range(rng.integers(2, slots)):
            if number == 0 or rng.random() < 0.5 or not around.any():
                points.append(random_click(mask, rng, inner=rng.random() < 0.5))
                labels.append(FOREGROUND)
            else:
                points.append(random_click(around, rng))
                labels.append(BACKGROUND)
    padded = np.zeros((slots, 2), np.float32)
    padded_labels = np.full(slots, PAD, np.float32)
    padded[:len(points)] = points
    padded_labels[:len(labels)] = labels
    return padded, padded_labels


def random_correction(predicted, truth, rng):
    """A click somewhere in the error, as in SAM's training: ((x, y), label)."""
    missing, surplus = truth & ~predicted, predicted & ~truth
    total = missing.sum() + surplus.sum()
    if total == 0:
        return random_click(truth, rng), FOREGROUND
    if rng.random() < missing.sum() / total:
        return random_click(missing, rng, inner=rng.random() < 0.5), FOREGROUND
    return random_click(surplus, rng, inner=rng.random() < 0.5), BACKGROUND


def central_correction(predicted, truth):
    """The click of the evaluation: at the innermost point of the error region that is the thicker one."""
    missing, surplus = truth & ~predicted, predicted & ~truth
    if not missing.any() and not surplus.any():
        return innermost(truth), FOREGROUND
    if inner_distance(missing).max() >= inner_distance(surplus).max():
        return innermost(missing), FOREGROUND
    return innermost(surplus), BACKGROUND

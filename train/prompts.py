"""Samples prompts as users give them: clicks, boxes, corrections, retracted clicks, and the prompts that the mode `track`
makes from the mask of the previous frame. Coordinates are (x, y) in pixels of the 256 square."""
import cv2
import numpy as np

from .model import BACKGROUND, BOTTOM_RIGHT, FOREGROUND, IMAGE_SIZE, LOW_RES, PAD, TOP_LEFT

KINDS = {"click": 0.34, "box": 0.4, "clicks": 0.14, "retracted": 0.04, "track": 0.08}


def inner_distance(mask):
    """Distance of every pixel of the mask to the outside of the mask; the image border counts as outside."""
    padded = np.pad(mask.astype(np.uint8), 1)
    return cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1]


def innermost(mask):
    distance = inner_distance(mask)
    y, x = np.unravel_index(distance.argmax(), distance.shape)
    return int(x), int(y)


def random_click(mask, rng, inner=False):
    """A random pixel of the mask; with `inner`, at least half as far from the outside as the innermost pixel."""
    if inner:
        distance = inner_distance(mask)
        mask = distance >= 0.5 * distance.max()
    indices = np.flatnonzero(mask)
    index = int(indices[rng.integers(len(indices))])
    return index % mask.shape[1], index // mask.shape[1]


def tight_box(mask):
    """[[x0, y0], [x1, y1]]: first column and row of the mask, and the column and row after the last."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return np.array([[columns[0], rows[0]], [columns[-1] + 1, rows[-1] + 1]], np.float32)


def sloppy_box(mask, rng):
    """A box that is exact, slightly off, or as inaccurate as a quick hand or a poor detector."""
    box = tight_box(mask)
    jitter = rng.choice([0.0, 0.1, 0.2], p=[0.35, 0.5, 0.15])
    size = np.maximum(box[1] - box[0], 4)
    shift = np.clip(rng.normal(0, jitter / 2, (2, 2)), -jitter, jitter) * size
    return np.clip(box + shift, 0, IMAGE_SIZE)


def ring_around(mask, rng):
    reach = int(rng.choice([5, 15, 41]))
    return cv2.dilate(mask.astype(np.uint8), np.ones((reach, reach), np.uint8)).astype(bool) & ~mask


def previous_mask(mask, rng):
    """An imitation of the mask of the previous frame: logits [128,128], moved and with errors. None if it is empty."""
    height, width = mask.shape
    box = tight_box(mask)
    x, y = box.mean(0)
    reach = (box[1] - box[0]) * rng.choice([0.02, 0.08, 0.2])
    matrix = cv2.getRotationMatrix2D((float(x), float(y)), rng.normal(0, 4), rng.normal(1, 0.04))
    matrix[:, 2] += rng.normal(0, 1, 2) * reach
    moved = cv2.warpAffine(mask.astype(np.float32), matrix, (width, height))
    ragged = cv2.resize(rng.standard_normal((9, 9), np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    soft = cv2.GaussianBlur(moved, (0, 0), rng.uniform(1, 4)) - 0.5 + ragged * rng.uniform(0, 0.25)
    logits = cv2.resize(soft, (LOW_RES, LOW_RES), interpolation=cv2.INTER_AREA) * rng.uniform(8, 30)
    return logits.astype(np.float32) if (logits > 0).any() else None


def clicks(mask, slots, rng):
    points, labels, around = [], [], ring_around(mask, rng)
    for number in range(rng.integers(2, slots)):
        if number == 0 or rng.random() < 0.5 or not around.any():
            points.append(random_click(mask, rng, inner=rng.random() < 0.5))
            labels.append(FOREGROUND)
        else:
            points.append(random_click(around, rng))
            labels.append(BACKGROUND)
    return points, labels


def retracted_click(mask, rng):
    """A wrong click beside the object, a negative click close to it that retracts it, and a correct click."""
    around = ring_around(mask, rng)
    wrong = np.array(random_click(around if around.any() else ~mask, rng))
    retraction = np.clip(wrong + rng.normal(0, 2, 2).round(), 0, IMAGE_SIZE - 1).astype(int)
    if mask[retraction[1], retraction[0]]:
        retraction = wrong
    return [wrong, retraction, random_click(mask, rng, inner=True)], [FOREGROUND, BACKGROUND, FOREGROUND]


def sample_prompt(mask, slots, rng):
    """A random prompt for the mask: points [slots,2] and labels [slots], padded, and logits of the mask input or None."""
    kind, previous, points, labels = rng.choice(list(KINDS), p=list(KINDS.values())), None, [], []
    if kind == "track" and (slots < 3 or (previous := previous_mask(mask, rng)) is None):
        kind = "box"
    if kind in ("clicks", "retracted") and (slots < 3 or mask.all()):
        kind = "click"
    if kind == "box":
        if slots >= 3 and rng.random() < 0.2:
            points.append(random_click(mask, rng))
            labels.append(FOREGROUND)
        points += list(sloppy_box(mask, rng))
        labels += [TOP_LEFT, BOTTOM_RIGHT]
    elif kind == "track":                           # as the node does: box and innermost point of the previous mask
        inside = cv2.resize(previous, (IMAGE_SIZE, IMAGE_SIZE)) > 0
        inside[0, 0] |= not inside.any()
        points += [innermost(inside), *tight_box(inside)]
        labels += [FOREGROUND, TOP_LEFT, BOTTOM_RIGHT]
    elif kind == "click":
        points.append(random_click(mask, rng, inner=rng.random() < 0.6))
        labels.append(FOREGROUND)
    else:
        points, labels = clicks(mask, slots, rng) if kind == "clicks" else retracted_click(mask, rng)
    padded = np.zeros((slots, 2), np.float32)
    padded_labels = np.full(slots, PAD, np.float32)
    padded[:len(points)] = points
    padded_labels[:len(labels)] = labels
    return padded, padded_labels, previous


def central_correction(predicted, truth):
    """The correction click of the evaluation: the innermost point of the thicker error region (missing or surplus)."""
    missing, surplus = truth & ~predicted, predicted & ~truth
    if not missing.any() and not surplus.any():
        return innermost(truth), FOREGROUND
    if inner_distance(missing).max() >= inner_distance(surplus).max():
        return innermost(missing), FOREGROUND
    return innermost(surplus), BACKGROUND

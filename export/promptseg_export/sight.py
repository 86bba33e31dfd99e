"""Whether a model with random weights sees the picture: parity on weights whose masks hardly depend on it says nothing about
the encoder or the pixels. Needs `numpy` only."""

from collections.abc import Callable

import numpy as np

MIRRORED = 0.1
"""A mirrored picture moves the logits by at least this part of their range ..."""
OVERLAP = 0.99
"""... and leaves a mask that overlaps by at most this much."""
NOISE = 1e-3
"""One grey level of noise moves the logits by at least this part of their range, ten times the tolerance of the tests."""


class Blind(Exception):
    """The weights do not see the picture."""


def disturbed(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A picture [H, W, 3] (u8) mirrored, and with -1, 0 or 1 added to each of its values."""
    noise = np.random.default_rng(0).integers(-1, 2, picture.shape)
    return np.ascontiguousarray(picture[:, ::-1]), np.clip(picture.astype(int) + noise, 0, 255).astype(np.uint8)


def check(name: str, answer: Callable[[np.ndarray], np.ndarray], picture: np.ndarray) -> None:
    """`answer`: a picture to logits [..., L, L] of a prompt. Raises `Blind` where the picture makes too little difference."""
    mirrored, noisy = disturbed(picture)
    expected = answer(picture)
    span = float(np.ptp(expected))
    moved, overlap = difference(expected, answer(mirrored))
    trembled, kept = difference(expected, answer(noisy))
    found = (
        f"{name}: a mirrored picture moves the logits by {moved / span:.1e} of their range, masks overlap by {overlap:.3f}; "
        f"one grey level of noise by {trembled / span:.1e}, masks overlap by {kept:.4f}"
    )
    print(found)
    if not (moved > MIRRORED * span and overlap < OVERLAP and trembled > NOISE * span):
        raise Blind(
            f"{found}; expected more than {MIRRORED}, less than {OVERLAP} and more than {NOISE}: calibrate the random weights"
        )


def difference(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """The largest difference of logits, and the smallest overlap of masks."""
    ours, theirs = (logits.reshape(-1, logits.shape[-2] * logits.shape[-1]) > 0 for logits in (one, other))
    union = (ours | theirs).sum(1)
    overlap = np.where(union == 0, 1.0, (ours & theirs).sum(1) / np.maximum(union, 1))
    return float(np.abs(one - other).max()), float(overlap.min())

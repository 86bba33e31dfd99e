"""Checks that the masks of a model with random weights depend on the image. Needs only `numpy`.

With weights whose masks hardly depend on the image, parity would not test the encoder and the preprocessing.
"""

from collections.abc import Callable

import numpy as np

MIRRORED = 0.1
"""Lowest change of the logits by mirroring the image, relative to their range."""
OVERLAP = 0.99
"""Largest IoU of the masks of the image and the mirrored image."""
NOISE = 1e-3
"""Lowest change of the logits by noise of one grey level, relative to their range: ten times the tolerance of the tests."""


class Blind(Exception):
    """The masks hardly depend on the image."""


def disturbed(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An image [H, W, 3] (u8), mirrored, and with -1, 0 or 1 added to each value."""
    noise = np.random.default_rng(0).integers(-1, 2, picture.shape)
    return np.ascontiguousarray(picture[:, ::-1]), np.clip(picture.astype(int) + noise, 0, 255).astype(np.uint8)


def check(name: str, answer: Callable[[np.ndarray], np.ndarray], picture: np.ndarray) -> None:
    """Raises `Blind` if the image has too little effect. `answer` returns the logits [..., L, L] of a prompt on an image."""
    mirrored, noisy = disturbed(picture)
    expected = answer(picture)
    span = float(np.ptp(expected))
    change, overlap = difference(expected, answer(mirrored))
    noise_change, noise_overlap = difference(expected, answer(noisy))
    summary = (
        f"{name}: mirroring the image changes the logits by {change / span:.1e} of their range, masks have an IoU of "
        f"{overlap:.3f}; one grey level of noise by {noise_change / span:.1e}, masks have an IoU of {noise_overlap:.4f}"
    )
    print(summary)
    if not (change > MIRRORED * span and overlap < OVERLAP and noise_change > NOISE * span):
        raise Blind(
            f"{summary}; expected more than {MIRRORED}, less than {OVERLAP} and more than {NOISE}: calibrate the random weights"
        )


def difference(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """The largest difference of logits, and the lowest IoU of masks."""
    ours, theirs = (logits.reshape(-1, logits.shape[-2] * logits.shape[-1]) > 0 for logits in (first, second))
    union = (ours | theirs).sum(1)
    overlap = np.where(union == 0, 1.0, (ours & theirs).sum(1) / np.maximum(union, 1))
    return float(np.abs(first - second).max()), float(overlap.min())

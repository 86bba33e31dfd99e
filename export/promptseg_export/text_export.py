"""What the exports of text models share: the staging of the bundle, the tokenizer, and the comparison with transformers."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from . import bundle
from .parity import Mismatch, rounded

IMAGE_TOWER, TEXT_TOWER, TOKENIZER = "image_tower.onnx", "text_tower.onnx", "tokenizer.json"
LIMIT = 1e-3
"""Largest accepted difference of an output from transformers, relative to the range of the output."""


def export(model, name: str, source: str, out: Path, fill: Callable[[Path], dict]) -> dict[str, float]:
    """Writes a bundle to `out`; returns the differences of the outputs, relative to their ranges.

    `fill` writes the graphs and the tokenizer to a folder, and returns the differences. If it raises, `out` stays unchanged.
    """
    with bundle.staged(out) as folder:
        parity = fill(folder)
        bundle.write_description(folder, {"name": name, "source": source, **model.description(), "parity": parity})
    return parity


def write_tokenizer(tokenizer, folder: Path) -> None:
    """Writes tokenizer.json, and switches padding and truncation of `tokenizer` off.

    The texts are padded in Rust, and texts that are too long are refused there.
    """
    backend = tokenizer.backend_tokenizer
    backend.no_padding()
    backend.no_truncation()
    backend.save(str(folder / TOKENIZER))


def differences(ours: dict[str, np.ndarray], reference: dict[str, np.ndarray]) -> dict[str, float]:
    """The largest difference of each output, relative to its range. Raises `Mismatch` if one is above `LIMIT`."""
    measured = {}
    for name, expected in reference.items():
        if ours[name].shape != expected.shape:
            raise Mismatch(f"{name} has the shape {ours[name].shape}, expected {expected.shape} as in transformers")
        span = float(np.ptp(expected))
        measured[name] = rounded(float(np.abs(ours[name] - expected).max()) / span if span > 0 else float("nan"))
        if not measured[name] <= LIMIT:
            raise Mismatch(f"{name} differs by {measured[name]:.1e} of its range, limit {LIMIT:.0e}")
    return measured

"""Tests that weights whose masks hardly depend on the picture are refused."""

import numpy as np
import pytest

from promptseg_export import sight

PICTURE = np.random.default_rng(1).integers(0, 256, (32, 32, 3)).astype(np.uint8)


def seeing(picture: np.ndarray) -> np.ndarray:
    return picture.astype(np.float32).mean(2)[None] - 128


def test_weights_that_see_the_picture_pass():
    sight.check("seeing", seeing, PICTURE)


@pytest.mark.parametrize(
    "answer",
    [
        lambda picture: seeing(PICTURE),
        lambda picture: seeing(PICTURE) + 1e-5 * seeing(picture),
    ],
)
def test_weights_that_hardly_see_it_are_refused(answer):
    with pytest.raises(sight.Blind, match="calibrate the random weights"):
        sight.check("blind", answer, PICTURE)

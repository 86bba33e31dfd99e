"""Fixtures for tests of the exporter on small models. `./dev test --exporter` runs them, or pytest after `pip install './export[tests]'`."""

import pytest
import torch
from promptseg_export import sam


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def smallest():
    """A SAM with random weights, small enough to be exported in seconds."""
    return sam.build("small", None, 3, image_size=128, width=32)


@pytest.fixture
def log():
    """A logger for exports, with the list of its messages."""

    class Log(list):
        def __call__(self, text: str) -> None:
            self.append(text)

    return Log()

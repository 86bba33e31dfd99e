"""The exporter itself, on its small configurations. Needs `pip install './export[golden]' pytest`."""

import pytest
import torch
from promptseg_export import sam


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def smallest():
    """A SAM with random weights that exports in seconds."""
    return sam.build("small", None, 3, image_size=128, width=32)


@pytest.fixture
def said():
    """What was reported while exporting."""

    class Said(list):
        def __call__(self, text: str) -> None:
            self.append(text)

    return Said()

"""Options of the tests: `./dev test --tensorrt -- --docs`."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--true-size", action="store_true", help="also compile the published models, with random weights")
    parser.addoption("--docs", action="store_true", help="write the table of the published models to docs/providers.md")

"""Lines that a test adds to the summary at the end, also from a process of pytest-xdist."""

from __future__ import annotations

from typing import Any

import pytest

SUMMARY = pytest.StashKey[list[str]]()


def add(config: pytest.Config, lines: list[str]) -> None:
    config.stash.setdefault(SUMMARY, []).extend(lines)


class Plugin:
    """Carries the lines from the workers to the process that prints the summary, and prints them."""

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
        if output is not None:
            output["summary"] = session.config.stash.get(SUMMARY, [])

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        # A worker that crashed has no output.
        add(node.config, getattr(node, "workeroutput", {}).get("summary", []))

    def pytest_terminal_summary(self, terminalreporter: Any, config: pytest.Config) -> None:
        if lines := config.stash.get(SUMMARY, None):
            terminalreporter.section("commands of the docs")
            for line in lines:
                terminalreporter.write_line(line)

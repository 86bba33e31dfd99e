"""Fixtures. The tests of a module share a node, which has no objects and default parameters at the start of each test."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from harness import NodeProcess, Peer, free_domain
from robot import Robot
from scenes import Scene

# Restricts DDS to this machine, so that tests on other machines of the network do not interfere.
if os.environ.get("ROS_DISTRO") == "humble":
    os.environ.setdefault("ROS_LOCALHOST_ONLY", "1")
else:
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")


@pytest.fixture(scope="module")
def shared_robot(request: pytest.FixtureRequest) -> Iterator[Robot]:
    """The robot of a module, with the module's PARAMETERS and LOG_LEVEL."""
    robot = Robot(getattr(request.module, "PARAMETERS", None), log_level=getattr(request.module, "LOG_LEVEL", "info"))
    try:
        yield robot.connect()
        assert robot.process.is_running(), f"the node died:\n{robot.process.log()}"
    finally:
        robot.close()


@pytest.fixture
def robot(shared_robot: Robot) -> Robot:
    assert shared_robot.process.is_running(), f"the node died in an earlier test:\n{shared_robot.process.log()}"
    shared_robot.reset()
    return shared_robot


@pytest.fixture(scope="session")
def scene() -> Scene:
    return Scene()


@pytest.fixture
def start_node() -> Iterator[Callable[..., NodeProcess]]:
    """Starts nodes that are stopped after the test."""
    started: list[NodeProcess] = []

    def start(domain: int, *ros_args: str, **options: Any) -> NodeProcess:
        started.append(NodeProcess(domain, *ros_args, **options))
        return started[-1]

    yield start
    for process in started:
        process.close()


@pytest.fixture
def start_robot() -> Iterator[Callable[..., Robot]]:
    """Starts robots that are stopped after the test."""
    started: list[Robot] = []

    def start(*args: Any, **kwargs: Any) -> Robot:
        started.append(Robot(*args, **kwargs))
        return started[-1]

    yield start
    for robot in started:
        robot.close()


@pytest.fixture
def peer() -> Iterator[Peer]:
    """A peer on an unused domain."""
    peer = Peer(free_domain())
    yield peer
    peer.close()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Prints the counts of test_docs.py."""
    docs = sys.modules.get("test_docs")
    if docs and (lines := config.stash.get(docs.SUMMARY, None)):
        terminalreporter.section("commands of the docs")
        for line in lines:
            terminalreporter.write_line(line)

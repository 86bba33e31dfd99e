"""Fixtures. The tests of a module share a node, which has no objects and default parameters at the start of each test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import summary
from browser import CONSOLE, Tab, browser
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
    parameters, log_level = getattr(request.module, "PARAMETERS", None), getattr(request.module, "LOG_LEVEL", "info")
    yield from connected(Robot(parameters, log_level=log_level))


def connected(robot: Robot) -> Iterator[Robot]:
    """Connects a robot for the tests of a module, whose node must live to their end."""
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


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as running:
        yield running


@pytest.fixture
def open_tab(chromium: Any) -> Iterator[Callable[..., Tab]]:
    """Opens pages, which are closed after the test. An error of a page fails the test."""
    tabs: list[Tab] = []

    def open_(url: str, script: str | None = None, **options: Any) -> Tab:
        """`script`: runs before the scripts of the page."""
        context = chromium.new_context(**({"viewport": {"width": 1280, "height": 800}} | options))
        if script:
            context.add_init_script(script)
        tabs.append(Tab(context))
        tabs[-1].page.goto(url)
        return tabs[-1]

    yield open_
    for tab in tabs:
        tab.context.close()
    # A page without a token is answered with 401, which browsers report as an error.
    errors = [error for tab in tabs for error in tab.errors if "401" not in error]
    assert not errors, errors


@pytest.fixture(scope="module")
def shared_console() -> Iterator[Robot]:
    """A node with a console without a token."""
    yield from connected(Robot(CONSOLE))


@pytest.fixture
def console(shared_console: Robot, scene: Scene) -> Robot:
    """The node with a console, without objects and with the scene as its newest frame."""
    shared_console.show(scene.rgb)
    shared_console.clear()
    return shared_console


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(summary.Plugin())

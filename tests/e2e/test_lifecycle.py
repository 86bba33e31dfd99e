"""The managed node as a lifecycle manager sees it: the states, transitions and answers of rclcpp."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from promptseg_msgs.srv import Segment
from rcl_interfaces.msg import Parameter, SetParametersResult
from rcl_interfaces.srv import SetParameters
from std_srvs.srv import Trigger

from harness import ROOT, START_TIMEOUT, NodeProcess, Peer, eventually, parameter_args
from lifecycle import LABELS, NODE, Manager
from messages import image, prompt
from robot import BASE, Robot, get_parameters, value_message
from scenes import Scene

MANAGED = parameter_args({"autostart": False} | BASE)
STOPS_WITHIN = 1.5
# The transitions that lead to each primary state.
WAYS = {"unconfigured": [], "inactive": ["configure"], "active": ["configure", "activate"]}


@pytest.fixture
def managed(peer: Peer, start_node: Callable[..., NodeProcess]) -> tuple[NodeProcess, Manager]:
    node = start_node(peer.domain, *MANAGED)
    return node, Manager(peer).connect(node)


def go(manager: Manager, state: str) -> None:
    for transition in WAYS[state]:
        assert manager.change(transition)
    assert manager.state() == state


def test_transition_by_transition(managed: tuple[NodeProcess, Manager], peer: Peer, scene: Scene) -> None:
    _, manager = managed
    assert manager.state() == "unconfigured"
    steps = [
        (Transition.TRANSITION_CONFIGURE, "configuring", "inactive"),
        (Transition.TRANSITION_ACTIVATE, "activating", "active"),
        (Transition.TRANSITION_DEACTIVATE, "deactivating", "inactive"),
        (Transition.TRANSITION_ACTIVATE, "activating", "active"),
        (Transition.TRANSITION_DEACTIVATE, "deactivating", "inactive"),
        (Transition.TRANSITION_CLEANUP, "cleaningup", "unconfigured"),
        (Transition.TRANSITION_CONFIGURE, "configuring", "inactive"),
        (Transition.TRANSITION_CLEANUP, "cleaningup", "unconfigured"),
        (Transition.TRANSITION_UNCONFIGURED_SHUTDOWN, "shuttingdown", "finalized"),
    ]
    expected = []
    for transition, during, after in steps:
        before = manager.state()
        assert manager.change(transition)
        assert manager.state() == after
        expected += [(before, during), (during, after)]
    eventually("all events", lambda: manager.history() == expected)
    first, second = manager.events.all()[:2]
    assert (first.transition.id, first.transition.label) == (1, "configure")
    assert (second.transition.id, second.transition.label) == (10, "transition_success")
    assert abs(first.timestamp - time.time_ns()) < 600e9


def test_the_graph_is_that_of_rclcpp(managed: tuple[NodeProcess, Manager]) -> None:
    _, manager = managed
    assert manager.states() == LABELS
    graph = manager.transitions("get_transition_graph")
    assert len(graph) == 25
    assert graph[Transition.TRANSITION_ACTIVE_SHUTDOWN] == ("shutdown", "active", "shuttingdown")
    assert graph[Transition.TRANSITION_ON_CONFIGURE_FAILURE] == ("transition_failure", "configuring", "unconfigured")
    assert graph[Transition.TRANSITION_ON_ERROR_SUCCESS] == ("transition_success", "errorprocessing", "unconfigured")
    assert {t[0] for t in manager.transitions().values()} == {"configure", "shutdown"}
    go(manager, "inactive")
    assert {t[0] for t in manager.transitions().values()} == {"cleanup", "activate", "shutdown"}


@pytest.mark.parametrize("state", WAYS)
def test_wrong_transitions_are_refused_and_change_nothing(
    managed: tuple[NodeProcess, Manager], state: str
) -> None:
    node, manager = managed
    go(manager, state)
    possible = manager.transitions()
    events = len(manager.history())
    for transition in [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 50, 60, 62, 99, 200]:
        if transition not in possible:
            assert not manager.change(transition), transition
    for label in ["destroy", "transition_success", "Configure", "actívate"]:
        assert not manager.change(label), label
    assert manager.state() == state
    assert len(manager.history()) == events
    assert f"from '{state}'" in node.log()


class HeldUp:
    """Blocks the loading of a model: opening its file waits until the lease is released (fcntl(2); the kernel
    ends a lease after 45 s)."""

    def __init__(self, folder: Path) -> None:
        self.model = shutil.copytree(ROOT / "models" / "tiny", folder / "held_up")
        self._opened = False
        self._before = signal.signal(signal.SIGIO, self._note)
        self._lease = os.open(self.model / "image_encoder.onnx", os.O_RDWR)
        fcntl.fcntl(self._lease, fcntl.F_SETLEASE, fcntl.F_WRLCK)

    def _note(self, *_: object) -> None:
        self._opened = True

    def wait(self) -> None:
        """Waits until the node loads the model."""
        eventually("the node to load the model", lambda: self._opened, START_TIMEOUT)

    def let_go(self) -> None:
        if self._lease >= 0:
            os.close(self._lease)
            self._lease = -1
            signal.signal(signal.SIGIO, self._before)


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[HeldUp]:
    holder = HeldUp(tmp_path)
    yield holder
    holder.let_go()


@pytest.fixture
def held_up(
    peer: Peer, start_node: Callable[..., NodeProcess], holder: HeldUp
) -> tuple[NodeProcess, Manager, HeldUp]:
    node = start_node(peer.domain, *MANAGED, "-p", f"model:={holder.model}")
    return node, Manager(peer).connect(node), holder


def test_while_the_model_loads_the_node_answers(
    held_up: tuple[NodeProcess, Manager, HeldUp], peer: Peer
) -> None:
    node, manager, holder = held_up
    diagnostics = peer.subscribe(DiagnosticArray, "/diagnostics")
    configured = manager.start_change("configure")
    holder.wait()
    assert manager.state() == "configuring"
    assert {t[0] for t in manager.transitions().values()} == {
        "transition_success",
        "transition_failure",
        "transition_error",
    }
    for transition in (1, 5, 10, "transition_success", "shutdown"):
        assert not manager.change(transition), transition
    assert "must wait: the node is configuring" in node.log()
    assert set_parameter(peer, "keep.frames", 7).successful
    refused = peer.call(Trigger, f"{NODE}/clear", Trigger.Request())
    assert not refused.success and "not active" in refused.message
    diagnostics.wait("the progress", lambda m: "loading model" in m.status[0].message)
    assert not configured.done()
    holder.let_go()
    eventually("the answer", configured.done, START_TIMEOUT)
    assert configured.result().success, node.log()
    assert manager.state() == "inactive"
    diagnostics.wait("a status at rest", lambda m: m.status[0].message == "inactive")
    assert "warmed up" in node.log()


def test_a_service_waits_for_a_node_that_starts_by_itself(
    peer: Peer, start_node: Callable[..., NodeProcess], holder: HeldUp
) -> None:
    start_node(peer.domain, "-p", f"model:={holder.model}")
    future = peer.start_call(Trigger, f"{NODE}/clear", Trigger.Request())
    holder.wait()
    assert not future.done()
    holder.let_go()
    eventually("the answer", future.done, START_TIMEOUT)
    assert future.result().success


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("state", [*WAYS, "configuring", "finalized"])
def test_a_signal_ends_it_in_every_state(
    held_up: tuple[NodeProcess, Manager, HeldUp], state: str, number: signal.Signals
) -> None:
    node, manager, holder = held_up
    if state == "configuring":
        manager.start_change("configure")
        holder.wait()
    elif state == "finalized":
        assert manager.change("shutdown")
    elif WAYS[state]:
        configured = manager.start_change("configure")
        holder.wait()
        holder.let_go()
        eventually("the answer", configured.done, START_TIMEOUT)
        if state == "active":
            assert manager.change("activate")
    assert manager.state() == state
    since = time.monotonic()
    node.send(number)
    assert node.exit_status() == 0, node.log()
    assert time.monotonic() - since < STOPS_WITHIN
    assert "panicked" not in node.log()


@pytest.mark.parametrize("state", WAYS)
def test_shutdown_from_every_state(managed: tuple[NodeProcess, Manager], state: str) -> None:
    _, manager = managed
    go(manager, state)
    assert manager.change("shutdown")
    assert manager.state() == "finalized"
    assert manager.transitions() == {}
    for transition in range(1, 8):
        assert not manager.change(transition)
    assert manager.state() == "finalized"


def set_parameter(peer: Peer, name: str, value: object) -> SetParametersResult:
    request = SetParameters.Request(parameters=[Parameter(name=name, value=value_message(value))])
    return peer.call(SetParameters, f"{NODE}/set_parameters", request).results[0]


def test_a_model_that_is_not_there_is_a_failure_and_another_can_be_given(
    managed: tuple[NodeProcess, Manager], peer: Peer
) -> None:
    node, manager = managed
    diagnostics = peer.subscribe(DiagnosticArray, "/diagnostics")
    assert "needs cleanup and configure" in set_parameter(peer, "model", "/nowhere").reason
    assert not manager.change("configure")
    assert manager.state() == "unconfigured"
    assert manager.history()[-1] == ("configuring", "unconfigured")
    assert "/nowhere" in node.log()
    failed = diagnostics.wait("the failure", lambda m: m.status[0].level == b"\x02").status[0]
    assert "/nowhere" in failed.message
    assert set_parameter(peer, "model", "tiny").successful
    go(manager, "active")
    diagnostics.wait("work", lambda m: m.status[0].level != b"\x02", diagnostics.mark())


def test_what_needs_configure_takes_effect_with_it(managed: tuple[NodeProcess, Manager], peer: Peer) -> None:
    node, manager = managed
    go(manager, "active")
    subscribers = peer.node.count_subscribers
    eventually("the subscription", lambda: subscribers("/image") == 1)
    assert subscribers("/image/compressed") == 0
    result = set_parameter(peer, "image_transport", "compressed")
    assert result.successful and result.reason == "'image_transport' needs cleanup and configure to take effect"
    assert get_parameters(peer, "image_transport") == ["compressed"]
    assert manager.change("deactivate") and manager.change("activate")
    assert subscribers("/image/compressed") == 0
    assert manager.change("deactivate") and manager.change("cleanup")
    go(manager, "active")
    eventually("the other subscription", lambda: subscribers("/image/compressed") == 1)
    assert node.is_running()


def test_an_inactive_node_keeps_its_model_and_takes_nothing(start_robot: Callable[..., Robot], scene: Scene) -> None:
    robot = start_robot()
    robot.connect()
    manager = Manager(robot.peer).connect(robot.process)
    stamp = robot.show(scene.rgb)
    assert robot.add(prompt(box=scene.shapes[0].box, object_id=7), stamp=stamp).masks
    assert manager.change("deactivate")

    answers, pictures = robot.masks.mark(), robot.overlay.mark()
    refused = robot.segment(stamp=stamp, objects=[prompt(box=scene.shapes[0].box)])
    assert not refused.success and "not active" in refused.message
    for name in ("clear", "undo", "new_object"):
        assert not robot.trigger(name).success
    assert robot.trigger("clear").message.startswith("the node is not active")

    def let_go() -> bool:
        robot.peer.publish("image", image(scene.rgb, robot.stamp()), wait=False)
        robot.send_click(*scene.shapes[0].centre)
        time.sleep(0.1)
        return robot.peer.node.count_subscribers("/image") == 0

    # r2r ends a subscription with the first message after it was closed.
    eventually("the end of the subscription", let_go)
    assert (robot.masks.mark(), robot.overlay.mark()) == (answers, pictures), "published while inactive"

    assert manager.change("activate")
    robot.until_overlay(scene.rgb)
    stamp = robot.show(scene.rgb)
    answer = robot.add(prompt(box=scene.shapes[1].box, object_id=8), stamp=stamp)
    assert [m.object_id for m in answer.masks] == [8], "objects of before are forgotten"
    assert robot.process.log().count("loading model") == 1


def test_a_question_under_way_is_answered_when_the_node_is_deactivated(start_robot: Callable[..., Robot]) -> None:
    robot = start_robot({"prompt_timeout": 60.0})
    robot.connect()
    manager = Manager(robot.peer).connect(robot.process)
    # A request for a frame that never arrives.
    request = Segment.Request(stamp=robot.stamp(), objects=[prompt(points=[(5, 5, 1)])])
    future = robot.peer.start_call(Segment, f"{NODE}/segment", request)
    waiting = "detections and questions waiting"
    eventually("the question to wait", lambda: robot.diagnostic_values().get(waiting) == "1")
    assert not future.done()
    assert manager.change("deactivate")
    eventually("the answer", future.done)
    assert not future.result().success
    assert "deactivated" in future.result().message
    assert manager.change("cleanup") and manager.change("configure") and manager.change("activate")


def test_many_rounds_leave_nothing_behind(start_robot: Callable[..., Robot]) -> None:
    """cleanup returns the memory, and neither subscriptions nor threads accumulate."""
    robot = start_robot({"keep.frames": 40})
    robot.connect()
    manager = Manager(robot.peer).connect(robot.process)
    rgb = np.full((720, 1280, 3), 90, np.uint8)
    resting: list[float] = []
    for _ in range(4):
        robot.until_overlay(rgb)
        for _ in range(25):
            robot.show(rgb)
        at_work = robot.process.resident_megabytes()
        assert manager.change("deactivate") and manager.change("cleanup")
        resting.append(robot.process.resident_megabytes())
        assert at_work > resting[-1] + 40, "kept frames are gone"
        assert manager.change("configure") and manager.change("activate")
    assert max(resting[1:]) < resting[0] * 1.05, resting
    threads = len(list(Path(f"/proc/{robot.process.pid}/task").iterdir()))
    for _ in range(20):
        assert manager.change("deactivate") and manager.change("activate")
    assert len(list(Path(f"/proc/{robot.process.pid}/task").iterdir())) <= threads + 2
    eventually("one subscription", lambda: robot.peer.node.count_subscribers("/region") == 1)


def test_cleanup_gives_back_what_the_largest_batch_took(start_robot: Callable[..., Robot], scene: Scene) -> None:
    """cleanup also returns the working memory of ONNX Runtime's sessions."""
    robot = start_robot({"session.max_objects": 64})
    robot.connect()
    manager = Manager(robot.peer).connect(robot.process)
    stamp = robot.show(scene.rgb)
    assert robot.segment(stamp=stamp, objects=[prompt(box=scene.shapes[0].box)]).success
    assert manager.change("deactivate") and manager.change("cleanup")
    resting = robot.process.resident_megabytes()
    assert manager.change("configure") and manager.change("activate")
    robot.until_overlay(scene.rgb)
    stamp = robot.show(scene.rgb)
    assert robot.segment(stamp=stamp, objects=[prompt(box=scene.shapes[0].box)] * 64, timeout=START_TIMEOUT).success
    at_work = robot.process.resident_megabytes()
    assert manager.change("deactivate") and manager.change("cleanup")
    assert at_work > resting * 1.5, (resting, at_work)
    assert robot.process.resident_megabytes() < resting * 1.05, (resting, at_work, robot.process.resident_megabytes())


def test_a_node_that_starts_by_itself_can_be_managed(start_robot: Callable[..., Robot]) -> None:
    robot = start_robot()
    robot.connect()
    manager = Manager(robot.peer).connect(robot.process)
    assert manager.state() == "active"
    assert not manager.change("configure")
    assert manager.change(Transition.TRANSITION_ACTIVE_SHUTDOWN)
    assert manager.state() == "finalized"

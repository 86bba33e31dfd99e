"""The calls of Nav2's lifecycle manager, in its order, and its bond."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest
from bond.msg import Status
from lifecycle_msgs.msg import Transition
from rclpy.qos import QoSProfile

from harness import START_TIMEOUT, Inbox, NodeProcess, Peer, eventually, parameter_args
from lifecycle import Manager

NODE = "/promptseg"
# nav2_lifecycle_manager calls a bond formed after half of its bond_timeout, and broken after 4 s without a heartbeat.
STEPS = {
    Transition.TRANSITION_CONFIGURE: "inactive",
    Transition.TRANSITION_ACTIVATE: "active",
    Transition.TRANSITION_DEACTIVATE: "inactive",
    Transition.TRANSITION_CLEANUP: "unconfigured",
    Transition.TRANSITION_UNCONFIGURED_SHUTDOWN: "finalized",
}


@pytest.fixture
def managed(peer: Peer, start_node: Callable[..., NodeProcess]) -> tuple[NodeProcess, Manager, Inbox]:
    bond = peer.subscribe(Status, "bond", QoSProfile(depth=100))
    node = start_node(peer.domain, *parameter_args({"autostart": False}))
    return node, Manager(peer).connect(node), bond


def change(manager: Manager, transition: int) -> None:
    """Does the same as the manager's changeStateForNode: checks the answer, then the state."""
    assert manager.change(transition)
    assert manager.state() == STEPS[transition]


def test_startup_pause_resume_reset_shutdown(managed: tuple[NodeProcess, Manager, Inbox], peer: Peer) -> None:
    _, manager, bond = managed
    manager_side = peer.node.create_publisher(Status, "bond", QoSProfile(depth=5))
    change(manager, Transition.TRANSITION_CONFIGURE)
    assert not bond.all(), "the bond begins with activate"
    for _ in range(2):
        before = bond.mark()
        change(manager, Transition.TRANSITION_ACTIVATE)
        beat = bond.wait("the heartbeat", lambda s: s.active, before)
        assert (beat.id, round(beat.heartbeat_timeout, 3), round(beat.heartbeat_period, 3)) == ("promptseg", 4.0, 0.1)
        manager_side.publish(Status(id="promptseg", instance_id="manager", active=True))
        eventually("more of them", lambda: bond.mark() > before + 5)
        before = bond.mark()
        change(manager, Transition.TRANSITION_DEACTIVATE)
        bond.wait("the end of the bond", lambda s: not s.active, before)
        ended = bond.mark()
    change(manager, Transition.TRANSITION_CLEANUP)
    change(manager, Transition.TRANSITION_UNCONFIGURED_SHUTDOWN)
    assert not any(s.active for s in bond.all(ended))
    assert len({s.instance_id for s in bond.all() if s.instance_id != "manager"}) == 1


def test_ctrl_c_breaks_the_bond(managed: tuple[NodeProcess, Manager, Inbox]) -> None:
    node, manager, bond = managed
    assert manager.change("configure") and manager.change("activate")
    bond.wait("the heartbeat", lambda s: s.active, timeout=START_TIMEOUT)
    node.send(signal.SIGINT)
    assert node.exit_status() == 0
    assert not bond.wait("the end of the bond", lambda s: not s.active).active

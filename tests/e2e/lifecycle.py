"""A lifecycle manager: requests transitions and records them."""

from __future__ import annotations

from typing import Any

from lifecycle_msgs.msg import State, Transition, TransitionEvent
from lifecycle_msgs.srv import ChangeState, GetAvailableStates, GetAvailableTransitions, GetState

from harness import START_TIMEOUT, Inbox, NodeProcess, Peer, eventually

NODE = "/promptseg"


class Manager:
    """The client of a managed node."""

    def __init__(self, peer: Peer, node: str = NODE) -> None:
        self.peer = peer
        self.node = node
        self.events: Inbox = peer.subscribe(TransitionEvent, f"{node}/transition_event")

    def change(self, transition: int | str, timeout: float = START_TIMEOUT) -> bool:
        return self.peer.call(ChangeState, f"{self.node}/change_state", request(transition), timeout).success

    def start_change(self, transition: int | str) -> Any:
        """Requests a transition; returns the future."""
        return self.peer.start_call(ChangeState, f"{self.node}/change_state", request(transition))

    def state(self) -> str:
        state = self.peer.call(GetState, f"{self.node}/get_state", GetState.Request()).current_state
        assert LABELS[state.id] == state.label
        return state.label

    def wait_for(self, state: str) -> None:
        eventually(f"state {state}", lambda: self.state() == state, START_TIMEOUT)

    def states(self) -> dict[int, str]:
        response = self.peer.call(GetAvailableStates, f"{self.node}/get_available_states", GetAvailableStates.Request())
        return {s.id: s.label for s in response.available_states}

    def transitions(self, service: str = "get_available_transitions") -> dict[int, tuple[str, str, str]]:
        request = GetAvailableTransitions.Request()
        response = self.peer.call(GetAvailableTransitions, f"{self.node}/{service}", request)
        return {
            t.transition.id: (t.transition.label, t.start_state.label, t.goal_state.label)
            for t in response.available_transitions
        }

    def history(self, since: int = 0) -> list[tuple[str, str]]:
        """The transitions received so far, as pairs (start state, goal state)."""
        return [(e.start_state.label, e.goal_state.label) for e in self.events.all(since)]

    def connect(self, process: NodeProcess) -> Manager:
        """Waits for the publisher of transitions: DDS discovers each topic at a different time."""

        def discovered() -> bool:
            assert process.is_running(), process.log()
            return self.peer.node.count_publishers(f"{self.node}/transition_event") > 0

        eventually("the publisher of ~/transition_event", discovered, START_TIMEOUT)
        self.state()
        return self


def request(transition: int | str) -> ChangeState.Request:
    match transition:
        case int():
            return ChangeState.Request(transition=Transition(id=transition))
        case str():
            return ChangeState.Request(transition=Transition(label=transition))


LABELS = {
    State.PRIMARY_STATE_UNKNOWN: "unknown",
    State.PRIMARY_STATE_UNCONFIGURED: "unconfigured",
    State.PRIMARY_STATE_INACTIVE: "inactive",
    State.PRIMARY_STATE_ACTIVE: "active",
    State.PRIMARY_STATE_FINALIZED: "finalized",
    State.TRANSITION_STATE_CONFIGURING: "configuring",
    State.TRANSITION_STATE_CLEANINGUP: "cleaningup",
    State.TRANSITION_STATE_SHUTTINGDOWN: "shuttingdown",
    State.TRANSITION_STATE_ACTIVATING: "activating",
    State.TRANSITION_STATE_DEACTIVATING: "deactivating",
    State.TRANSITION_STATE_ERRORPROCESSING: "errorprocessing",
}

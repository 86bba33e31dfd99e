from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass
class ChangeState:
    lifecycle_node_matcher: Callable[[Any], bool]
    transition_id: int


@dataclass
class StateTransition:
    action: Any
    start_state: str
    goal_state: str

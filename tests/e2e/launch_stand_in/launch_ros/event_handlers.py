from __future__ import annotations

from typing import Any

from .events.lifecycle import StateTransition


class OnStateTransition:
    def __init__(self, *, target_lifecycle_node: Any, start_state: str, goal_state: str, entities: list[Any]) -> None:
        self.transition = StateTransition(target_lifecycle_node, start_state, goal_state)
        self.entities = entities

    def entities_for(self, event: Any) -> list[Any]:
        return self.entities if event == self.transition else []

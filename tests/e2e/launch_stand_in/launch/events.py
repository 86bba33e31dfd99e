from __future__ import annotations

from collections.abc import Callable
from typing import Any


def matches_action(action: Any) -> Callable[[Any], bool]:
    return lambda other: other is action

"""A robot with a text model: what the tests of text prompts have in common, fixtures included."""

from __future__ import annotations

from typing import Any

import pytest
from builtin_interfaces.msg import Time
from promptseg_msgs.msg import MaskArray, ObjectMask
from std_msgs.msg import String

from robot import Robot

try:
    from promptseg_msgs.msg import TextPhrase
    from promptseg_msgs.srv import SetText
except ImportError as e:
    raise ImportError("promptseg_msgs has no SetText: build the messages of this version (./dev setup)") from e


@pytest.fixture
def robot(shared_robot: Robot) -> Robot:
    assert shared_robot.process.is_running(), f"the node died in an earlier test:\n{shared_robot.process.log()}"
    end(shared_robot)
    shared_robot.reset()
    shared_robot.set({"text.rate": 30.0})
    return shared_robot


def say(robot: Robot, text: str) -> None:
    robot.peer.publish("text", String(data=text))


def end(robot: Robot) -> None:
    """Ends the search, and waits until the node says so."""
    say(robot, "")
    robot.diagnostics.wait("no phrases", lambda m: values_of(m).get("text phrases") == "none", robot.diagnostics.mark())


def values_of(message: Any) -> dict[str, str]:
    return {v.key: v.value for v in message.status[0].values}


def set_text(robot: Robot, *phrases: Any, stamp: Time | None = None) -> SetText.Response:
    """Phrases are texts, or messages."""
    listed = [TextPhrase(text=p) if isinstance(p, str) else p for p in phrases]
    request = SetText.Request(phrases=listed, stamp=stamp or Time())
    return robot.peer.call(SetText, f"{robot.prefix}/set_text", request)


def classes(answer: MaskArray) -> list[str]:
    return [m.class_id for m in answer.masks]


def named(robot: Robot, *expected: str, since: int, stamp: Time | None = None) -> MaskArray:
    """The first answer with objects of exactly these classes, in any order."""

    def accept(m: MaskArray) -> bool:
        return sorted(classes(m)) == sorted(expected) and (stamp is None or m.header.stamp == stamp)

    return robot.masks.wait(f"masks of {expected}", accept, since)


def mask_of(answer: MaskArray, class_id: str) -> ObjectMask:
    return next(m for m in answer.masks if m.class_id == class_id)

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from . import LaunchContext


class DeclareLaunchArgument:
    def __init__(self, name: str, *, default_value: str | None = None, description: str | None = None) -> None:
        self.name, self.default_value, self.description = name, default_value, description

    def execute(self, context: LaunchContext) -> None:
        if self.name not in context.launch_configurations:
            if self.default_value is None:
                raise RuntimeError(f"Included launch description missing required argument '{self.name}'")
            context.launch_configurations[self.name] = self.default_value


class OpaqueFunction:
    def __init__(self, *, function: Callable[[LaunchContext], list[Any] | None]) -> None:
        self.function = function

    def execute(self, context: LaunchContext) -> list[Any] | None:
        return self.function(context)


class LogInfo:
    def __init__(self, *, msg: str) -> None:
        self.msg = msg

    def execute(self, context: LaunchContext) -> None:
        print(f"[INFO] [launch.user]: {self.msg}", flush=True)


class IncludeLaunchDescription:
    """Includes a description. The arguments stay set for later actions, as with `launch`."""

    def __init__(self, source: Any, *, launch_arguments: Iterable[Iterable[str]] = ()) -> None:
        self.source, self.launch_arguments = source, [tuple(argument) for argument in launch_arguments]

    def execute(self, context: LaunchContext) -> list[Any]:
        for name, value in self.launch_arguments:
            context.launch_configurations[name] = value
        return [self.source.load(context)]


class _Restore:
    def __init__(self, configurations: dict[str, str]) -> None:
        self.configurations = configurations

    def execute(self, context: LaunchContext) -> None:
        context.launch_configurations = self.configurations


class GroupAction:
    def __init__(self, actions: list[Any], *, scoped: bool = True, forwarding: bool = True) -> None:
        self.actions, self.scoped, self.forwarding = actions, scoped, forwarding

    def execute(self, context: LaunchContext) -> list[Any]:
        if not self.scoped:
            return self.actions
        outside = context.launch_configurations
        context.launch_configurations = dict(outside) if self.forwarding else {}
        return [*self.actions, _Restore(outside)]


class RegisterEventHandler:
    def __init__(self, handler: Any) -> None:
        self.handler = handler

    def execute(self, context: LaunchContext) -> None:
        context.handlers.append(self.handler)


class EmitEvent:
    def __init__(self, *, event: Any) -> None:
        self.event = event

    def execute(self, context: LaunchContext) -> None:
        context.events.append(self.event)

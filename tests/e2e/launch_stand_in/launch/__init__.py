"""A stand-in for the parts of `launch` that promptseg's launch files use, if `launch` is not installed.

`launch` is on no package index. The stand-in executes a description: arguments, includes, groups, substitutions, processes,
events. Other parts are errors.
"""

from __future__ import annotations

import collections
import signal
import os
import subprocess
import sys
import time
from typing import Any


class LaunchContext:
    def __init__(self) -> None:
        self.launch_configurations: dict[str, str] = {}
        self.processes: list[Process] = []
        self.handlers: list[Any] = []
        self.events: collections.deque[Any] = collections.deque()


class LaunchDescription:
    def __init__(self, entities: list[Any]) -> None:
        self.entities = entities

    def execute(self, context: LaunchContext) -> list[Any]:
        return self.entities


def visit(entity: Any, context: LaunchContext) -> None:
    for inner in entity.execute(context) or []:
        visit(inner, context)


class Process:
    """A process; with `respawn`, it is started again `respawn_delay` seconds after its end."""

    def __init__(self, command: list[str], environment: dict[str, str], respawn: bool, respawn_delay: float) -> None:
        self.command, self.environment, self.respawn, self.respawn_delay = command, environment, respawn, respawn_delay
        self.start()

    def start(self) -> None:
        self.running = subprocess.Popen(self.command, env=os.environ | self.environment)
        self.ended_at: float | None = None

    def is_over(self, shutting_down: bool) -> bool:
        if self.running.poll() is None:
            return False
        if shutting_down or not self.respawn:
            return True
        self.ended_at = self.ended_at or time.monotonic()
        if time.monotonic() - self.ended_at >= self.respawn_delay:
            self.start()
        return False


class LaunchService:
    def __init__(self, noninteractive: bool = False) -> None:
        self.context = LaunchContext()
        self.descriptions: list[LaunchDescription] = []
        self.shutting_down = False

    def include_launch_description(self, description: LaunchDescription) -> None:
        self.descriptions.append(description)

    def run(self) -> int:
        signal.signal(signal.SIGINT, self._interrupt)
        try:
            for description in self.descriptions:
                visit(description, self.context)
        except Exception as error:
            # Started processes keep running, as with `launch`.
            print(f"[ERROR] [launch]: Caught exception in launch (see debug for traceback): {error}", file=sys.stderr)
            return 1
        while not all([process.is_over(self.shutting_down) for process in self.context.processes]):
            while self.context.events:
                event = self.context.events.popleft()
                for handler in self.context.handlers:
                    for entity in handler.entities_for(event):
                        visit(entity, self.context)
            time.sleep(0.02)
        return 0

    def _interrupt(self, *_: Any) -> None:
        if not self.shutting_down:
            self.shutting_down = True
            for process in self.context.processes:
                if process.running.poll() is None:
                    process.running.send_signal(signal.SIGINT)

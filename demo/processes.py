"""Starts and stops the processes of the demo, and forwards their output."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Ports of domains above 101 overlap with Linux's ephemeral ports.
DOMAINS = range(1, 102)


def find_node() -> Path | None:
    """Finds the node's executable: PROMPTSEG_NODE, or the newest build in cargo's target folder."""
    if named := os.environ.get("PROMPTSEG_NODE"):
        return Path(named)
    target = Path(os.environ.get("CARGO_TARGET_DIR", HERE.parent / "target"))
    builds = [target / profile / "promptseg_node" for profile in ("release", "debug")]
    return max((b for b in builds if b.is_file()), key=lambda b: b.stat().st_mtime, default=None)


def unused_domain() -> int:
    """Finds a ROS domain that no other process on this machine uses: its first port is free."""
    for domain in random.sample(DOMAINS, len(DOMAINS)):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("", 7400 + 250 * domain + 10))
            except OSError:
                continue
            return domain
    return random.choice(DOMAINS)


class Process:
    """A process of the demo. Each line of its output is passed to `on_line(name, line)`."""

    def __init__(self, name: str, command: Sequence[str | Path], on_line: Callable[[str, str], None]) -> None:
        self.name = name
        # A new session: Ctrl-C reaches only the demo, which then stops its processes in order.
        self._process = subprocess.Popen(
            [str(part) for part in command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, args=(on_line,), daemon=True)
        self._reader.start()

    def _read(self, on_line: Callable[[str, str], None]) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            on_line(self.name, line.rstrip("\n"))

    def exit_status(self) -> int | None:
        return self._process.poll()

    def interrupt(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)

    def finish(self, deadline: float) -> None:
        """Waits until the deadline (monotonic), then kills the process."""
        try:
            self._process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(timeout=1.0)


class ProcessGroup:
    """All processes of the demo. The end of the `with` block stops them."""

    def __init__(self, on_line: Callable[[str, str], None]) -> None:
        self._on_line = on_line
        self._members: list[Process] = []

    def __enter__(self) -> ProcessGroup:
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._members):
            process.interrupt()
        deadline = time.monotonic() + 4.0
        for process in self._members:
            process.finish(deadline)

    def start(self, name: str, command: Sequence[str | Path]) -> Process:
        process = Process(name, command, self._on_line)
        self._members.append(process)
        return process

    def start_script(self, name: str, script: str, *args: str | Path) -> Process:
        return self.start(name, [sys.executable, HERE / script, *args])

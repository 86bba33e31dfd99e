"""The demo's processes: start them, pass on what they say, and leave none behind."""

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
# The Linux kernel's ephemeral ports begin above the ports of domain 101.
DOMAINS = range(1, 102)


def find_node() -> Path | None:
    """The node's executable: PROMPTSEG_NODE, or the newest one in cargo's target folder."""
    if given := os.environ.get("PROMPTSEG_NODE"):
        return Path(given)
    target = Path(os.environ.get("CARGO_TARGET_DIR", HERE.parent / "target"))
    built = [target / profile / "promptseg_node" for profile in ("release", "debug")]
    return max((b for b in built if b.is_file()), key=lambda b: b.stat().st_mtime, default=None)


def domain_of_its_own() -> int:
    """A ROS domain that no other process of this machine is in: its first port is free."""
    for domain in random.sample(DOMAINS, len(DOMAINS)):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("", 7400 + 250 * domain + 10))
            except OSError:
                continue
            return domain
    return random.choice(DOMAINS)


class Process:
    """One process of the demo. Its output is given to `say`, line by line."""

    def __init__(self, name: str, command: Sequence[str | Path], say: Callable[[str, str], None]) -> None:
        self.name = name
        # A session of its own: Ctrl-C reaches the demo only, which then stops everything in order.
        self._process = subprocess.Popen(
            [str(part) for part in command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, args=(say,), daemon=True)
        self._reader.start()

    def _read(self, say: Callable[[str, str], None]) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            say(self.name, line.rstrip("\n"))

    def exit_status(self) -> int | None:
        return self._process.poll()

    def interrupt(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)

    def finish(self, deadline: float) -> None:
        """Waits until the deadline (monotonic), then kills."""
        try:
            self._process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(timeout=1.0)


class Family:
    """All processes of the demo; leaving the `with` block ends every one of them."""

    def __init__(self, say: Callable[[str, str], None]) -> None:
        self._say = say
        self._members: list[Process] = []

    def __enter__(self) -> Family:
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._members):
            process.interrupt()
        deadline = time.monotonic() + 4.0
        for process in self._members:
            process.finish(deadline)

    def start(self, name: str, command: Sequence[str | Path]) -> Process:
        process = Process(name, command, self._say)
        self._members.append(process)
        return process

    def start_script(self, name: str, script: str, *args: str | Path) -> Process:
        return self.start(name, [sys.executable, HERE / script, *args])

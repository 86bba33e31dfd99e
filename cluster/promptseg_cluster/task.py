"""A task of the cluster: one run of `promptseg label` on one node."""

from __future__ import annotations

import ctypes
import fcntl
import os
import shlex
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptseg_cluster.model import unpack

# How long a task waits for the process of an earlier attempt to be gone.
PATIENCE = 60.0
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


@dataclass(frozen=True)
class SentModel:
    """A model in Ray's object store. The reference is in a list, so that Ray does not send the archive with every task."""

    name: str
    digest: str
    archive: list[Any]


@dataclass(frozen=True)
class Run:
    """A run of `promptseg label`."""

    name: str
    program: str
    arguments: tuple[str, ...]
    out: str
    log: str


@dataclass(frozen=True)
class Outcome:
    code: int
    node: str
    fetched: bool
    last_line: str


def label(run: Run, model: SentModel | None) -> Outcome:
    """Runs `promptseg label` on this node. A run that another node began goes on behind its last record."""
    import ray

    node = ray.get_runtime_context().get_node_id()
    command, fetched = [run.program, "label", *run.arguments, "--out", run.out], False
    if model is not None:
        path, fetched = unpack(model.name, model.digest, lambda: ray.get(model.archive[0]))
        command += ["--model", str(path)]
    wait_until_free(Path(run.out))
    log = Path(run.log)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file:
        file.write(f"node {node}{', model fetched' if fetched else ''}: {shlex.join(command)}\n")
        file.flush()
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=file, preexec_fn=die_with_parent
            )
            code = done.returncode
        except OSError as e:
            file.write(f"{run.program}: {e}\n")
            code = 127
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return Outcome(code, node, fetched, lines[-1])


def die_with_parent() -> None:
    """Ends the process with the worker that started it: otherwise a worker that was killed would leave it running."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def wait_until_free(out: Path) -> None:
    """Waits until no process of an earlier attempt works on a folder."""
    if not out.is_dir():
        return
    folder = os.open(out, os.O_RDONLY)
    try:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                time.sleep(0.1)
            except OSError:
                # Some network file systems have no locks.
                return
    finally:
        os.close(folder)

"""The model on the nodes of a cluster: packed once, sent to each node once, and unpacked into a cache of the node."""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path


def pack(path: Path) -> bytes:
    """A tar archive of a bundle or a file. The same files give the same bytes."""
    content = io.BytesIO()
    files = sorted(f for f in path.rglob("*") if f.is_file()) if path.is_dir() else [path]
    with tarfile.open(fileobj=content, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for file in files:
            name = Path(path.name) / file.relative_to(path)
            entry = tarfile.TarInfo(str(name))
            entry.size = file.stat().st_size
            with file.open("rb") as source:
                archive.addfile(entry, source)
    return content.getvalue()


def digest(archive: bytes) -> str:
    return hashlib.sha256(archive).hexdigest()


def cache() -> Path:
    """The folder of a node's models."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "promptseg" / "models"


def unpack(name: str, digest: str, fetch: Callable[[], bytes]) -> tuple[Path, bool]:
    """The path of the model on this node, and whether it was fetched now. `fetch` returns the archive."""
    root = cache()
    root.mkdir(parents=True, exist_ok=True)
    folder = root / digest
    # Several tasks may start on a node at once.
    with (root / f"{digest}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.is_dir():
            return folder / name, False
        partial = root / f"{digest}.part"
        shutil.rmtree(partial, ignore_errors=True)
        with tarfile.open(fileobj=io.BytesIO(fetch())) as archive:
            archive.extractall(partial, filter="data")
        partial.rename(folder)
    return folder / name, True

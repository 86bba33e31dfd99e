"""The stub of ONNX Runtime (tests/stub_onnxruntime) with TensorRT and CUDA, whose failures a test controls."""

from __future__ import annotations

import os
from pathlib import Path

from harness import find_node

OUT_OF_MEMORY = "CUDA failure 2: out of memory"


class Runtime:
    """Environment of a node that loads the stub, and the control of the stub's behaviour."""

    def __init__(self, folder: Path) -> None:
        self._behaviour = folder / "behaviour"
        self.set_behaviour()
        stub = find_node().parent / "examples" / "libstub_onnxruntime.so"
        assert stub.is_file(), f"{stub} does not exist: run cargo build --example stub_onnxruntime (./dev test does)"
        libraries = folder / "nvidia"
        libraries.mkdir()
        for library in ("libnvinfer.so.10", "libcuda.so.1"):
            (libraries / library).symlink_to(stub)
        paths = [str(libraries), os.environ.get("LD_LIBRARY_PATH", "")]
        self.env = {
            "ORT_DYLIB_PATH": str(stub),
            "STUB_REAL": os.environ["ORT_DYLIB_PATH"],
            "STUB": f"@{self._behaviour}",
            "XDG_CACHE_HOME": str(folder / "caches"),
            "LD_LIBRARY_PATH": ":".join(p for p in paths if p),
        }

    def set_behaviour(self, behaviour: str = "") -> None:
        """Sets the behaviour of the stub from now on, in the syntax of the stub; without failures by default."""
        partial = self._behaviour.with_suffix(".new")
        partial.write_text(behaviour)
        partial.replace(self._behaviour)

"""ONNX Runtime that fails as a test says: tests/stub_onnxruntime, with TensorRT and CUDA, in the place of the library."""

from __future__ import annotations

import os
from pathlib import Path

from harness import find_node

OUT_OF_MEMORY = "CUDA failure 2: out of memory"


class Runtime:
    def __init__(self, folder: Path) -> None:
        self._behaviour = folder / "behaviour"
        self.fails()
        stub = find_node().parent / "examples" / "libstub_onnxruntime.so"
        assert stub.is_file(), f"no {stub}: cargo build --example stub_onnxruntime (./dev test does)"
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

    def fails(self, how: str = "") -> None:
        """From now on; how, in the words of the stub. Nothing: it works."""
        written = self._behaviour.with_suffix(".new")
        written.write_text(how)
        written.replace(self._behaviour)

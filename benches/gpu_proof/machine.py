"""The environment in which `promptseg` runs: a kit on a machine with a GPU, or a simulated GPU."""

from __future__ import annotations

import os
from pathlib import Path

from kit import KitError


def with_gpu(kit: Path | None, folder: Path) -> dict[str, str]:
    """Program and libraries of the kit; without a kit those of PROMPTSEG_CLI and ORT_DYLIB_PATH."""
    environment = dict(os.environ)
    if kit:
        library = kit / "lib/libonnxruntime.so"
        for needed in (kit / "promptseg", library):
            if not needed.is_file():
                raise KitError(f"{needed} does not exist; --receive every part of the kit first")
        environment |= {"PROMPTSEG_CLI": str(kit / "promptseg"), "ORT_DYLIB_PATH": str(library)}
        paths = [str(kit / "lib"), os.environ.get("LD_LIBRARY_PATH", "")]
        environment["LD_LIBRARY_PATH"] = ":".join(filter(None, paths))
    for name in ("PROMPTSEG_CLI", "ORT_DYLIB_PATH"):
        if not environment.get(name):
            raise KitError(f"{name} is not set; give --kit, the folder of a kit (./dev gpu-proof --help)")
    environment["XDG_CACHE_HOME"] = str(folder / "caches")
    return environment


def simulated(folder: Path) -> dict[str, str]:
    """tests/stub_onnxruntime in place of ONNX Runtime, TensorRT and CUDA's driver. STUB sets its behaviour."""
    for name in ("PROMPTSEG_CLI", "PROMPTSEG_STUB", "ORT_DYLIB_PATH"):
        if not os.environ.get(name):
            raise KitError(f"{name} is not set; run ./dev gpu-proof --rehearse, which sets it")
    stub = os.environ["PROMPTSEG_STUB"]
    libraries = folder / "nvidia"
    libraries.mkdir()
    for name in ("libnvinfer.so.10", "libcuda.so.1"):
        (libraries / name).symlink_to(stub)
    paths = [str(libraries), os.environ.get("LD_LIBRARY_PATH", "")]
    return os.environ | {
        "STUB": os.environ.get("STUB", ""),
        "STUB_REAL": os.environ["ORT_DYLIB_PATH"],
        "ORT_DYLIB_PATH": stub,
        "LD_LIBRARY_PATH": ":".join(filter(None, paths)),
        "XDG_CACHE_HOME": str(folder / "caches"),
    }

"""The environment in which `promptseg` runs: a kit on a machine with a GPU, or a simulated GPU."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from kit import KitError


def with_gpu(kit: Path | None, folder: Path) -> dict[str, str]:
    """Program and libraries of the kit; without a kit those of PROMPTSEG_CLI and ORT_DYLIB_PATH."""
    environment = os.environ | (of_kit(kit) if kit else {})
    for name in ("PROMPTSEG_CLI", "ORT_DYLIB_PATH"):
        if not environment.get(name):
            raise KitError(f"{name} is not set; give --kit, the folder of a kit (./dev gpu-proof --help)")
    # After everything else: CUDA's libraries in Python packages, for a machine where they are not installed otherwise.
    packaged = sorted({str(found) for entry in sys.path for found in Path(entry).glob("nvidia/*/lib")})
    environment["LD_LIBRARY_PATH"] = ":".join(filter(None, [environment.get("LD_LIBRARY_PATH", ""), *packaged]))
    environment["XDG_CACHE_HOME"] = str(folder / "caches")
    return environment


def of_kit(kit: Path) -> dict[str, str]:
    """Program and libraries of a kit."""
    library = kit / "lib/libonnxruntime.so"
    for needed in (kit / "promptseg", library):
        if not needed.is_file():
            raise KitError(f"{needed} does not exist; --receive every part of the kit first")
    return {"PROMPTSEG_CLI": str(kit / "promptseg"), "ORT_DYLIB_PATH": str(library), "LD_LIBRARY_PATH": before_others(kit / "lib")}


def simulated(kit: Path | None, folder: Path) -> dict[str, str]:
    """tests/stub_onnxruntime in place of TensorRT, CUDA and the driver. STUB sets its behaviour.

    Program and ONNX Runtime, which computes on the CPU, are those of the kit, or of PROMPTSEG_CLI and ORT_DYLIB_PATH.
    """
    environment = os.environ | (of_kit(kit) if kit else {})
    for name in ("PROMPTSEG_CLI", "PROMPTSEG_STUB", "ORT_DYLIB_PATH"):
        if not environment.get(name):
            raise KitError(f"{name} is not set; run ./dev gpu-proof --rehearse, which sets it")
    stub = environment["PROMPTSEG_STUB"]
    libraries = folder / "nvidia"
    libraries.mkdir()
    for name in ("libnvinfer.so.10", "libcuda.so.1"):
        (libraries / name).symlink_to(stub)
    return environment | {
        "STUB": environment.get("STUB", ""),
        "STUB_REAL": environment["ORT_DYLIB_PATH"],
        "ORT_DYLIB_PATH": stub,
        "LD_LIBRARY_PATH": before_others(libraries),
        "XDG_CACHE_HOME": str(folder / "caches"),
    }


def before_others(folder: Path) -> str:
    """LD_LIBRARY_PATH with a folder in front."""
    return ":".join(filter(None, [str(folder), os.environ.get("LD_LIBRARY_PATH", "")]))

"""The kit for a machine without a network: program, models and libraries in one archive, cut into parts that are carried one by one."""

from __future__ import annotations

import fnmatch
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import plan

LIST, PARTS = "kit.json", "parts"
# A part and the files of a checkout, 50 MB, travel together in a load of at most 64 MiB.
PART_MB = 16
# Wheels, and the files of each that the kit takes: ONNX Runtime, and CUDA 13.0 for drivers from 580 on.
RUNTIME = {"onnxruntime-gpu==1.31.1": ["libonnxruntime.so*", "libonnxruntime_providers_*.so"]}
CUDA = {
    "nvidia-cuda-runtime==13.0.96": ["libcudart.so.*"],
    "nvidia-cublas==13.1.0.3": ["libcublas.so.*", "libcublasLt.so.*"],
    "nvidia-cudnn-cu13==9.15.1.9": ["libcudnn*.so.*"],
    "nvidia-cufft==12.0.0.61": ["libcufft.so.*"],
    "nvidia-curand==10.4.0.35": ["libcurand.so.*"],
    "nvidia-cuda-nvrtc==13.0.88": ["libnvrtc*.so.*"],
}

# Libraries of NVIDIA's driver, which the GPU machine has.
DRIVER = ["libcuda.so.*", "libnvidia-*.so.*"]
# Files of TensorRT, whose libraries are on no public package index. The parts for other compute capabilities than {sm} are left out.
TENSORRT = ["libnvinfer.so.*", "libnvinfer_builder_resource*sm{sm}*", "libnvinfer_plugin.so.*", "libnvonnxparser.so.*"]


class KitError(Exception):
    """A kit cannot be made or used, with the reason in words."""


class Parts(io.RawIOBase):
    """A file that is cut into parts of at most `most` bytes."""

    def __init__(self, folder: Path, most: int) -> None:
        self.folder, self.most, self.entries = folder, most, []
        self.part, self.room, self.hash = None, 0, hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        rest = memoryview(data)
        while rest:
            if not self.room:
                self.end_part()
                name = f"part-{len(self.entries) + 1:03}"
                self.part, self.room, self.hash = (self.folder / name).open("wb"), self.most, hashlib.sha256()
            taken = rest[: self.room]
            self.part.write(taken)
            self.hash.update(taken)
            self.room -= len(taken)
            rest = rest[len(taken) :]
        return len(data)

    def end_part(self) -> None:
        if self.part:
            path = Path(self.part.name)
            self.part.close()
            self.entries.append({"name": path.name, "bytes": path.stat().st_size, "sha256": self.hash.hexdigest()})
            self.part, self.room = None, 0

    def close(self) -> None:
        self.end_part()
        super().close()


class Joined(io.RawIOBase):
    """The parts, one after the other, as one file."""

    def __init__(self, files: Iterable[Path]) -> None:
        self.files, self.current = iter(files), None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        while True:
            if self.current is None:
                following = next(self.files, None)
                if following is None:
                    return 0
                self.current = following.open("rb")
            if count := self.current.readinto(buffer):
                return count
            self.current.close()
            self.current = None


def pack(folder: Path, models: list[str], most: int, tensorrt: Path | None, capability: str, with_cuda: bool) -> None:
    """Makes the archive of a kit: the program PROMPTSEG_CLI, the models and the libraries."""
    program = Path(os.environ.get("PROMPTSEG_CLI", ""))
    if not program.is_file():
        raise KitError("PROMPTSEG_CLI names no program; run ./dev gpu-proof --pack, which builds it")
    with tempfile.TemporaryDirectory(prefix="promptseg-kit-") as work:
        library = fetch(Path(work), RUNTIME | CUDA if with_cuda else RUNTIME)
        add_tensorrt(library, tensorrt, capability)
        of_cuda = [pattern for patterns in CUDA.values() for pattern in patterns]
        refuse_gaps(library, absent=[*([] if tensorrt else TENSORRT), *([] if with_cuda else of_cuda)])
        exported = export(folder / "models", models)
        libraries = [(path, f"lib/{path.name}") for path in sorted(library.iterdir())]
        write(folder, most, [(program, "promptseg"), *libraries, *((path, f"models/{path.name}") for path in exported)])


def add_tensorrt(library: Path, folder: Path | None, capability: str) -> None:
    """Copies TensorRT's libraries, in the version that ONNX Runtime was built with."""
    provider = (library / "libonnxruntime_providers_tensorrt.so").read_bytes()
    needed = re.search(rb"libnvinfer\.so\.\d+", provider)
    name = needed[0].decode() if needed else "libnvinfer.so"
    if folder is None:
        print(f"without TensorRT: its rows will fail; --tensorrt names a folder with {name} and the libraries beside it", file=sys.stderr)
        return
    if not (folder / name).exists():
        raise KitError(f"{folder} has no {name}, which this ONNX Runtime needs")
    for pattern in TENSORRT:
        matching = sorted(folder.glob(pattern.format(sm=capability)))
        if not matching:
            raise KitError(f"{folder} has no file {pattern.format(sm=capability)}")
        # The names that the loader asks for (libnvinfer.so.10) are links to files with the whole version.
        for path in matching:
            if not (library / path.name).exists():
                shutil.copy(path, library)


def refuse_gaps(folder: Path, absent: list[str]) -> None:
    """Refuses libraries that name a library which is neither in the folder nor on this machine. `absent` may be missing."""
    gaps = set()
    for path in sorted(folder.iterdir()):
        command = ["ldd", str(path)]
        found = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"LD_LIBRARY_PATH": str(folder)})
        for name in re.findall(r"^\s*(\S+) => not found", found.stdout, re.MULTILINE):
            if not any(fnmatch.fnmatch(name, pattern) for pattern in [*DRIVER, *absent]):
                gaps.add(f"{path.name} needs {name}")
    if gaps:
        raise KitError(f"the kit would lack libraries: {', '.join(sorted(gaps))}; add their wheels to CUDA in {Path(__file__).name}")


def fetch(work: Path, wheels: dict[str, list[str]]) -> Path:
    """Downloads wheels and returns a folder of their libraries."""
    (library := work / "lib").mkdir()
    for wheel, patterns in wheels.items():
        print(f"fetching {wheel} ...", file=sys.stderr)
        command = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:",
                   "--python-version", "3.12", "--platform", "manylinux_2_28_x86_64", "--platform", "manylinux_2_27_x86_64",
                   "--platform", "manylinux2014_x86_64", "--dest", str(work), wheel]  # fmt: skip
        if subprocess.run(command).returncode:
            raise KitError(f"{wheel} cannot be fetched (see above)")
        (file,) = work.glob("*.whl")
        take(file, patterns, library)
        file.unlink()
    versioned = next(library.glob("libonnxruntime.so.*"))
    versioned.rename(library / "libonnxruntime.so")
    return library


def take(wheel: Path, patterns: list[str], folder: Path) -> None:
    """Extracts the libraries that the patterns name. Each pattern must match a file."""
    with zipfile.ZipFile(wheel) as archive:
        for pattern in patterns:
            matching = [entry for entry in archive.infolist() if fnmatch.fnmatch(Path(entry.filename).name, pattern)]
            if not matching:
                raise KitError(f"{wheel.name} has no file {pattern}")
            for entry in matching:
                with archive.open(entry) as source, (folder / Path(entry.filename).name).open("wb") as target:
                    shutil.copyfileobj(source, target)


def export(folder: Path, models: list[str]) -> list[Path]:
    """Exports models with random weights, those that are missing, in fp32 and fp16. Returns their folders."""
    exported = {name: source for name, source in plan.EXPORTED.items() if name in models}
    for name, (family, model) in exported.items():
        if (folder / name / "bundle.json").is_file():
            continue
        print(f"exporting {name} with random weights ...", file=sys.stderr)
        shutil.rmtree(folder / f"{name}.new", ignore_errors=True)
        command = [sys.executable, "-W", "ignore", "-m", "promptseg_export", family, "--model", model, "--random-weights", "1",
                   "--variants", "fp32,fp16", str(folder / f"{name}.new")]  # fmt: skip
        if subprocess.run(command, stdout=subprocess.DEVNULL).returncode:
            raise KitError(f"{name} cannot be exported (see above)")
        (folder / f"{name}.new").rename(folder / name)
    return [folder / name for name in exported]


def write(folder: Path, most: int, content: list[tuple[Path, str]]) -> None:
    """Writes an archive of files and folders, with their names in it, as parts and their list."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("part-*"):
        old.unlink()
    print("packing ...", file=sys.stderr)
    with closing(Parts(folder, most)) as parts, tarfile.open(fileobj=parts, mode="w:xz", preset=6) as archive:
        for path, name in content:
            archive.add(path, name)
    (folder / LIST).write_text(json.dumps({"parts": parts.entries}, indent=1) + "\n")
    total = sum(entry["bytes"] for entry in parts.entries)
    print(f"{len(parts.entries)} parts, {total / 1e6:.0f} MB, in {folder}; carry each with {LIST}")


def receive(source: Path, folder: Path) -> bool:
    """Takes the parts in `source` over. Unpacks them and returns True when none is missing any more."""
    entries = read_list(source)
    kept = folder / PARTS
    kept.mkdir(parents=True, exist_ok=True)
    for entry in entries:
        arrived = source / entry["name"]
        if arrived.is_file() and not is_whole(kept / entry["name"], entry):
            if not is_whole(arrived, entry):
                raise KitError(f"{arrived} is damaged: its SHA-256 is not that of {LIST}; carry it again")
            shutil.copy(arrived, kept / entry["name"])
    missing = [entry["name"] for entry in entries if not is_whole(kept / entry["name"], entry)]
    print(f"{len(entries) - len(missing)} of {len(entries)} parts are in {kept}")
    if missing:
        print(f"missing: {', '.join(missing)}")
        return False
    files = (kept / entry["name"] for entry in entries)
    with tarfile.open(fileobj=io.BufferedReader(Joined(files), 1 << 20), mode="r|xz") as archive:
        safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(folder, **safely)
    print(f"unpacked: ./dev gpu-proof --kit {folder}")
    return True


def read_list(folder: Path) -> list[dict]:
    path = folder / LIST
    try:
        entries = json.loads(path.read_text())["parts"]
        if entries and all(Path(entry["name"]).name == entry["name"] and entry["sha256"] for entry in entries):
            return entries
        raise KeyError("parts")
    except OSError as error:
        raise KitError(f"{path}: {error.strerror}; carry it with the parts") from None
    except (ValueError, KeyError, TypeError):
        raise KitError(f"{path} is not the list of a kit's parts") from None


def is_whole(file: Path, entry: dict) -> bool:
    return file.is_file() and hash_of(file) == entry["sha256"]


def hash_of(file: Path) -> str:
    total = hashlib.sha256()
    for block in blocks(file):
        total.update(block)
    return total.hexdigest()


def blocks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as source:
        while block := source.read(1 << 20):
            yield block

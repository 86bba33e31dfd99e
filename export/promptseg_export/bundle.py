"""Writes bundles: the files, and bundle.json with the size and SHA-256 of each file."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FORMAT = 2
PROMPT_SIZE_FORMAT = 3
"""The format of a bundle with the field `prompt_size`, which older versions of promptseg would ignore."""
DESCRIPTION = "bundle.json"
ENCODER = "image_encoder.onnx"
DECODER = "mask_decoder.onnx"
PROMPT_ENCODER = "prompt_encoder.safetensors"
MEMORY_ATTENTION = "memory_attention.onnx"
MEMORY_ENCODER = "memory_encoder.onnx"
MEMORY = "memory.safetensors"
STAGING = ".partial"
"""Folder within the output folder, in which a bundle is made."""
INLINE = 1_800_000_000
"""Largest size of weights, in bytes, stored in the file of the graph: protobuf files end at 2 GiB."""
SUFFIXES = (".onnx", ".data", ".safetensors", ".json")


def variant_of(name: str, precision: str) -> str:
    """The file name of a graph in a precision."""
    return name if precision == "fp32" else name.replace(".onnx", f".{precision}.onnx")


def levels_of(name: str) -> str:
    """The file name of an image encoder that takes levels in 8 bits."""
    return name.replace(".onnx", ".u8.onnx")


def entry(path: Path) -> dict:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return {"sha256": digest.hexdigest(), "bytes": path.stat().st_size}


class Unreadable(Exception):
    """A folder is no bundle, or its description is damaged."""


def read_description(folder: Path) -> dict:
    """Reads bundle.json. Each description has variants, as those of bundles that list none are fp32 alone.

    Raises `Unreadable` with the reason.
    """
    try:
        fields = json.loads((folder / DESCRIPTION).read_text())
        if not fields.get("variants"):
            fields["variants"] = [plain_variant(fields)]
    except (OSError, ValueError, AttributeError, TypeError) as e:
        raise Unreadable(f"{folder} is not a bundle: {DESCRIPTION}: {e}") from e
    return fields


def plain_variant(fields: dict) -> dict:
    variant = {"precision": "fp32", "encoder": ENCODER, "decoder": DECODER}
    if "memory" in fields:
        variant |= {"memory_attention": MEMORY_ATTENTION, "memory_encoder": MEMORY_ENCODER}
    return {**variant, "providers": ["tensorrt", "cuda", "openvino", "cpu"], "parity": fields.get("parity", {})}


def remove(graph: Path) -> None:
    """Removes a graph and its external weights."""
    for path in graph.parent.glob(f"{graph.name}*"):
        path.unlink()


def write_description(folder: Path, fields: dict, version: int = FORMAT) -> None:
    files = {path.name: entry(path) for path in sorted(folder.iterdir()) if path.name != DESCRIPTION}
    if "prompt_size" in fields:
        version = max(version, PROMPT_SIZE_FORMAT)
    text = json.dumps({"format": version, **fields, "files": files}, indent=2)
    (folder / DESCRIPTION).write_text(text + "\n")


def listed_files(folder: Path) -> set:
    """The existing files that the bundle.json of a folder lists. Empty if bundle.json is missing or damaged."""
    try:
        names = json.loads((folder / DESCRIPTION).read_text())["files"]
        return {name for name in names if Path(name).name == name and (folder / name).is_file()}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def unusable(out: Path) -> str | None:
    """The reason why a bundle cannot be written to a folder, or None."""
    if out.exists() and not out.is_dir():
        return f"{out} is a file, expected a folder or an unused name"
    if foreign := foreign_files(out):
        return f"{out} holds {', '.join(foreign)} and is no bundle, expected a bundle to replace or a name that is free"
    return None


def foreign_files(out: Path) -> list:
    """Models in a folder that is neither a bundle nor an export that was interrupted: an export would replace them."""
    if not out.is_dir() or (out / DESCRIPTION).exists() or (out / STAGING).exists():
        return []
    return sorted(path.name for path in out.iterdir() if path.suffix in (".onnx", ".data", ".safetensors"))


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """A folder in which a bundle for `out` is made, and which replaces it at the end. After an error `out` is unchanged."""
    out = out.resolve()
    new = not out.exists()
    # A folder inside `out` is on the same file system, also if `out` is a mount point or a link.
    staging = out / STAGING
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    try:
        yield staging
    except BaseException:
        shutil.rmtree(out if new else staging, ignore_errors=True)
        raise
    # If the move fails, the finished bundle stays in the staging folder.
    move(staging, out)


def move(staging: Path, out: Path) -> None:
    """Moves a finished bundle to `out`, replacing an older bundle.

    bundle.json is deleted first and written last, so that a folder with bundle.json is always complete.
    """
    names = {path.name for path in staging.iterdir()}
    stale = listed_files(out) - names

    def put(name: str) -> None:
        (staging / name).chmod(0o644)
        (staging / name).replace(out / name)

    (out / DESCRIPTION).unlink(missing_ok=True)
    for name in sorted(names - {DESCRIPTION}):
        put(name)
    for name in stale:
        (out / name).unlink(missing_ok=True)
    put(DESCRIPTION)
    staging.rmdir()

"""Writing a bundle: its files, and bundle.json with the size and SHA-256 of each."""

import hashlib
import json
from pathlib import Path

FORMAT = 2
DESCRIPTION = "bundle.json"
ENCODER = "image_encoder.onnx"
DECODER = "mask_decoder.onnx"
PROMPT_ENCODER = "prompt_encoder.safetensors"
MEMORY_ATTENTION = "memory_attention.onnx"
MEMORY_ENCODER = "memory_encoder.onnx"
MEMORY = "memory.safetensors"
SUFFIXES = (".onnx", ".data", ".safetensors", ".json")


def variant_of(name: str, precision: str) -> str:
    """The file name of a graph in a precision."""
    return name if precision == "fp32" else name.replace(".onnx", f".{precision}.onnx")


def entry(path: Path) -> dict:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return {"sha256": digest.hexdigest(), "bytes": path.stat().st_size}


def write_description(folder: Path, fields: dict) -> None:
    files = {path.name: entry(path) for path in sorted(folder.iterdir()) if path.name != DESCRIPTION}
    text = json.dumps({"format": FORMAT, **fields, "files": files}, indent=2)
    (folder / DESCRIPTION).write_text(text + "\n")


def listed(folder: Path) -> set:
    """The files of the bundle in a folder; none where there is no description, or one that is damaged."""
    try:
        names = json.loads((folder / DESCRIPTION).read_text())["files"]
        return {name for name in names if Path(name).name == name and (folder / name).is_file()}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def move(made: Path, out: Path) -> None:
    """Puts a finished bundle where it belongs, in place of one that is there; bundle.json is the first to go and the
    last to come, so that a folder with one is complete."""
    names = {path.name for path in made.iterdir()}
    stale = listed(out) - names

    def put(name: str) -> None:
        (made / name).chmod(0o644)
        (made / name).replace(out / name)

    (out / DESCRIPTION).unlink(missing_ok=True)
    for name in sorted(names - {DESCRIPTION}):
        put(name)
    for name in stale:
        (out / name).unlink(missing_ok=True)
    put(DESCRIPTION)
    made.rmdir()

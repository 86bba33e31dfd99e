"""Writing a bundle: its files, and bundle.json with the size and SHA-256 of each."""

import hashlib
import json
from pathlib import Path

FORMAT = 1
DESCRIPTION = "bundle.json"
ENCODER = "image_encoder.onnx"
DECODER = "mask_decoder.onnx"
PROMPT_ENCODER = "prompt_encoder.safetensors"


def entry(path: Path) -> dict:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return {"sha256": digest.hexdigest(), "bytes": path.stat().st_size}


def write_description(folder: Path, fields: dict) -> None:
    """Writes bundle.json last, so that a folder with one is complete."""
    files = {name: entry(folder / name) for name in (ENCODER, DECODER, PROMPT_ENCODER) if (folder / name).exists()}
    text = json.dumps({"format": FORMAT, **fields, "files": files}, indent=2)
    (folder / DESCRIPTION).write_text(text + "\n")

"""The measured models and photos. The bundles have random weights, which take the same time as trained weights."""

import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[2]
PHOTO = ROOT / "tests/golden/flower.png"
SEED = 1


@dataclass(frozen=True)
class Exported:
    """A model of `promptseg-export`, with the names of the command line."""

    family: str
    model: str
    precisions: str = "fp32"
    official: bool = False
    """Whether to also write Meta's own export of the decoder, which other programs need."""


MODELS = {
    "mobilesam": Exported("mobile-sam", "vit_tiny", "fp32,int8", official=True),
    "sam2.1_tiny": Exported("sam2.1", "hiera_tiny", "fp32,int8"),
    "edgetam": Exported("edgetam", "repvit_m1"),
    "owlv2_base": Exported("owlv2", "base"),
    "sam3": Exported("sam3", "true"),
}
TEXT_FAMILIES = ("owlv2", "sam3")
"""Families of text models, which have one precision."""
OFFICIAL = "official_mask_decoder.onnx"


def key(model: Exported) -> str:
    exporter = sorted((ROOT / "export/promptseg_export").glob("*.py"))
    content = b"".join(path.read_bytes() for path in exporter)
    return hashlib.sha256(content + repr((model, SEED)).encode()).hexdigest()


def bundle(name: str, work: Path, log) -> Path:
    """The folder of a bundle, exported first if it is missing or was written by another version of the exporter."""
    if name == "tiny":
        return ROOT / "models/tiny"
    model, folder = MODELS[name], work / name
    # Computed before the export, because the exporter may be edited while it runs.
    stamp, current = folder / ".stamp", key(model)
    if stamp.is_file() and stamp.read_text() == current:
        return folder
    duration = "20 minutes, with 12 GB of memory" if model.family == "sam3" else "a minute or two"
    log(f"exporting {model.family} {model.model} with random weights ({duration}) ...")
    work.mkdir(parents=True, exist_ok=True)
    stamp.unlink(missing_ok=True)
    log_file = work / f"{name}.log"
    with log_file.open("w") as out:
        command = [sys.executable, "-W", "ignore", "-m", "promptseg_export", model.family, "--model", model.model]
        command += ["--random-weights", str(SEED)]
        command += [] if model.family in TEXT_FAMILIES else ["--variants", model.precisions]
        command += [str(folder)]
        run(command, out, log_file)
        if model.official:
            run([sys.executable, "-W", "ignore", __file__, str(folder / OFFICIAL)], out, log_file)
    stamp.write_text(current)
    return folder


def run(command: list, out, log_file: Path) -> None:
    if subprocess.run(command, stdout=out, stderr=subprocess.STDOUT).returncode:
        raise SystemExit(f"{' '.join(command[:8])} ... failed; its output is in {log_file}")


def photo(width: int, height: int, work: Path) -> Path:
    """The flower of tests/golden, enlarged to cover the size and cropped to its centre."""
    path = work / f"photo_{width}x{height}.png"
    if path.is_file():
        return path
    image = Image.open(PHOTO).convert("RGB")
    scale = max(width / image.width, height / image.height)
    w, h = round(image.width * scale), round(image.height * scale)
    left, top = (w - width) // 2, (h - height) // 2
    work.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.png")
    image.resize((w, h), Image.Resampling.BICUBIC).crop((left, top, left + width, top + height)).save(partial)
    partial.replace(path)
    return path


def write_official(path: Path) -> None:
    """Writes MobileSAM's decoder as `scripts/export_onnx_model.py` of segment-anything does."""
    from promptseg_export import golden, mobile_sam

    model = MODELS["mobilesam"]
    golden.export_official_decoder(mobile_sam.build(model.model, None, SEED).network, path)


if __name__ == "__main__":
    write_official(Path(sys.argv[1]))

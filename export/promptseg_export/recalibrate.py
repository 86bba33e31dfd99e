"""Adds an int8 variant with fixed scales to an existing bundle, calibrated on pictures. Needs neither PyTorch nor the checkpoint."""

import shutil
from collections.abc import Callable
from pathlib import Path

from . import bundle, calibration, checks, qdq

LOWEST_MEAN = 0.8
"""Lowest accepted mean IoU of the masks with those of fp32 on the pictures, as in the parity check of int8."""


class Refused(Exception):
    """The bundle cannot get an int8 variant."""


def write(source: Path, pictures: Path, out: Path, log: Callable) -> None:
    """Writes a copy of the bundle `source` to `out`, whose int8 variant has fixed scales.

    Raises `Refused` if the variant is too far from fp32, and the errors of reading the bundle and the pictures.
    """
    source, out = source.resolve(), out.resolve()
    description = bundle.read_description(source)
    files = bundle.listed_files(source)
    if missing := sorted(set(description.get("files", {})) - files):
        raise bundle.Unreadable(f"{source} lacks {', '.join(missing)}, which its {bundle.DESCRIPTION} lists")
    with bundle.staged(out) as staging:
        for name in files:
            shutil.copy(source / name, staging / name)
        add_int8(staging, description, pictures, log)
    log(f"{out}: int8 with fixed scales")


def add_int8(folder: Path, description: dict, pictures: Path, log: Callable) -> None:
    """Replaces the int8 variant of the bundle in `folder`, and writes its description."""
    (plain,) = (entry for entry in description["variants"] if entry["precision"] == "fp32")
    others = [entry for entry in description["variants"] if entry["precision"] != "int8"]
    target = bundle.variant_of(bundle.ENCODER, "int8")
    bundle.remove(folder / target)
    samples = calibration.read(pictures, description, log)
    count = qdq.int8(folder / bundle.ENCODER, folder / target, [sample.image for sample in samples])
    if count == 0:
        raise Refused("the image encoder has no matrix products with weights")
    if violations := checks.file_violations(folder / target):
        raise Refused(f"TensorRT cannot build the graph: {'; '.join(violations[:3])}")
    measured = calibration.measured(folder, description, target, samples, count, log)
    if not measured["calibration"]["mask_iou"] >= LOWEST_MEAN:
        found = measured["calibration"]["mask_iou"]
        raise Refused(f"the masks have a mean IoU of {found:.3f} with those of fp32, at least {LOWEST_MEAN} is needed")
    shared = {key: value for key, value in plain.items() if key not in ("parity", "u8_encoder", "encoder")}
    variant = {**shared, "precision": "int8", "encoder": target, "parity": {}, **measured}
    fields = {key: value for key, value in description.items() if key not in ("format", "files", "variants", "parity")}
    bundle.write_description(folder, {**fields, "variants": [*others, variant]}, description["format"])

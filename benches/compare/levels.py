"""Measures an encoder that takes the picture as levels in 8 bits beside the one that takes normalised values, piece by piece.

    picture   the image to what is copied to the GPU: for levels the resize alone, for values also normalise, transpose and pad
    encoder   the graph on the CPU provider of ONNX Runtime in Python: for levels it also normalises, transposes and pads

Both encoders are of one bundle and their features are compared. The table is in docs/performance.md.
"""

import json
import statistics
from pathlib import Path
from time import perf_counter

import models
import onnxruntime
import report
from cases import LEVELS
from contender import THREADS
from PIL import Image
from pixels import Ours
from promptseg_export import calibration, u8_encoder

TURNS = 7
DOCUMENT = models.ROOT / "docs/performance.md"
BEGIN, END = "<!-- levels: begin -->", "<!-- levels: end -->"
PIECES = {
    "picture": "1280x720 to what is copied to the GPU",
    "encoder": "the encoder on the CPU provider",
}
PEER = "normalised values"


class Encoders:
    """The two encoders of a bundle on the same picture."""

    def __init__(self, bundle: Path, photo: Path):
        description = json.loads((bundle / "bundle.json").read_text())
        variant = next(v for v in description["variants"] if v["precision"] == "fp32")
        self.sample = calibration.sample(Image.open(photo).convert("RGB"), description)
        self.files = [bundle / variant[key] for key in ("encoder", "u8_encoder")]
        self.plain, self.levels = map(self.open, self.files)
        name = self.plain.get_inputs()[0].name
        self.values, self.picture = {name: self.sample.image}, u8_encoder.feed(name, self.sample)

    @staticmethod
    def open(file: Path) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS
        return onnxruntime.InferenceSession(file, options, ["CPUExecutionProvider"])

    def times(self) -> tuple[float, float]:
        start = perf_counter()
        self.levels.run(None, self.picture)
        middle = perf_counter()
        self.plain.run(None, self.values)
        return (middle - start) * 1e3, (perf_counter() - middle) * 1e3

    def difference(self) -> float:
        """The largest difference of the features, relative to their range."""
        return u8_encoder.difference(*self.files, self.sample)


def measure_all(program: Path, names: list, work: Path, turns: int, log, record) -> None:
    for name in names:
        _, model, piece = name.split("/")
        if piece == "picture":
            ours = Ours(program)
            pairs = [tuple(statistics.median(ours.times(f"preprocess/{kind}/1024")) for kind in ("levels", "letterbox"))
                     for _ in range(turns + 1)]  # fmt: skip
            result = ""
        else:
            encoders = Encoders(models.bundle(model, work, log), models.photo(1280, 720, work))
            pairs = [encoders.times() for _ in range(turns + 1)]
            apart = encoders.difference()
            result = f"within {apart:.0e}" if apart else "equal"
        pairs = pairs[1:]  # the first turn is a warm-up
        record([report.ratio_row(name, [a for a, _ in pairs], PEER, [b for _, b in pairs], digits=3, result=result)])


def write_docs(rows: list) -> None:
    measured = {row["case"]: row for row in rows}
    text = "| piece | levels, ms | normalised values, ms | ratio | half of the turns | features |\n|---|--:|--:|--:|---|---|\n"
    for name in (name for name in LEVELS if name in measured):
        row = measured[name]
        low, high = row["spread"]
        text += (
            f"| {PIECES[name.split('/')[2]]} | {report.milliseconds(row['ours_ms'])} | {report.milliseconds(row['peer_ms'])} "
            f"| {row['ratio']:.2f} | {low:.2f} to {high:.2f} | {row['result']} |\n"
        )
    if any(name in measured for name in LEVELS):
        report.write_part(DOCUMENT, BEGIN, END, f"{report.machine()}{text}")

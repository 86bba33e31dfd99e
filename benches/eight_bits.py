"""Compares image encoders in 8 bits with fp32: scales that each run computes, fixed scales, and the precisions of OpenVINO.

    ./dev bench --eight-bits [--docs] [--pictures FOLDER] [MODEL...]

The calibration and the comparison use the pictures of a folder, or three photos and nine drawn scenes. The contenders take turns,
each a process of `promptseg bench`; the table has the median over the turns of the ratio to fp32. Masks of boxes are compared with
those of fp32. `--docs` writes the table of docs/performance.md.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "benches/compare"), str(ROOT / "demo"), str(ROOT / "export")]

MODELS = ("mobilesam", "sam2.1_tiny", "edgetam", "tiny")
PHOTOS = ("flower", "chelsea", "astronaut")
SCENES = 9
DOCUMENT = ROOT / "docs/performance.md"
BEGIN, END = "<!-- eight bits: begin -->", "<!-- eight bits: end -->"
BOXES = ("20,30,150,200", "40,60,190,250", "10,100,120,240")
"""Corners of the boxes whose masks are compared, in pixels: in the smallest picture."""
COMPARED = 12
"""Most pictures on which masks are compared."""
PLAIN = "cpu fp32"


@dataclass(frozen=True)
class Contender:
    name: str
    bundle: Path
    precision: str
    provider: str = "cpu"
    computes: str = "f32"
    """Precision of OpenVINO."""


class Runner:
    """Runs `promptseg` with the options of a contender."""

    def __init__(self, program: Path, openvino: Path | None, threads: int) -> None:
        self.program, self.openvino, self.threads = program, openvino, threads

    def run(self, contender: Contender, *arguments: str) -> list[dict]:
        library = {"ORT_DYLIB_PATH": str(self.openvino)} if contender.provider == "openvino" else {}
        # OpenVINO does not run every decoder.
        providers = "cpu" if contender.provider == "cpu" else f"{contender.provider},cpu"
        options = ["--providers", providers, "--precision", contender.precision, "--openvino-precision", contender.computes]
        limits = ["--threads", str(self.threads), "--engine-cache", "none"]
        done = subprocess.run([self.program, *arguments, *options, *limits], env=os.environ | library, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{contender.name}: promptseg {' '.join(arguments)}: {done.stderr.strip()}")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def encode_ms(self, contender: Contender, runs: int) -> float:
        (report,) = self.run(contender, "bench", str(contender.bundle), "--json", "--runs", str(runs))
        if report["provider"] != contender.provider:
            raise SystemExit(f"{contender.name}: the encoder ran on {report['provider']}: {report['refused']}")
        return report["encode_ms"]

    def masks(self, contender: Contender, pictures: list[Path]) -> list[dict]:
        """Run lengths of the masks of all boxes on all pictures, in the same order for all contenders."""
        found = []
        for box in BOXES:
            answers = self.run(contender, "segment", *map(str, pictures), "--box", box, "--format", "coco-rle", "--model", str(contender.bundle))
            found += [mask["segmentation"] for answer in answers for mask in answer["masks"]]
        return found


def contenders(source: Path, pictures: Path, work: Path, openvino: bool) -> list[Contender]:
    """The fp32 graph first. Writes the bundles that are needed to `work`."""
    from promptseg_export import bundle, recalibrate, variants

    def log(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    dynamic, fixed = work / "dynamic", work / "fixed"
    try:
        recalibrate.write(source, pictures, fixed, log)
        has_fixed = True
    except recalibrate.Refused as refusal:
        log(f"{source.name}: no int8 with fixed scales: {refusal}")
        has_fixed = False
    shutil.copytree(source, dynamic, ignore=shutil.ignore_patterns(".*"))
    description = bundle.read_description(dynamic)
    if all(entry["precision"] != "int8" for entry in description["variants"]):
        target = bundle.variant_of(bundle.ENCODER, "int8")
        variants.int8(dynamic / bundle.ENCODER, dynamic / target)
        description["variants"].append({**description["variants"][0], "precision": "int8", "encoder": target})
        fields = {key: value for key, value in description.items() if key not in ("format", "files")}
        bundle.write_description(dynamic, fields, description["format"])
    listed = [Contender(PLAIN, dynamic, "fp32"), Contender("cpu int8", dynamic, "int8")]
    if has_fixed:
        listed.append(Contender("cpu int8, fixed scales", fixed, "int8"))
    if openvino:
        listed += [Contender("openvino f32", dynamic, "fp32", "openvino"),
                   Contender("openvino bf16", dynamic, "fp32", "openvino", "bf16")]  # fmt: skip
        if has_fixed:
            listed.append(Contender("openvino int8, fixed scales", fixed, "int8", "openvino"))
    return listed


def made_pictures(folder: Path) -> Path:
    """Writes three photos and frames of the drawn scene of `./dev demo`."""
    from scene import Scene

    folder.mkdir()
    for name in PHOTOS:
        shutil.copy(ROOT / f"tests/golden/{name}.png", folder)
    drawn = Scene()
    for number in range(SCENES):
        drawn.picture(7.0 * number).save(folder / f"scene_{number}.png")
    return folder


def compare(runner: Runner, name: str, listed: list[Contender], pictures: list, turns: int, runs: int) -> str:
    """Rows of the table."""
    from pycocotools import mask as run_lengths

    times = {contender: [] for contender in listed}
    for turn in range(turns):
        order = listed[turn % len(listed) :] + listed[: turn % len(listed)]
        for contender in order:
            times[contender].append(runner.encode_ms(contender, runs))
    expected = runner.masks(listed[0], pictures)
    rows = ""
    for contender in listed:
        ratios = [ours / plain for ours, plain in zip(times[contender], times[listed[0]], strict=True)]
        low, middle, high = min(ratios), statistics.median(ratios), max(ratios)
        found = expected if contender is listed[0] else runner.masks(contender, pictures)
        ious = [float(run_lengths.iou([a], [b], [0])[0][0]) for a, b in zip(found, expected, strict=True)]
        ms = statistics.median(times[contender])
        ratio = "1" if contender is listed[0] else f"{middle:.2f} ({low:.2f} to {high:.2f})"
        rows += f"| {name} {contender.name} | {ms:.3g} | {ratio} | {statistics.mean(ious):.4f} | {min(ious):.3f} |\n"
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="./dev bench --eight-bits", description=__doc__.split("\n\n")[0])
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--promptseg", type=Path, default=ROOT / "target/release/promptseg", help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--pictures", type=Path, help="a folder of JPEG or PNG files instead of the made ones")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--runs", type=int, default=5, help="runs of the encoder in each turn")
    parser.add_argument("--docs", action="store_true", help="also write the table of docs/performance.md")
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"{', '.join(MODELS)}; all by default")
    args = parser.parse_args()
    if unknown := [name for name in args.models if name not in MODELS]:
        parser.error(f"no model {', '.join(unknown)}; expected {', '.join(MODELS)}")
    if args.check:
        return
    import models
    import report
    from contender import THREADS

    openvino = os.environ.get("PROMPTSEG_OPENVINO")
    runner = Runner(args.promptseg, Path(openvino) if openvino else None, THREADS)
    text = report.machine()
    text += "| encoder | ms | ratio to fp32 | mean IoU of the masks | lowest |\n|---|--:|--:|--:|--:|\n"
    for name in args.models or MODELS:
        source = models.bundle(name, args.work, lambda line: print(line, file=sys.stderr, flush=True))
        with tempfile.TemporaryDirectory() as work:
            pictures = args.pictures or made_pictures(Path(work) / "pictures")
            paths = sorted(path for path in pictures.iterdir() if path.suffix in (".png", ".jpg"))
            compared = paths[:: max(1, len(paths) // COMPARED)][:COMPARED]
            listed = contenders(source, pictures, Path(work), openvino is not None)
            rows = compare(runner, name, listed, compared, args.turns, args.runs)
        print(rows, flush=True)
        text += rows
    if args.docs:
        report.write_part(DOCUMENT, BEGIN, END, text)


if __name__ == "__main__":
    main()

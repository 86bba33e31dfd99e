"""Updates the figures of train/README.md:  python -m train.report

Measures the bundle on the benchmark scenes and on photos, and writes the table, the overlays and the learning curve. The
data of the curve are in train/figures; the logs of a training in --out are merged into them first.
"""
import argparse
import json
from pathlib import Path

import cv2

from . import curve, photos
from .evaluate import OnnxModel, evaluate, milliseconds, stored_scenes

BEGIN, END = "<!-- table: python -m train.report -->", "<!-- end of table -->"


def table(result, megabytes):
    gap = result["click1_oracle"] - result["click1"]
    both = result["encode_ms"] + result["decode_ms"]
    rows = [
        ("box", f"**{result['box']:.3f}**", "0.86"),
        ("1 click, candidate with the best score", f"**{result['click1']:.3f}**", "0.70"),
        ("1 click, best of 3 by the true IoU", f"{result['click1_oracle']:.3f}", ""),
        ("loss from choosing by score", f"{gap:.3f}", "0.04"),
        ("3 clicks", f"**{result['click3']:.3f}**", "0.82"),
        ("mean error of the predicted IoU", f"{result['iou_error']:.3f} (bias {result['iou_bias']:+.3f})", "0.08"),
        ("mean error of the predicted IoU after a box, after a click", f"{result['box_iou_error']:.3f}, {result['click1_iou_error']:.3f}", ""),
        ("correlation of predicted and true IoU", f"{result['iou_correlation']:.2f}", ""),
        ("correlation of the stability score and true IoU", f"{result['stability_correlation']:.2f}", ""),
        ("coins of scikit-image, prompted by boxes", f"{result['coins_box']:.3f}", "0.90"),
        ("coins of scikit-image, prompted by a click", f"{result['coins_click']:.3f}", ""),
        ("size", f"{megabytes:.1f} MB", "12 MB"),
        ("encoder + decoder of one object, two threads",
         f"{result['encode_ms']:.0f} + {result['decode_ms']:.0f} = {both:.0f} ms", "40 ms"),
        ("decoder of eight objects in a batch", f"{result['decode_8_ms']:.0f} ms", ""),
    ]
    return "\n".join(["| | models/tiny | target |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)])


def merge_log(new, stored):
    """Appends a log to the stored log, replacing its lines from the first new step on.

    A training that starts from a bundle continues the step count of the bundle.
    """
    lines = curve.read(new)
    if lines:
        first = min(line["step"] for line in lines)
        before = [line for line in curve.read(stored) if line["step"] < first]
        stored.write_text("".join(json.dumps(line) + "\n" for line in before + lines))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=Path("models/tiny"))
    parser.add_argument("--scenes", type=Path, default=Path("tests/scenes"))
    parser.add_argument("--out", type=Path, default=Path("train/out"), help="folder of a training, with log.jsonl and curve.jsonl")
    parser.add_argument("--readme", type=Path, default=Path("train/README.md"))
    args = parser.parse_args()
    cv2.setNumThreads(1)
    figures = args.readme.parent / "figures"
    figures.mkdir(exist_ok=True)
    before, marker, after = args.readme.read_text().partition(BEGIN)
    if not marker or END not in after:
        parser.error(f"{args.readme} does not contain the lines {BEGIN} and {END}, between which the table is written")

    model = OnnxModel(args.bundle)
    image = next(iter(stored_scenes(args.scenes)))[0]
    result = evaluate(model, stored_scenes(args.scenes)) | milliseconds(model, image) | photos.coins(model)
    result["decode_8_ms"] = milliseconds(model, image, prompts=8)["decode_ms"]
    print(json.dumps(result))
    for path in photos.pages(model, figures):
        print(path)
    for name in ("log.jsonl", "curve.jsonl"):
        merge_log(args.out / name, figures / name)
    print(curve.draw(figures, figures / "curve.png"))

    size = sum(path.stat().st_size for path in args.bundle.glob("*.onnx")) / 1e6
    args.readme.write_text(f"{before}{BEGIN}\n{table(result, size)}\n{END}{after.partition(END)[2]}")
    print(args.readme)


if __name__ == "__main__":
    main()

"""The figures of train/README.md by one command:  python -m train.report

Measures the bundle on the stored scenes and on photos, and writes the table, the overlays and the learning curve. The
curve's data lie in train/figures; what a training of one's own wrote to --out is taken over first.
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
        ("1 click, the candidate it scores best", f"**{result['click1']:.3f}**", "0.70"),
        ("1 click, best of 3 by the truth", f"{result['click1_oracle']:.3f}", ""),
        ("what the choice by score loses against that", f"{gap:.3f}", "0.04"),
        ("3 clicks", f"**{result['click3']:.3f}**", "0.82"),
        ("mean error of the predicted IoU", f"{result['iou_error']:.3f} (bias {result['iou_bias']:+.3f})", "0.08"),
        ("the same, of the answers to a box, to a click", f"{result['box_iou_error']:.3f}, {result['click1_iou_error']:.3f}", ""),
        ("correlation of predicted and true IoU", f"{result['iou_correlation']:.2f}", ""),
        ("correlation of the stability score and true IoU", f"{result['stability_correlation']:.2f}", ""),
        ("coins of scikit-image from their boxes", f"{result['coins_box']:.3f}", "0.90"),
        ("coins from a click", f"{result['coins_click']:.3f}", ""),
        ("size", f"{megabytes:.1f} MB", "12 MB"),
        ("encoder + decoder of one object, two threads",
         f"{result['encode_ms']:.0f} + {result['decode_ms']:.0f} = {both:.0f} ms", "40 ms"),
        ("decoder of eight objects in a batch", f"{result['decode_8_ms']:.0f} ms", ""),
    ]
    return "\n".join(["| | models/tiny | aim |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)])


def take_over(written, kept):
    """What a training wrote, after what is kept of the steps before it: a training that began with a bundle goes on there."""
    lines = curve.read(written)
    if lines:
        first = min(line["step"] for line in lines)
        before = [line for line in curve.read(kept) if line["step"] < first]
        kept.write_text("".join(json.dumps(line) + "\n" for line in before + lines))


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
    before, found, after = args.readme.read_text().partition(BEGIN)
    if not found or END not in after:
        parser.error(f"{args.readme} has no place for the table, between {BEGIN} and {END}")

    model = OnnxModel(args.bundle)
    image = next(iter(stored_scenes(args.scenes)))[0]
    result = evaluate(model, stored_scenes(args.scenes)) | milliseconds(model, image) | photos.coins(model)
    result["decode_8_ms"] = milliseconds(model, image, prompts=8)["decode_ms"]
    print(json.dumps(result))
    for path in photos.pages(model, figures):
        print(path)
    for name in ("log.jsonl", "curve.jsonl"):
        take_over(args.out / name, figures / name)
    print(curve.draw(figures, figures / "curve.png"))

    size = sum(path.stat().st_size for path in args.bundle.glob("*.onnx")) / 1e6
    args.readme.write_text(f"{before}{BEGIN}\n{table(result, size)}\n{END}{after.partition(END)[2]}")
    print(args.readme)


if __name__ == "__main__":
    main()

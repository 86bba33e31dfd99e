"""Draws the learning curve:  python -m train.curve

Lines: the log of training, on the scenes that each step drew, averaged over 200 steps. Dots: checkpoints on held-out
scenes, measured by `python -m train.evaluate --checkpoint .. --drawn 60 --curve train/out/curve.jsonl`.
"""
import argparse
import json
from pathlib import Path

import cv2
import numpy as np

WIDTH, HEIGHT = 760, 380
LEFT, RIGHT, TOP, BOTTOM = 50, 150, 20, 40
LINES = {"best": ("best of 3, training", (170, 200, 170)), "single": ("single mask, training", (200, 190, 160))}
DOTS = {
    "box": ("box", (30, 90, 220)), "click3": ("3 clicks", (30, 150, 60)),
    "click1_oracle": ("1 click, best of 3", (160, 120, 40)), "click1": ("1 click", (200, 40, 40))}
TEXT, GRID = (60, 60, 60), (225, 225, 225)
LOWEST = 0.2


class Plot:
    """A canvas with axes: training steps to the right, mean IoU upwards."""

    def __init__(self, last_step):
        self.last = last_step
        self.canvas = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
        for value in np.arange(LOWEST, 1.01, 0.1):
            y = self.point(0, value)[1]
            cv2.line(self.canvas, (LEFT, y), (WIDTH - RIGHT, y), GRID, 1)
            self.write(f"{value:.1f}", (14, y + 4))
        gap = next(g for g in (100, 250, 500, 1000, 2500, 5000, 10000, 50000) if last_step / g <= 8)
        for step in range(0, last_step + 1, gap):
            x = self.point(step, 0)[0]
            self.write(str(step), (x - 12, HEIGHT - BOTTOM + 18))
        self.write("steps", ((WIDTH - RIGHT + LEFT) // 2, HEIGHT - 6))
        self.write("mean IoU", (4, 12))

    def point(self, step, value):
        x = LEFT + (WIDTH - LEFT - RIGHT) * step / self.last
        y = TOP + (HEIGHT - TOP - BOTTOM) * (1 - (max(value, LOWEST) - LOWEST) / (1 - LOWEST))
        return round(x), round(y)

    def write(self, text, position, colour=TEXT):
        cv2.putText(self.canvas, text, position, cv2.FONT_HERSHEY_SIMPLEX, 0.4, colour, 1, cv2.LINE_AA)

    def line(self, steps, values, name, colour, label_y, dots):
        points = [self.point(step, value) for step, value in zip(steps, values)]
        cv2.polylines(self.canvas, [np.array(points, np.int32)], False, colour, 1 if not dots else 2, cv2.LINE_AA)
        for point in points if dots else []:
            cv2.circle(self.canvas, point, 4, colour, -1, cv2.LINE_AA)
        self.write(f"{name} {values[-1]:.2f}", (WIDTH - RIGHT + 8, label_y), colour)


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def draw(folder, picture):
    """Plots log.jsonl and curve.jsonl of the folder into the file `picture`."""
    log, held_out = read(folder / "log.jsonl"), sorted(read(folder / "curve.jsonl"), key=lambda row: row["step"])
    if not log and not held_out:
        raise SystemExit(f"{folder} contains neither log.jsonl nor curve.jsonl: train first (python -m train.train)")
    plot = Plot(max(row["step"] for row in log + held_out))
    label_y = TOP + 20
    for rows, table, dots in ((log, LINES, False), (held_out, DOTS, True)):
        for key, (name, colour) in table.items() if rows else []:
            steps, values = [row["step"] for row in rows], [row[key] for row in rows]
            if not dots:
                span = min(8, len(values))
                values = np.convolve(values, np.ones(span) / span, "valid").tolist()
                steps = steps[span - 1:]
            plot.line(steps, values, name, colour, label_y, dots)
            label_y += 18
    picture.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(picture), plot.canvas[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])
    return picture


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("train/out"), help="folder with log.jsonl and curve.jsonl")
    parser.add_argument("--picture", type=Path, default=Path("train/figures/curve.png"))
    args = parser.parse_args()
    print(draw(args.out, args.picture))


if __name__ == "__main__":
    main()

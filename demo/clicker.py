#!/usr/bin/env python3
"""An operator node: sends prompts for objects in the camera's image and prints the answers of the node.

The prompts of the command line are sent in order; they belong to one object until --new. With --scene, the operator
prompts the objects of the demo's drawn scene instead, with clicks, boxes and corrections of wrong masks.
Each answer is a line on stdout, as JSON with --json.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import numpy as np
from std_msgs.msg import Header

from options import add_prompts
from pointing import Answer, NoAnswer, Operator
from report import answer_line
from ros import Runner, run_node, to_seconds
from scene import Scene, innermost, iou, tight_box

# IoU with the true mask below which the operator of the drawn scene corrects a mask.
GOOD_ENOUGH = 0.85


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_prompts(parser)
    parser.add_argument("--scene", type=float, metavar="EPOCH", help="prompt the objects of the drawn scene, which began at this time (s)")
    parser.add_argument("--pause", type=float, default=0.9, help="seconds between two prompts (default: 0.9)")
    parser.add_argument("--json", action="store_true", help="print answers as JSON")
    return parser.parse_args()


def print_answer(answer: Answer, prompt: str, args: argparse.Namespace, true_iou: float | None = None) -> None:
    stamp = answer.header.stamp
    event: dict[str, Any] = {
        "prompt": prompt,
        "stamp": [stamp.sec, stamp.nanosec],
        "object": answer.object_id,
        "iou": round(answer.iou, 3),
        "true_iou": None if true_iou is None else round(true_iou, 3),
        "area": answer.area,
        "box": answer.box,
        "ms": round(answer.ms, 1),
    }
    print(json.dumps(event) if args.json else answer_line(event), flush=True)


def send_prompts(runner: Runner, operator: Operator, args: argparse.Namespace) -> None:
    """Sends the prompts of the command line."""
    header = operator.frame or Header()
    object_id, background = 0, []
    for kind, values in args.prompts:
        if kind == "new":
            operator.next_object()
            object_id, background = 0, []
            continue
        if kind == "background" and not object_id:
            # A background point needs an object; it is sent after the object's first prompt.
            background.append(values)
            continue
        if kind == "background":
            answer = operator.refine(header, object_id, *values, foreground=False)
        elif kind == "box":
            answer = operator.around(header, values, object_id)
        elif object_id:
            answer = operator.refine(header, object_id, *values, foreground=True)
        else:
            answer = operator.click(header, *values)
        object_id = answer.object_id
        print_answer(answer, f"{kind} {','.join(f'{v:g}' for v in values)}", args)
        for point in background:
            answer = operator.refine(header, object_id, *point, foreground=False)
            print_answer(answer, f"background {point[0]:g},{point[1]:g}", args)
        background = []
        runner.sleep(args.pause)


class SceneOperator:
    """Prompts and corrects the objects of the drawn scene. It knows the true masks, as a person would see them."""

    def __init__(self, runner: Runner, operator: Operator, args: argparse.Namespace) -> None:
        self.runner, self.operator, self.args = runner, operator, args
        self.scene = Scene()
        self.answers: dict[str, Answer] = {}

    def truth(self, header: Header, name: str) -> np.ndarray:
        return self.scene.truth(to_seconds(header.stamp) - self.args.scene)[name]

    def newest(self) -> Header:
        assert self.operator.frame is not None
        return self.operator.frame

    def record(self, name: str, prompt: str, answer: Answer) -> None:
        self.answers[name] = answer
        print_answer(answer, prompt, self.args, iou(answer.mask, self.truth(answer.header, name)))
        self.runner.sleep(self.args.pause)

    def click(self, name: str) -> None:
        self.operator.next_object()
        header = self.newest()
        x, y = innermost(self.truth(header, name))
        self.record(name, f"click on the {name} at {x},{y}", self.operator.click(header, x, y))

    def box(self, name: str) -> None:
        header = self.newest()
        corners = tight_box(self.truth(header, name))
        self.record(name, f"box around the {name}", self.operator.around(header, corners, name=name))

    def errors(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """The missing and the surplus pixels of the last mask."""
        last = self.answers[name]
        truth = self.truth(last.header, name)
        return truth & ~last.mask, last.mask & ~truth

    def good(self, name: str) -> bool:
        last = self.answers[name]
        return iou(last.mask, self.truth(last.header, name)) >= GOOD_ENOUGH

    def correct(self, name: str, only_background: bool = False) -> None:
        """Clicks into the larger error of the last mask, on the frame of that mask."""
        missing, surplus = self.errors(name)
        foreground = not only_background and np.count_nonzero(missing) > np.count_nonzero(surplus)
        wrong = missing if foreground else surplus
        if not wrong.any():
            return
        last = self.answers[name]
        x, y = innermost(wrong)
        answer = self.operator.refine(last.header, last.object_id, x, y, foreground)
        self.record(name, f"{'click' if foreground else 'background click'} for the {name} at {x},{y}", answer)

    def run(self) -> None:
        for name in ("cup", "book"):
            self.click(name)
            if not self.good(name):
                self.correct(name)
        for name in ("banana", "ball"):
            self.box(name)
        # A background click corrects the mask with the most surplus pixels.
        self.correct(max(self.answers, key=lambda n: np.count_nonzero(self.errors(n)[1])), only_background=True)


def program(runner: Runner, args: argparse.Namespace) -> None:
    operator = Operator(runner)
    try:
        operator.connect()
        if args.scene is None:
            send_prompts(runner, operator, args)
        else:
            SceneOperator(runner, operator, args).run()
    except NoAnswer as error:
        print(error, file=sys.stderr, flush=True)
        raise SystemExit(1) from None


if __name__ == "__main__":
    options = arguments()
    sys.exit(run_node("operator", lambda runner: program(runner, options)))

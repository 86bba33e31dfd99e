"""Options of `./dev demo`. `./dev` checks them before the set-up, so only the standard library is imported."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

DESCRIPTION = """The demo: starts the real node, a camera, an operator and a detector, and shows the answer to each prompt.

Without --image the camera shows a drawn table with moving objects. The operator sends clicks, boxes and corrections, and
the detector sends boxes for frames that are a third of a second old. With --image the camera shows your picture, and the
operator sends your prompts, in pixels of that picture. Pictures are written to --out; the last line on stdout is JSON.
"""


class InOrder(argparse.Action):
    """Stores prompts in the order of the command line."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        namespace.prompts = [*namespace.prompts, ((option_string or "").lstrip("-"), values)]


def numbers(count: int) -> Callable[[str], tuple[float, ...]]:
    def parse(text: str) -> tuple[float, ...]:
        try:
            values = tuple(float(v) for v in text.split(","))
        except ValueError:
            values = ()
        if len(values) != count:
            raise argparse.ArgumentTypeError(f"'{text}': expected {count} numbers separated by commas")
        return values

    return parse


def add_prompts(parser: argparse.ArgumentParser) -> None:
    """Adds the options --click, --background, --box and --new, which are stored in `prompts` in their order."""
    group = parser.add_argument_group("prompts, in pixels of the image")
    group.add_argument("--click", action=InOrder, type=numbers(2), metavar="X,Y", help="a point on the object")
    group.add_argument("--background", action=InOrder, type=numbers(2), metavar="X,Y", help="a point beside the object")
    group.add_argument("--box", action=InOrder, type=numbers(4), metavar="X0,Y0,X1,Y1", help="a box around the object")
    group.add_argument("--new", action=InOrder, nargs=0, help="start another object for the following prompts")
    parser.set_defaults(prompts=[])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./dev demo", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--image", type=Path, help="your own picture (JPEG, PNG, ...)")
    add_prompts(parser)
    parser.add_argument("--seconds", type=float, help="stop after this time (default: after the last prompt)")
    parser.add_argument("--frames", type=int, help="stop after this number of camera images")
    parser.add_argument("--rate", type=float, help="camera images per second (default: 15; 5 with --image)")
    parser.add_argument("--track", action="store_true", help="masks follow moving objects (persistence 'track')")
    parser.add_argument(
        "--console",
        nargs="?",
        const="127.0.0.1:8060",
        metavar="ADDRESS:PORT",
        help="no operator: you click, in the console at http://127.0.0.1:8060/ or that address, until Ctrl+C",
    )
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the pictures (default: out)")
    parser.add_argument("--node", type=Path, help="executable of the node (default: the newest build)")
    parser.add_argument("--model", help="bundle to use instead of the built-in model")
    args = parser.parse_args()
    if args.prompts and not args.image:
        parser.error("prompts need your own picture: add --image FILE")
    if args.prompts and args.console:
        parser.error("with --console you prompt in the browser: leave the prompts out")
    return args


if __name__ == "__main__":
    arguments()

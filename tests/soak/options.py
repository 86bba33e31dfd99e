"""Options of `./dev soak`. `./dev` checks them before the set-up, so only the standard library is imported."""

from __future__ import annotations

import argparse
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DESCRIPTION = """Everything at once for minutes: a camera at 30 fps and 1280x720, clicks, a detector, requests.

    ./dev soak [--minutes 10]

Prints a line every ten seconds, then a table and one line of JSON; the memory over time is in out/soak.csv. The test fails
if the node ends, less than 99 % of the images arrive, an answer has the stamp or the mask of another image, more requests
are unanswered than refused, or the resident memory changes by more than 2 % after the warm-up.
"""


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(prog="./dev soak", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--minutes", type=float, default=10.0, help="after a warm-up of three minutes")
    options.add_argument("--model", default="tiny")
    options.add_argument("--small-memory", action="store_true", help="Fast DDS with its default shared memory, without config/fastdds.xml")
    options.add_argument("--out", type=Path, default=ROOT / "out/soak.csv")
    return options


if __name__ == "__main__":
    parser().parse_args()

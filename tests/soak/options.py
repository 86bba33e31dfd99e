"""Options of `./dev soak`. `./dev` checks them before the set-up, so only the standard library is imported."""

from __future__ import annotations

import argparse
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DESCRIPTION = """Everything at once for minutes: a camera at 30 fps and 1280x720, clicks, a detector, questions, parameters.

    ./dev soak [--minutes 10]

Says every ten seconds how it goes and ends with a table and one line of JSON; the series is in out/soak.csv. It fails when
the node ends, when an answer has the stamp of another image or the mask of another place, when something that was asked is
never answered, or when resident memory is not flat within 2 % after the first minute.
"""


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(prog="./dev soak", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--minutes", type=float, default=10.0)
    options.add_argument("--model", default="tiny")
    options.add_argument("--small-memory", action="store_true", help="Fast DDS with its default shared memory, without config/fastdds.xml")
    options.add_argument("--out", type=Path, default=ROOT / "out/soak.csv")
    return options


if __name__ == "__main__":
    parser().parse_args()

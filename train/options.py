"""Options of `./dev train`. `./dev` checks them before the set-up, so only the standard library is imported."""
import argparse
from pathlib import Path

DESCRIPTION = """Trains the tiny model from scratch:  python -m train.train --minutes 95

One call is one leg. The learning rate falls along a cosine over the minutes of the leg, so that a leg ends at a low rate
on any machine. An interrupted leg continues from its checkpoint. A call after a finished leg starts the next leg, at half
the rate.
"""


def parser():
    options = argparse.ArgumentParser(prog="./dev train", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--minutes", type=float, default=21, help="length of a leg")
    options.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    options.add_argument("--out", type=Path, default=Path("train/out"), help="folder of the checkpoint")
    options.add_argument("--from", dest="bundle", type=Path, metavar="BUNDLE",
                        help="bundle with the initial weights, used if there is no checkpoint (models/tiny)")
    options.add_argument("--resume", action=argparse.BooleanOptionalAction, default=True)
    options.add_argument("--rate", type=float, default=1.5e-3)
    options.add_argument("--images", type=int, help="per step (default: 6 on a CPU, 16 to 64 on CUDA, by its memory)")
    options.add_argument("--prompts", type=int, help="per image (default: 4 on a CPU, 8 on CUDA)")
    options.add_argument("--workers", type=int, help="processes that draw scenes (default: 1 on a CPU, all cores but one on CUDA)")
    options.add_argument("--fresh", type=int, help="new scenes per step, the others are reused (default: half of the images, "
                        "a quarter on CUDA)")
    options.add_argument("--threads", type=int, default=0,
                        help="CPU threads (default 0: all cores while other processes are idle, else one)")
    options.add_argument("--seed", type=int, default=1)
    return options


if __name__ == "__main__":
    parser().parse_args()

"""`promptseg-export FAMILY ... OUT`: one command per family."""

import argparse
import sys
import time
from pathlib import Path


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="promptseg-export",
        description="Turn a checkpoint of the Segment Anything family into a promptseg bundle, and prove it equal.",
    )
    families = top.add_subparsers(dest="family", required=True, metavar="FAMILY")
    sam = families.add_parser("sam", help="SAM (ViT-B, ViT-L, ViT-H)")
    sam.add_argument("--model", choices=("vit_b", "vit_l", "vit_h", "small"), required=True)
    weights = sam.add_mutually_exclusive_group(required=True)
    weights.add_argument("--checkpoint", type=Path, metavar="FILE", help="the published .pth file")
    weights.add_argument("--random-weights", type=int, metavar="SEED", help="for tests and benchmarks")
    sam.add_argument("--image-size", type=int, default=512, help="of the model `small`, a multiple of 16 (512)")
    sam.add_argument("--name", help="name in bundle.json (sam_MODEL)")
    sam.add_argument("--source", help="where the weights come from, for bundle.json")
    sam.add_argument("out", type=Path, metavar="OUT", help="folder of the bundle, made if it is not there")
    return top


def main(arguments: list | None = None) -> int:
    args = parser().parse_args(arguments)
    start = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - start:6.1f} s] {text}", file=sys.stderr, flush=True)

    if args.checkpoint is not None and not args.checkpoint.is_file():
        print(f"promptseg-export: there is no checkpoint {args.checkpoint}", file=sys.stderr)
        return 2
    # PyTorch takes seconds to import, `--help` should not.
    from . import parity, sam

    random = args.random_weights is not None
    say(f"SAM {args.model} with {'random weights' if random else args.checkpoint} ...")
    model = sam.build(args.model, args.checkpoint, args.random_weights, args.image_size)
    made_of = f"random weights, seed {args.random_weights}" if random else args.checkpoint.name
    try:
        worst = sam.export(model, args.name or f"sam_{args.model}", args.source or made_of, args.out, say)
    except parity.Mismatch as e:
        print(f"promptseg-export: not equal to PyTorch, no bundle written: {e}", file=sys.stderr)
        return 1
    say(f"{args.out}: equal to PyTorch within {worst['low_res']:.1e} of the range of its logits")
    return 0

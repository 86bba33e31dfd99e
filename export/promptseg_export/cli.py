"""The command line `promptseg-export FAMILY ... OUT`, with one subcommand per family."""

import argparse
import os
import sys
import time
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from . import bundle, text_cli

PRECISIONS = ("fp32", "fp16", "int8")


@dataclass(frozen=True)
class Listing:
    """The command line options of a family. The module is imported only when it is used, because PyTorch takes seconds."""

    name: str
    module: str
    models: tuple
    help: str
    extra: str = ""
    """The extra of pyproject.toml that installs the package of the family."""
    build: str = "build"
    """The function of the module that builds the family."""
    folders: bool = False
    """Whether a checkpoint may be a folder."""
    with_memory: bool = False
    """Whether the family has a memory for videos."""


HIERA = ("hiera_tiny", "hiera_small", "hiera_base_plus", "hiera_large", "small")
EFFICIENT_TAM = (
    "ti", "ti_1", "ti_2", "ti_512x512", "s", "s_1", "s_2", "s_512x512", "small", "small_1", "small_2",
)  # fmt: skip


FAMILIES = (
    Listing("sam", "sam", ("vit_b", "vit_l", "vit_h", "small"), "SAM"),
    Listing("sam-hq", "sam_hq", ("vit_b", "vit_l", "vit_h", "vit_tiny", "small"), "SAM-HQ", "hq"),
    Listing("mobile-sam", "mobile_sam", ("vit_tiny", "small"), "MobileSAM", "hq"),
    Listing("tinysam", "mobile_sam", ("vit_tiny", "small"), "TinySAM", "hq", build="build_tinysam"),
    Listing("repvit-sam", "repvit_sam", ("repvit", "small"), "RepViT-SAM", "repvit"),
    Listing(
        "efficientvit-sam", "efficientvit_sam", ("l0", "l1", "l2", "xl0", "xl1", "small"), "EfficientViT-SAM", "efficientvit"
    ),
    Listing("sam2", "sam2", HIERA, "SAM 2", "sam2", with_memory=True),
    Listing("sam2.1", "sam2", HIERA, "SAM 2.1", "sam2", build="build_2_1", with_memory=True),
    Listing("efficienttam", "efficienttam", EFFICIENT_TAM, "EfficientTAM", "sam2", with_memory=True),
    Listing("edgetam", "edgetam", ("repvit_m1", "small"), "EdgeTAM", "edgetam", folders=True, with_memory=True),
)


def precisions(text: str) -> tuple:
    requested = tuple(part for part in text.split(",") if part)
    if unknown := [part for part in requested if part not in PRECISIONS]:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not of {', '.join(PRECISIONS)}")
    return requested


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="promptseg-export",
        description="Convert a checkpoint of the Segment Anything family to a promptseg bundle, and check that it gives the "
        "same results.",
    )
    families = top.add_subparsers(dest="family", required=True, metavar="FAMILY")
    for listing in FAMILIES:
        family = families.add_parser(listing.name, help=f"{listing.help}: {', '.join(listing.models)}")
        default = {"default": listing.models[0]} if len(listing.models) == 2 else {"required": True}
        family.add_argument("--model", choices=listing.models, help="`small` is for tests", **default)
        weights = family.add_mutually_exclusive_group(required=True)
        published = "published file of weights" + (", or folder of transformers" if listing.folders else "")
        weights.add_argument("--checkpoint", type=Path, metavar="FILE", help=published)
        weights.add_argument("--random-weights", type=int, metavar="SEED", help="random weights, for tests and benchmarks")
        family.add_argument(
            "--variants",
            type=precisions,
            default=PRECISIONS,
            metavar="LIST",
            help="precisions, separated by commas: fp32 (always written), fp16 (GPUs), int8 (CPUs); default: all three",
        )
        family.add_argument(
            "--calibrate", type=Path, metavar="FOLDER",
            help="folder of JPEG or PNG pictures, some dozens, like those of the robot's camera: int8 gets fixed scales, which "
            "also run on TensorRT",
        )  # fmt: skip
        family.add_argument(
            "--image-size", type=int, metavar="S",
            help="image size of the model `small`, a multiple of 32 (default: 512; RepViT-SAM, SAM 2: 256; EfficientViT-SAM: 160)",
        )  # fmt: skip
        if listing.with_memory:
            family.add_argument("--no-memory", action="store_true", help="export for images only, without the memory graphs")
        family.add_argument("--name", help="name in bundle.json (default: FAMILY_MODEL)")
        family.add_argument("--source", help="source of the weights in bundle.json (default: name of the file)")
        family.add_argument("out", type=Path, metavar="OUT", help="folder of the bundle, created if missing")
    text_cli.add(families)
    again = families.add_parser("calibrate", help="a bundle with an int8 variant for the pictures of a folder; needs no PyTorch")
    again.add_argument("bundle", type=Path, metavar="BUNDLE", help="folder of an existing bundle, which stays unchanged")
    again.add_argument("pictures", type=Path, metavar="FOLDER", help="folder of JPEG or PNG pictures, some dozens")
    again.add_argument("out", type=Path, metavar="OUT", help="folder of the new bundle, created if missing")
    return top


def main(arguments: list | None = None) -> int:
    args = parser().parse_args(arguments)
    start = time.monotonic()

    def log(text: str) -> None:
        print(f"[{time.monotonic() - start:6.1f} s] {text}", file=sys.stderr, flush=True)

    def fail(text: str, code: int) -> int:
        print(f"promptseg-export: {text}", file=sys.stderr)
        return code

    if args.family == "calibrate":
        return calibrate(args, log, fail)
    if args.family in text_cli.FAMILIES:
        return text_cli.run(args, log, fail)
    listing = next(f for f in FAMILIES if f.name == args.family)
    if args.checkpoint is not None and not (
        args.checkpoint.is_file() or (listing.folders and (args.checkpoint / "config.json").is_file())
    ):
        return fail(f"{args.checkpoint}: no such checkpoint", 2)
    if args.image_size is not None and (args.model != "small" or args.image_size % 32 or args.image_size < 64):
        return fail(f"--image-size {args.image_size}: expected a multiple of 32, at least 64, and --model small", 2)
    if args.calibrate is not None and "int8" not in args.variants:
        return fail(f"--calibrate {args.calibrate}: expected int8 among --variants", 2)
    if args.calibrate is not None and not args.calibrate.is_dir():
        return fail(f"--calibrate {args.calibrate}: no such folder, expected a folder of JPEG or PNG pictures", 2)
    if problem := bundle.unusable(args.out):
        return fail(problem, 2)
    random = args.random_weights is not None
    log(f"{listing.help} {args.model} with {'random weights' if random else args.checkpoint} ...")
    try:
        import torch

        from . import calibration, checkpoints, export, parity, sight

        module = import_module(f".{listing.module}", __package__)
    except ModuleNotFoundError as e:
        extra = f"[{listing.extra}]" if listing.extra else ""
        return fail(f"{e.name} is not installed; pip install './export{extra}'", 1)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    try:
        build = getattr(module, listing.build)
        options = {"with_memory": not args.no_memory} if listing.with_memory else {}
        family = build(args.model, args.checkpoint, args.random_weights, args.image_size, **options)
        if listing.with_memory and not args.no_memory and family.memory is None:
            log("the bundle is for images only: the memory is read only from the authors' checkpoint, see --checkpoint")
        if random:
            parity.check_sight(family)
        name = args.name or f"{listing.name}_{args.model}".replace("-", "_")
        source = args.source or (f"random weights, seed {args.random_weights}" if random else args.checkpoint.name)
        measured = export.export(family, name, source, args.out, args.variants, log, args.calibrate, True)
    except (checkpoints.CheckpointError, calibration.NoPictures) as e:
        return fail(str(e), 1)
    except parity.Mismatch as e:
        return fail(f"not equal to PyTorch, no bundle written: {e}", 1)
    except sight.Blind as e:
        return fail(f"the random weights hardly depend on the image, no bundle written: {e}; try another seed", 1)
    except export.Unfit as e:
        return fail(f"TensorRT cannot build the graph, no bundle written: {e}", 1)
    except KeyboardInterrupt:
        return fail("interrupted, no bundle written", 130)
    except OSError as e:
        return fail(f"cannot write {args.out}: {e}", 1)
    log(f"{args.out}: equal to PyTorch within {measured['fp32'].low_res:.1e} of the range of the logits")
    return 0


def calibrate(args: argparse.Namespace, log, fail) -> int:
    from . import calibration, recalibrate

    if not args.pictures.is_dir():
        return fail(f"{args.pictures}: no such folder, expected a folder of JPEG or PNG pictures", 2)
    if problem := bundle.unusable(args.out):
        return fail(problem, 2)
    try:
        recalibrate.write(args.bundle, args.pictures, args.out, log)
    except (bundle.Unreadable, calibration.NoPictures, recalibrate.Refused) as e:
        return fail(f"no bundle written: {e}", 1)
    except KeyboardInterrupt:
        return fail("interrupted, no bundle written", 130)
    except OSError as e:
        return fail(f"cannot write {args.out}: {e}", 1)
    return 0

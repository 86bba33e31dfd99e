"""The command line `promptseg-export owlv2 ... OUT` and `sam3 ... OUT`: models that are prompted by phrases."""

import argparse
import os
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from . import bundle


@dataclass(frozen=True)
class Family:
    """The command line options of a family. Its modules are `NAME` and `NAME_export`."""

    title: str
    help: str
    patches: dict
    """Side of a patch in pixels for each configuration of random weights."""


FAMILIES = {
    "owlv2": Family("OWLv2", "OWLv2, boxes from phrases", {"base": 16, "large": 14, "small": 16}),
    "sam3": Family("SAM 3", "SAM 3, masks from phrases", {"true": 14, "small": 14}),
}


def add(families) -> None:
    """Adds the subcommands to the parser."""
    for name, family in FAMILIES.items():
        models = tuple(family.patches)
        parser = families.add_parser(name, help=f"{family.help}: {', '.join(models)}")
        weights = parser.add_mutually_exclusive_group(required=True)
        weights.add_argument("--checkpoint", metavar="FOLDER_OR_NAME", help="folder of transformers, or name on its hub")
        weights.add_argument("--random-weights", type=int, metavar="SEED", help="random weights, for tests and benchmarks")
        parser.add_argument("--model", choices=models, help="configuration for random weights; `small` is for tests")
        parser.add_argument("--image-size", type=int, metavar="S", help="image size of random weights, a multiple of the patch size")
        parser.add_argument("--name", help=f"name in bundle.json (default: {name}_MODEL, or the name of the checkpoint)")
        parser.add_argument("--source", help="source of the weights in bundle.json (default: name of the checkpoint)")
        parser.add_argument("out", type=Path, metavar="OUT", help="folder of the bundle, created if missing")


def problem(args: argparse.Namespace) -> str | None:
    """The reason why the arguments are wrong, or None."""
    if args.checkpoint is not None:
        given = [name for name, value in (("--model", args.model), ("--image-size", args.image_size)) if value is not None]
        if given:
            return f"{given[0]} belongs to --random-weights; a checkpoint has its own configuration"
        path = Path(args.checkpoint)
        if path.is_file() or (path.is_dir() and not (path / "config.json").is_file()):
            return f"{path} is no folder of transformers, expected config.json, weights and tokenizer.json in it"
        return None
    patches = FAMILIES[args.family].patches
    if args.model is None:
        return f"--random-weights needs --model: {', '.join(patches)}"
    patch = patches[args.model]
    if args.image_size is not None and (args.image_size % patch or args.image_size < 2 * patch):
        return f"--image-size {args.image_size}: expected a multiple of {patch}, at least {2 * patch}"
    return None


def run(args: argparse.Namespace, log, fail) -> int:
    if wrong := problem(args) or bundle.unusable(args.out):
        return fail(wrong, 2)
    random, title = args.random_weights is not None, FAMILIES[args.family].title
    log(f"{title} {args.model} with random weights ..." if random else f"{title} of {args.checkpoint} ...")
    try:
        import torch

        from . import checkpoints, export, parity, sight

        family, exporter = (import_module(f".{args.family}{part}", __package__) for part in ("", "_export"))
    except ImportError as e:
        # `name` is the missing package, or the package that is too old for the family.
        return fail(f"{e.name} is not installed, or too old; pip install './export[{args.family}]'", 1)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    try:
        if random:
            model = family.build(args.model, args.random_weights, args.image_size, parity.photo())
            exporter.check_sight(model)
        else:
            model = family.read(args.checkpoint)
        checkpoint = None if random else Path(args.checkpoint).name
        name = args.name or (f"{args.family}_{args.model}" if random else checkpoint)
        source = args.source or (f"random weights, seed {args.random_weights}" if random else checkpoint)
        measured = exporter.export(model, name, source, args.out, log)
    except parity.Mismatch as e:
        return fail(f"not equal to transformers, no bundle written: {e}", 1)
    except sight.Blind as e:
        return fail(f"the random weights hardly depend on picture or phrase, no bundle written: {e}; try another seed", 1)
    except export.Unfit as e:
        return fail(f"TensorRT cannot build the graph, no bundle written: {e}", 1)
    except KeyboardInterrupt:
        return fail("interrupted, no bundle written", 130)
    except (checkpoints.CheckpointError, OSError, ValueError) as e:
        return fail(f"no bundle written: {e}", 1)
    worst = max(measured, key=measured.get)
    log(f"{args.out}: equal to transformers within {measured[worst]:.1e} of the range ({worst})")
    return 0

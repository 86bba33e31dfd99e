"""The command line `promptseg-export owlv2 ... OUT`: models that turn phrases into boxes."""

import argparse
import os
from pathlib import Path

from . import bundle

MODELS = ("base", "large", "small")


def add(families) -> None:
    """Adds the subcommand to the parser."""
    family = families.add_parser("owlv2", help="OWLv2, boxes from phrases: base, large, small")
    weights = family.add_mutually_exclusive_group(required=True)
    weights.add_argument("--checkpoint", metavar="FOLDER_OR_NAME", help="folder of transformers, or name on its hub")
    weights.add_argument("--random-weights", type=int, metavar="SEED", help="random weights, for tests and benchmarks")
    family.add_argument("--model", choices=MODELS, help="configuration for random weights; `small` is for tests")
    family.add_argument("--image-size", type=int, metavar="S", help="image size of random weights, a multiple of the patch size")
    family.add_argument("--name", help="name in bundle.json (default: owlv2_MODEL, or the name of the checkpoint)")
    family.add_argument("--source", help="source of the weights in bundle.json (default: name of the checkpoint)")
    family.add_argument("out", type=Path, metavar="OUT", help="folder of the bundle, created if missing")


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
    if args.model is None:
        return f"--random-weights needs --model: {', '.join(MODELS)}"
    patch = 14 if args.model == "large" else 16
    if args.image_size is not None and (args.image_size % patch or args.image_size < 2 * patch):
        return f"--image-size {args.image_size}: expected a multiple of {patch}, at least {2 * patch}"
    return None


def run(args: argparse.Namespace, log, fail) -> int:
    if wrong := problem(args) or bundle.unusable(args.out):
        return fail(wrong, 2)
    random = args.random_weights is not None
    log(f"OWLv2 {args.model} with random weights ..." if random else f"OWLv2 of {args.checkpoint} ...")
    try:
        import torch

        from . import export, owlv2, owlv2_export, parity, sight
    except ModuleNotFoundError as e:
        return fail(f"{e.name} is not installed; pip install './export[owlv2]'", 1)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    try:
        if random:
            model = owlv2.build(args.model, args.random_weights, args.image_size, parity.photo())
            owlv2_export.check_sight(model)
        else:
            model = owlv2.read(args.checkpoint)
        checkpoint = None if random else Path(args.checkpoint).name
        name = args.name or (f"owlv2_{args.model}" if random else checkpoint)
        source = args.source or (f"random weights, seed {args.random_weights}" if random else checkpoint)
        measured = owlv2_export.export(model, name, source, args.out, log)
    except parity.Mismatch as e:
        return fail(f"not equal to transformers, no bundle written: {e}", 1)
    except sight.Blind as e:
        return fail(f"the random weights hardly depend on picture or phrase, no bundle written: {e}; try another seed", 1)
    except export.Unfit as e:
        return fail(f"TensorRT cannot build the graph, no bundle written: {e}", 1)
    except KeyboardInterrupt:
        return fail("interrupted, no bundle written", 130)
    except (OSError, ValueError) as e:
        return fail(f"no bundle written: {e}", 1)
    worst = max(measured, key=measured.get)
    log(f"{args.out}: equal to transformers within {measured[worst]:.1e} of the range ({worst})")
    return 0

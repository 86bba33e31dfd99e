"""Which runs of `promptseg label` make the data sets: one for each bag, or one for each slice of a bag and one that joins them."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from promptseg_cluster.task import Run

# Options of `promptseg label` that this program sets.
OWN = ("--out", "--slice", "--join", "--model", "--overwrite")


class WrongUsage(Exception):
    """The arguments are contradictory; the text says what was found and what was expected."""


@dataclass
class Bag:
    """The runs of a bag. With several slices, `join` runs when all of them are done."""

    name: str
    runs: list[Run]
    join: Run | None = None
    folder_of_slices: Path | None = None
    open_runs: set[str] = field(default_factory=set)
    failed: bool = False


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="promptseg-cluster",
        description="Runs promptseg label on a Ray cluster: many bags, or slices of a bag. Bags and --out are paths that all "
        "nodes share. What follows -- are arguments of promptseg label, such as --detections /detections.",
        usage="promptseg-cluster BAG [BAG ...] --out DIR [options] -- [arguments of promptseg label]",
    )
    parser.add_argument("bags", nargs="+", metavar="BAG", help="a bag, a video or a folder of pictures")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="the data set of BAG is DIR/NAME, NAME of the bag")
    parser.add_argument("--slices", type=int, default=1, metavar="N", help="label each bag in N slices, then join them (1)")
    parser.add_argument("--address", default="auto", help="of the Ray cluster; local starts one on this machine (auto)")
    parser.add_argument("--cpus", type=int, default=2, metavar="N", help="processors, and threads, of a run (2)")
    parser.add_argument("--gpus", type=float, default=0, metavar="N", help="GPUs of a run: a node without them gets none (0)")
    parser.add_argument("--resource", action="append", default=[], metavar="NAME=N", help="another resource of Ray; repeatable")
    parser.add_argument("--retries", type=int, default=3, metavar="N", help="restarts of a run whose node or worker died (3)")
    parser.add_argument("--model", type=Path, metavar="PATH", help="bundle on this machine, sent to each node once (built-in)")
    parser.add_argument("--program", default="promptseg", metavar="PATH", help="the program promptseg on the nodes (promptseg)")
    return parser


def parse(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """The options, and the arguments of `promptseg label`."""
    at = arguments.index("--") if "--" in arguments else len(arguments)
    options, rest = parser().parse_args(arguments[:at]), arguments[at + 1 :]
    for argument in rest:
        if argument.split("=")[0] in OWN:
            raise WrongUsage(f"found {argument} behind --, expected it before --, or not at all")
    for name, least in (("slices", 1), ("cpus", 1), ("gpus", 0), ("retries", 0)):
        if getattr(options, name) < least:
            raise WrongUsage(f"--{name} {getattr(options, name)}: expected a number from {least} on")
    if options.model is not None and not options.model.exists():
        raise WrongUsage(f"--model {options.model}: no such file or folder")
    options.resources = dict(map(resource, options.resource))
    return options, rest


def is_complete(dataset: Path) -> bool:
    """Whether an earlier command made the data set: its slices are gone, and there is nothing to compute."""
    try:
        return json.loads((dataset / "manifest.json").read_text())["complete"] is True
    except (OSError, ValueError, KeyError, TypeError):
        return False


def resource(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise WrongUsage(f"--resource {text}: expected NAME=NUMBER") from None


def plan(options: argparse.Namespace, arguments: list[str]) -> list[Bag]:
    """The runs of each bag."""
    if not any(argument.split("=")[0] == "--threads" for argument in arguments):
        arguments = [*arguments, "--threads", str(options.cpus)]
    out = Path(os.path.abspath(options.out))
    found: dict[str, str] = {}
    bags = []
    for bag in options.bags:
        path = Path(os.path.abspath(bag))
        name = path.name if path.is_dir() else path.stem
        if other := found.get(name):
            raise WrongUsage(f"{other} and {bag} have the same name, and so the same folder in --out; label them one by one")
        found[name] = bag

        def run(label: str, extra: list[str], folder: Path, log: str, path: Path = path) -> Run:
            return Run(label, options.program, (str(path), *arguments, *extra), str(folder), str(out / "logs" / log))

        if options.slices == 1 or is_complete(out / name):
            bags.append(Bag(name, [run(name, [], out / name, f"{name}.log")]))
            continue
        slices, count = out / "slices" / name, options.slices
        runs = [
            run(f"{name}, slice {k} of {count}", ["--slice", f"{k}/{count}"], slices / str(k), f"{name}.{k}.log")
            for k in range(1, count + 1)
        ]
        folders = [str(slices / str(k)) for k in range(1, count + 1)]
        join = run(f"{name}, join", ["--join", *folders], out / name, f"{name}.join.log")
        bags.append(Bag(name, runs, join, slices))
    return bags

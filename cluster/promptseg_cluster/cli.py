"""`promptseg-cluster`: runs `promptseg label` on a Ray cluster."""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
from typing import Any

from promptseg_cluster.model import digest, pack
from promptseg_cluster.plan import Bag, WrongUsage, parse, parser, plan
from promptseg_cluster.task import Outcome, Run, SentModel, label


class Cluster:
    """Runs on the nodes of a Ray cluster."""

    def __init__(self, options: argparse.Namespace) -> None:
        import ray

        self.ray = ray
        try:
            ray.init(address=options.address, logging_level=logging.ERROR, log_to_driver=False)
        except ConnectionError as e:
            raise SystemExit(
                f"promptseg-cluster: no Ray cluster at {options.address}: {e}; start one (ray start --head), or give --address local"
            ) from None
        self.model = None
        if options.model is not None:
            archive = pack(options.model)
            self.model = SentModel(options.model.resolve().name, digest(archive), [ray.put(archive)])
        self.task = ray.remote(label).options(
            num_cpus=options.cpus,
            num_gpus=options.gpus,
            resources=options.resources or None,
            max_retries=options.retries,
            scheduling_strategy="SPREAD",
        )

    def label_all(self, bags: list[Bag]) -> list[str]:
        """Runs all runs, and joins the slices of each bag when they are done. Returns the reasons of failures."""
        pending: dict[Any, tuple[Bag, Run]] = {}

        def start(bag: Bag, run: Run) -> None:
            bag.open_runs.add(run.name)
            pending[self.task.remote(run, self.model)] = (bag, run)

        for bag in bags:
            for run in bag.runs:
                start(bag, run)
        failures = []
        while pending:
            (ref,), _ = self.ray.wait(list(pending), num_returns=1)
            bag, run = pending.pop(ref)
            bag.open_runs.discard(run.name)
            failure = self.failure(ref, run)
            if failure:
                failures.append(failure)
                bag.failed = True
                report(failure)
            if bag.open_runs or bag.failed:
                continue
            if bag.join is not None and run is not bag.join:
                start(bag, bag.join)
            elif bag.folder_of_slices is not None:
                shutil.rmtree(bag.folder_of_slices)
        return failures

    def failure(self, ref: Any, run: Run) -> str | None:
        """Why a run failed; none if it is done."""
        try:
            outcome: Outcome = self.ray.get(ref)
        except self.ray.exceptions.RayError as e:
            return f"{run.name}: {str(e).strip().splitlines()[0]}; log: {run.log}"
        if outcome.code != 0:
            return f"{run.name}: exit code {outcome.code} on node {outcome.node[:8]}: {outcome.last_line}; log: {run.log}"
        report(f"{run.name}: done on node {outcome.node[:8]}")
        return None


def report(line: str) -> None:
    print(f"promptseg-cluster: {line}", file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    try:
        options, rest = parse(sys.argv[1:] if arguments is None else arguments)
        bags = plan(options, rest)
    except WrongUsage as e:
        parser().error(str(e))
    failures = Cluster(options).label_all(bags)
    if failures:
        report(f"{len(failures)} runs failed; the same command goes on behind their last records")
        return 1
    for bag in bags:
        print(options.out / bag.name / "manifest.json")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

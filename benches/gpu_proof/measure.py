"""Runs `promptseg` for every row of the plan, within the time that is left."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import checks
import plan
from plan import Subject

SCENES = plan.ROOT / "tests/scenes"
SMALL_IMAGE = plan.ROOT / "tests/golden/pixels/coffee_149x220.png"


class Failed(Exception):
    """A command failed, or there was no time for it."""


class Proof:
    def __init__(
        self, environment: dict[str, str], subjects: list[Subject], work: Path, seconds: float, runs: int, small: bool
    ) -> None:
        self.environment, self.subjects, self.runs = environment, subjects, runs
        self.program, self.cache = environment["PROMPTSEG_CLI"], Path(environment["XDG_CACHE_HOME"]) / "promptseg/engines"
        self.scenes = first_scenes(work / "scenes") if small else SCENES
        self.image = ["--image", SMALL_IMAGE] if small else []
        self.started, self.limit = time.monotonic(), seconds
        self.accuracy_of_cpu: dict[str, float] = {}

    def run(self) -> dict:
        kinds = {"bench": self.bench, "choice": self.choice, "accuracy": self.accuracy, "inspect": self.inspect}
        rows, machine = [], {}
        for kind, subject, provider, precision in plan.rows(self.subjects):
            row = {"kind": kind, "model": subject.name, "provider": provider, "asked": precision, "checks": {}}
            begun = time.monotonic()
            try:
                values, verdicts = kinds[kind](subject, provider, precision)
                row |= {"values": values, "checks": verdicts}
                machine = machine or {key: values[key] for key in ("gpu", "tensorrt", "runtime") if values.get(key)}
            except Failed as failure:
                row["checks"] = {"measured": str(failure)}
            row["seconds"] = round(time.monotonic() - begun, 1)
            failed = [why for why in row["checks"].values() if why is not True]
            line = f"{kind} {subject.name}, {provider}, {precision}: {row['seconds']} s{', FAILED: ' if failed else ''}{'; '.join(failed)}"
            print(line, file=sys.stderr)
            rows.append(row)
        return {
            "machine": {**machine, "cpus": os.cpu_count()},
            "rows": rows,
            "checks": sum(len(row["checks"]) for row in rows),
            "seconds": time.monotonic() - self.started,
        }

    def command(self, *arguments: object) -> str:
        """Runs `promptseg`, and ends it when the time is over."""
        left = self.limit - (time.monotonic() - self.started)
        if left <= 1:
            raise Failed(f"no time left of {self.limit / 60:g} minutes")
        command = [self.program, *map(str, arguments)]
        try:
            done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=left)
        except subprocess.TimeoutExpired:
            raise Failed(f"not done within {self.limit / 60:g} minutes") from None
        except OSError as error:
            raise Failed(f"{self.program}: {error.strerror}") from None
        if done.returncode:
            raise Failed(f"promptseg {arguments[0]} ended with {done.returncode}: {done.stderr.strip()[-600:]}")
        return done.stdout

    def json(self, *arguments: object) -> dict:
        lines = self.command(*arguments).splitlines()
        try:
            return json.loads(lines[-1])
        except (IndexError, ValueError):
            raise Failed(f"promptseg {arguments[0]} printed no JSON: {lines[-1:]}") from None

    def engines(self) -> dict[str, int]:
        """The engines on disk, with the time at which each was written."""
        return {str(path): path.stat().st_mtime_ns for path in sorted(self.cache.rglob("*.engine"))}

    def bench(self, subject: Subject, provider: str, precision: str) -> tuple[dict, dict]:
        options = ["--providers", provider, "--precision", precision]
        first, before = None, {}
        if provider == "tensorrt":
            others, begun = set(self.engines()), time.monotonic()
            self.command("build-engines", subject.folder, *options)
            first = time.monotonic() - begun
            before = {path: written for path, written in self.engines().items() if path not in others}
        measured = ["--runs", self.runs, "--boxes", ",".join(map(str, plan.BOXES)), "--against", "cpu"]
        if subject.has_memory():
            measured.append("--track")
        values = self.json("bench", subject.folder, "--json", *options, *measured, *self.image)
        values["first_start_s"] = round(first if first is not None else values["load_ms"] / 1e3, 2)
        after = self.engines()
        values["engines"] = {"built": len(before), "kept": sum(after.get(path) == written for path, written in before.items())}
        return values, checks.of_bench(values, subject, provider, precision)

    def choice(self, subject: Subject, _provider: str, _precision: str) -> tuple[dict, dict]:
        memory = ["--track"] if subject.has_memory() else []
        values = self.json("bench", subject.folder, "--json", "--runs", 1, "--providers", "auto", *memory)
        values = {key: values[key] for key in ("parts", "timings", "refused", "notes")}
        return values, checks.of_choice(values)

    def accuracy(self, subject: Subject, provider: str, _precision: str) -> tuple[dict, dict]:
        values = self.json("eval", self.scenes, "--model", subject.folder, "--providers", provider)
        if provider == "cpu":
            self.accuracy_of_cpu = values
        return values, checks.of_accuracy(values, self.accuracy_of_cpu)

    def inspect(self, subject: Subject, _provider: str, _precision: str) -> tuple[dict, dict]:
        found = self.json("inspect", subject.folder, "--json")
        values = {"providers": found["providers"], "runtime": found["runtime"]}
        return values, checks.of_inspect(values)


def first_scenes(folder: Path, number: int = 2) -> Path:
    """A folder with the first scenes of tests/scenes."""
    folder.mkdir()
    objects = json.loads((SCENES / "prompts.json").read_text())
    names = sorted({entry["scene"] for entry in objects})[:number]
    for name in names:
        for file in (f"{name}.png", f"{name}_truth.png"):
            shutil.copy(SCENES / file, folder)
    (folder / "prompts.json").write_text(json.dumps([entry for entry in objects if entry["scene"] in names]))
    return folder

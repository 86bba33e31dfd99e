"""Writes the table of docs/models.md: exports all models with random weights and measures them with `promptseg bench`.

    python -m promptseg_export.table ../docs/models.md --promptseg PATH      # ./dev models, from the repository

Models are measured one at a time, and each bundle is deleted afterwards. Models in the file of results are skipped, so an
interrupted run can continue. Use a new file of results on another machine. Rows of models that are not in the file of results
stay as they are on the page.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

from . import bundle
from .cli import FAMILIES

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
SEED = 1
HEAD = """\
| model | precision | MB | logits | IoU | masks | encoder ms | decoder ms | peak MB |
|---|---|--:|--:|--:|--:|--:|--:|--:|
"""


def models() -> list[tuple]:
    """Family and name of all models with published checkpoints, in the order of the command line."""
    return [(f.name, model) for f in FAMILIES for model in f.models if not model.startswith("small")]


class Results:
    """The measured rows by family, model and precision, stored as lines of JSON."""

    def __init__(self, path: Path):
        self.path, self.rows = path, {}
        if path.is_file():
            for line in path.read_text().splitlines():
                row = json.loads(line)
                self.rows[(row["family"], row["model"], row["precision"])] = row

    def add(self, row: dict) -> None:
        self.rows[(row["family"], row["model"], row["precision"])] = row
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def rows_of(self, family: str, model: str) -> list[dict]:
        return [row for (f, m, _), row in self.rows.items() if (f, m) == (family, model)]

    def complete(self, family: str, model: str) -> bool:
        return any(row.get("complete") for row in self.rows_of(family, model))


def measure(family: str, model: str, promptseg: str, work: Path, results: Results, runs: int, log) -> None:
    """Exports one model in all precisions and measures each precision that passed the parity check."""
    folder = work / f"{family}_{model}"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        # In a subprocess, so that its memory is released.
        export = [sys.executable, "-W", "ignore", "-m", "promptseg_export", family, "--model", model]
        if next(f for f in FAMILIES if f.name == family).with_memory:
            # The table covers images only.
            export.append("--no-memory")
        subprocess.run([*export, "--random-weights", str(SEED), str(folder)], check=True)
        description = json.loads((folder / bundle.DESCRIPTION).read_text())
        rows = []
        for variant in description["variants"]:
            log(f"{family} {model} {variant['precision']}: measuring ...")
            bench = [promptseg, "bench", str(folder), "--precision", variant["precision"], "--providers", "cpu"]
            done = subprocess.run(
                [*bench, "--threads", "2", "--runs", str(runs), "--json"], check=True, stdout=subprocess.PIPE, text=True
            )
            rows.append(row(family, model, variant, description["files"], json.loads(done.stdout.splitlines()[-1])))
        for measured in rows:
            results.add(measured)
        results.add({**rows[-1], "complete": True})
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def row(family: str, model: str, variant: dict, files: dict, bench: dict) -> dict:
    """A row of the table. The size counts the files that the precision uses."""
    if bench.get("precision", variant["precision"]) != variant["precision"]:
        raise RuntimeError(f"promptseg bench ran {bench['precision']}, expected {variant['precision']}")
    used = {variant["encoder"], variant["decoder"], bundle.PROMPT_ENCODER}
    used |= {f"{name}.data" for name in used}
    return {
        "family": family,
        "model": model,
        "precision": variant["precision"],
        "bytes": sum(entry["bytes"] for name, entry in files.items() if name in used),
        **{key: variant["parity"][key] for key in ("low_res", "iou", "mask_iou")},
        **{key: bench[key] for key in ("load_ms", "encode_ms", "decode_ms", "peak_rss_mb")},
    }


def line(family: str, model: str, r: dict) -> str:
    parity = f"{r['low_res']:.0e} | {r['iou']:.0e} | {r['mask_iou']:.4f}"
    times = f"{r['encode_ms']:.0f} | {r['decode_ms']:.0f} | {r['peak_rss_mb']:.0f}"
    return f"| {family} {model} | {r['precision']} | {r['bytes'] / 1e6:.0f} | {parity} | {times} |\n"


def render(results: Results, old_table: str) -> str:
    """The table: the lines of measured models from the results, all others from the old table."""
    old_lines = old_table.splitlines(keepends=True)
    lines = []
    for family, model in models():
        measured = [line(family, model, row) for row in results.rows_of(family, model)]
        lines += measured or [old for old in old_lines if old.startswith(f"| {family} {model} |")]
    return HEAD + "".join(lines)


def write(document: Path, results: Results) -> None:
    """Writes the results into the table between the two markers."""
    text = document.read_text()
    if BEGIN not in text or END not in text:
        raise SystemExit(f"{document} does not contain {BEGIN} and {END}, between which the table is written")
    before, rest = text.split(BEGIN, 1)
    old_table, after = rest.split(END, 1)
    document.write_text(f"{before}{BEGIN}\n{render(results, old_table)}{END}{after}")


def main(arguments: list | None = None) -> int:
    parser = argparse.ArgumentParser(prog="promptseg_export.table", description=__doc__.splitlines()[0])
    parser.add_argument("document", type=Path, help="page with the two markers of the table")
    parser.add_argument("--promptseg", default="promptseg", help="release build of the command line tool")
    parser.add_argument("--results", type=Path, default=Path("models.jsonl"), help="file of measured results")
    parser.add_argument("--work", type=Path, default=Path("models.work"), help="folder for temporary bundles")
    parser.add_argument("--only", nargs="*", default=None, metavar="FAMILY/MODEL", help="models to measure, in this order")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.check:
        return 0
    start = time.monotonic()

    def log(text: str) -> None:
        print(f"[{time.monotonic() - start:6.0f} s] {text}", file=sys.stderr, flush=True)

    all_models = models()
    if unknown := set(args.only or []) - {f"{f}/{m}" for f, m in all_models}:
        parser.error(f"{', '.join(sorted(unknown))}: not of {', '.join(f'{f}/{m}' for f, m in all_models)}")
    results, failed = Results(args.results), []
    selected = all_models if args.only is None else [tuple(name.split("/")) for name in args.only]
    for number, (family, model) in enumerate(selected, 1):
        if results.complete(family, model):
            log(f"{number} of {len(selected)}: {family} {model} is already measured")
            continue
        log(f"{number} of {len(selected)}: {family} {model} ...")
        try:
            measure(family, model, args.promptseg, args.work, results, args.runs, log)
        except (subprocess.CalledProcessError, KeyError, RuntimeError) as e:
            log(f"{family} {model} failed: {e}")
            failed.append(f"{family} {model}")
        write(args.document, results)
    write(args.document, results)
    if failed:
        log(f"the table lacks {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())

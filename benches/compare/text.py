"""Measures the steps of a text model beside transformers in PyTorch, on the same weights. The table is in docs/text.md.

    image     everything about an image that does not depend on a phrase: the image tower with its heads
    phrase    the features of a phrase: the text tower
    first     a phrase on a new image, from pixels and words to boxes
    second    another phrase on the same image; its peer is the first phrase
"""

import statistics
import sys
from pathlib import Path

import models
import report
from cases import TEXT
from contender import THREADS, Contender

TURNS = 5
PEERS = {"image": "image", "phrase": "phrase", "first": "first"}
"""Request of PyTorch for each step."""
DOCUMENT = models.ROOT / "docs/text.md"
BEGIN, END = "<!-- cost: begin -->", "<!-- cost: end -->"
STEPS = {
    "image": "image tower with the heads",
    "phrase": "text tower, for a phrase",
    "first": "first phrase on an image, all of it",
    "second": "another phrase on the same image",
}


def measure_all(program: list, names: list, work: Path, turns: int, log, record) -> None:
    for model in dict.fromkeys(name.split("/")[1] for name in names):
        steps = [name.split("/")[2] for name in names if name.split("/")[1] == model]
        bundle, exported = models.bundle(model, work, log), models.MODELS[model]
        photo = models.photo(1280, 720, work)
        script = Path(__file__).with_name("torch_text.py")
        ours = Contender("ours", [*program, bundle, "fp32", THREADS], work / "log" / "text.log")
        peer = None
        try:
            command = [sys.executable, "-W", "ignore", script, exported.model, models.SEED]
            peer = Contender("pytorch", command, work / "log" / "torch_text.log")
            for contender in (ours, peer):
                contender.photo(photo)
                contender.numbers("first")
            for step in steps:
                repeats = 1 if step in ("image", "first") else 15
                pairs = []
                for turn in range(turns):
                    requests = [(ours, step), (peer, PEERS[step]) if step in PEERS else (ours, "first")]
                    # In turns, and each of them first in every second turn.
                    order = requests if turn % 2 == 0 else requests[::-1]
                    times = {}
                    for contender, line in order:
                        runs = 1 if line == "first" else repeats
                        times[(contender, line)] = statistics.median(contender.numbers(line)[0] for _ in range(runs))
                    pairs.append([times[request] for request in requests])
                name = "pytorch" if step in PEERS else "first phrase"
                record([report.ratio_row(f"text/{model}/{step}", [a for a, _ in pairs], name, [b for _, b in pairs], digits=3)])
        finally:
            ours.close()
            if peer:
                peer.close()


def table(rows: list) -> str:
    text = "| model | step | ours ms | peer | peer ms | ours / peer | half of the turns |\n|---|---|--:|---|--:|--:|---|\n"
    measured = {row["case"]: row for row in rows}
    for name in TEXT:
        if row := measured.get(name):
            _, model, step = name.split("/")
            low, high = row["spread"]
            text += (
                f"| {model} | {STEPS[step]} | {report.milliseconds(row['ours_ms'])} | {row['peer']} | {report.milliseconds(row['peer_ms'])} "
                f"| {row['ratio']:.3f} | {low:.3f} to {high:.3f} |\n"
            )
    return text


def write_docs(rows: list) -> None:
    if any(row["case"].startswith("text/") for row in rows):
        report.write_part(DOCUMENT, BEGIN, END, f"{report.machine()}{table(rows)}")

"""Measures the steps of a text model beside transformers in PyTorch, on the same weights. The table is in docs/text.md.

    image     everything about an image that does not depend on a phrase: the image tower with its heads
    phrase    the features of a phrase: the text tower
    first     a phrase on a new image, from pixels and words to boxes or masks
    second    another phrase on the same image; its peer is the first phrase

promptseg runs on the CPU provider in fp32 (`cpu`), and with `providers: [auto]` on the ONNX Runtime with OpenVINO (`auto`).
"""

import statistics
import sys
import time
from pathlib import Path

import models
import report
from cases import TEXT
from contender import Contender, start_ours

TURNS, LEAST, BUDGET = 5, 2, 100.0
"""Turns of a step; after BUDGET seconds no turn is added to the first LEAST."""
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
PROVIDERS = {"cpu": "CPU provider, fp32", "auto": "`auto`"}


def measure_all(program: Path, names: list, work: Path, turns: int, log, record) -> None:
    for part in dict.fromkeys(name.rsplit("/", 1)[0] for name in names):
        _, model, kind = part.split("/")
        steps = [name.rsplit("/", 1)[1] for name in names if name.startswith(f"{part}/")]
        bundle, exported = models.bundle(model, work, log), models.MODELS[model]
        photo = models.photo(1280, 720, work)
        script = Path(__file__).with_name("torch_text.py")
        ours, peer = start_ours(program, "text", kind, bundle, work / "log" / "text.log"), None
        try:
            command = [sys.executable, "-W", "ignore", script, exported.family, exported.model, models.SEED]
            peer = Contender("pytorch", command, work / "log" / "torch_text.log")
            for contender in (ours, peer):
                contender.photo(photo)
                contender.numbers("first")
            for step in steps:
                record([measure(f"{part}/{step}", ours, peer, turns)])
        finally:
            ours.close()
            if peer:
                peer.close()


def measure(name: str, ours: Contender, peer: Contender, turns: int) -> dict:
    """The row of a step, in turns."""
    step = name.rsplit("/", 1)[1]
    repeats = 1 if step in ("image", "first") else 15
    requests = [(ours, step), (peer, PEERS[step]) if step in PEERS else (ours, "first")]
    pairs, start = [], time.monotonic()
    for turn in range(turns):
        if turn >= LEAST and time.monotonic() - start > BUDGET:
            break
        # Each of them is first in every second turn.
        times = {}
        for contender, line in requests if turn % 2 == 0 else requests[::-1]:
            runs = 1 if line == "first" else repeats
            times[(contender, line)] = statistics.median(contender.numbers(line)[0] for _ in range(runs))
        pairs.append([times[request] for request in requests])
    other = "pytorch" if step in PEERS else "first phrase"
    return report.ratio_row(name, [a for a, _ in pairs], other, [b for _, b in pairs], digits=3)


def table(rows: list) -> str:
    text = "| model | providers | step | ours ms | peer | peer ms | ours / peer | half of the turns |\n|---|---|---|--:|---|--:|--:|---|\n"
    measured = {row["case"]: row for row in rows}
    for name in TEXT:
        if row := measured.get(name):
            _, model, kind, step = name.split("/")
            low, high = row["spread"]
            text += (
                f"| {model} | {PROVIDERS[kind]} | {STEPS[step]} | {report.milliseconds(row['ours_ms'])} | {row['peer']} | {report.milliseconds(row['peer_ms'])} "
                f"| {row['ratio']:.3f} | {low:.3f} to {high:.3f} |\n"
            )
    return text


def write_docs(rows: list) -> None:
    if any(row["case"].startswith("text/") for row in rows):
        report.write_part(DOCUMENT, BEGIN, END, f"{report.machine()}{table(rows)}")

"""Measures the time to track objects by memory for one frame, in promptseg and in the video predictor of `sam2`.

Also measures the time per object and per memory. The tables are in docs/tracking.md.
"""

import statistics
import sys
from pathlib import Path

import models
import report
from cases import MEMORIES, TRACKED_BESIDE, TRACKED_OBJECTS
from cases import TRACKED as MODEL
from contender import Contender, start_ours

TURNS = 3
FULL = "track 1 6"
"""One object with six memories beside that of its prompt: all that it ever has."""
PARTS = ("encoder", "attention", "decoder", "memory_encoder")
DOCUMENT = models.ROOT / "docs/tracking.md"
COST = "<!-- cost: begin -->", "<!-- cost: end -->"
BESIDE = "<!-- beside: begin -->", "<!-- beside: end -->"


def measure_all(program: str, names: list, work: Path, turns: int, log, record) -> None:
    for name in names:
        if name in TRACKED_BESIDE:
            record([beside(program, name, work, turns, log)])
    counted = [name for name in names if name not in TRACKED_BESIDE]
    if not counted:
        return
    ours = start(program, MODEL, "cpu", work, log)
    try:
        one_object = [ours.numbers(FULL) for _ in range(turns)]
        for name in counted:
            _, _, kind, count = name.split("/")
            line = f"track {count} 6" if kind == "objects" else f"track 1 {count}"
            times = [ours.numbers(line) for _ in range(turns)]
            record([row(name, times, "one object, 6 memories", [numbers[0] for numbers in one_object])])
    finally:
        ours.close()


def start(program: str, model: str, kind: str, work: Path, log) -> Contender:
    """Starts promptseg on the CPU provider (`cpu`) or with `providers: [auto]` (`auto`)."""
    contender = start_ours(program, "track", kind, models.bundle(model, work, log), work / "log" / "track.log")
    contender.photo(models.photo(1280, 720, work))
    return contender


def beside(program: str, name: str, work: Path, turns: int, log) -> dict:
    """One object with all its memories beside PyTorch's video predictor."""
    _, model, _, kind = name.split("/")
    exported = models.MODELS[model]
    ours = start(program, model, kind, work, log)
    try:
        script = Path(__file__).with_name("torch_tracker.py")
        command = [sys.executable, "-W", "ignore", script, exported.family, exported.model, models.SEED]
        peer = Contender("pytorch", command, work / "log" / "torch_tracker.log")
        try:
            peer.photo(models.photo(1280, 720, work))
            log(f"{name}: tracking an object until it has all its memories ...")
            for contender in (ours, peer):
                contender.numbers(FULL)
            pairs = [(ours.numbers(FULL), peer.numbers(FULL)[0]) for _ in range(turns)]
        finally:
            peer.close()
    finally:
        ours.close()
    return row(name, [own for own, _ in pairs], "pytorch", [theirs for _, theirs in pairs])


def row(name: str, ours: list, peer: str, theirs: list) -> dict:
    parts = {part: round(statistics.median(numbers[i] for numbers in ours), 1) for i, part in enumerate(PARTS, 1)}
    return report.ratio_row(name, [numbers[0] for numbers in ours], peer, theirs, quartiles=False, parts=parts)


def part_times(measured: dict) -> str:
    return " | ".join(f"{measured['parts'][part]:.0f}" for part in PARTS)


def cost_table(rows: dict) -> str:
    """The time of a frame by the numbers of objects and memories; empty if nothing was measured."""
    counts = [(n, 6, f"track/{MODEL}/objects/{n}") for n in TRACKED_OBJECTS]
    counts += [(1, n, f"track/{MODEL}/memories/{n}") for n in MEMORIES]
    text = "| objects | memories | ms a frame | encoder | attention | decoder | memory encoder |\n|--:|--:|--:|--:|--:|--:|--:|\n"
    lines = [f"| {n} | {m} | {rows[name]['ours_ms']:.0f} | {part_times(rows[name])} |\n" for n, m, name in counts if name in rows]
    return f"{report.machine()}{text}{''.join(lines)}" if lines else ""


def beside_table(rows: dict) -> str:
    """The time of a frame beside PyTorch; empty if nothing was measured."""
    text = (
        "| model | providers | ms a frame | PyTorch, ms | ratio | all turns | encoder | attention | decoder | memory encoder |\n"
        "|---|---|--:|--:|--:|---|--:|--:|--:|--:|\n"
    )
    lines = []
    for name in TRACKED_BESIDE:
        if measured := rows.get(name):
            _, model, _, kind = name.split("/")
            low, high = measured["spread"]
            lines.append(
                f"| {model} | {kind} | {measured['ours_ms']:.0f} | {measured['peer_ms']:.0f} | {measured['ratio']:.2f} "
                f"| {low:.2f} to {high:.2f} | {part_times(measured)} |\n"
            )
    return f"{report.machine()}{text}{''.join(lines)}" if lines else ""


def write_docs(rows: list) -> None:
    """Writes the tables of what was measured. A table without measured rows stays."""
    rows = {r["case"]: r for r in rows}
    for (begin, end), text in ((COST, cost_table(rows)), (BESIDE, beside_table(rows))):
        if text:
            report.write_part(DOCUMENT, begin, end, text)

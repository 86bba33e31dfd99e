"""Measures the time to track objects by memory for one frame, in promptseg and in the video predictor of `sam2`.

Also measures the time per object and per memory. The tables are in docs/tracking.md.
"""

import statistics
import sys
from pathlib import Path

import models
from cases import MEMORIES, TRACKED_OBJECTS
from cases import TRACKED as MODEL
from cases import TRACKED_BY_PYTORCH as PYTORCH
from contender import THREADS, Contender

TURNS = 3
PARTS = ("encoder", "attention", "decoder", "memory_encoder")
DOCUMENT = models.ROOT / "docs/tracking.md"


def measure_all(program: list, names: list, work: Path, turns: int, log, record) -> None:
    bundle = models.bundle(MODEL, work, log)
    exported, photo = models.MODELS[MODEL], models.photo(1280, 720, work)
    ours = Contender("ours", [*program, bundle, "fp32", THREADS], work / "log" / "track.log")
    peer = None
    try:
        ours.photo(photo)
        if PYTORCH in names:
            script = Path(__file__).with_name("torch_tracker.py")
            command = [sys.executable, "-W", "ignore", script, exported.family, exported.model, models.SEED]
            peer = Contender("pytorch", command, work / "log" / "torch_tracker.log")
            peer.photo(photo)
            log("tracking an object until it has all its memories ...")
            for contender in (ours, peer):
                contender.numbers("track 1 6")
            pairs = [(ours.numbers("track 1 6"), peer.numbers("track 1 6")[0]) for _ in range(turns)]
            record([row(PYTORCH, [own for own, _ in pairs], "pytorch", [theirs for _, theirs in pairs])])
        one_object = [ours.numbers("track 1 6") for _ in range(turns)]
        for name in names:
            _, _, kind, *count = name.split("/")
            if count:
                line = f"track {count[0]} 6" if kind == "objects" else f"track 1 {count[0]}"
                times = [ours.numbers(line) for _ in range(turns)]
                record([row(name, times, "one object, 6 memories", [numbers[0] for numbers in one_object])])
    finally:
        ours.close()
        if peer:
            peer.close()


def row(name: str, ours: list, peer: str, theirs: list) -> dict:
    ratios = [a[0] / b for a, b in zip(ours, theirs)]
    return {
        "case": name,
        "ours_ms": round(statistics.median(numbers[0] for numbers in ours), 1),
        "peer": peer,
        "peer_ms": round(statistics.median(theirs), 1),
        "ratio": round(statistics.median(ratios), 4),
        "spread": [round(min(ratios), 4), round(max(ratios), 4)],
        "turns": len(ours),
        "parts": {part: round(statistics.median(numbers[i] for numbers in ours), 1) for i, part in enumerate(PARTS, 1)},
    }


def table(rows: list) -> str:
    rows = {r["case"]: r for r in rows if r["case"].startswith(f"track/{MODEL}/")}
    text = "| objects | memories | ms a frame | encoder | attention | decoder | memory encoder |\n|--:|--:|--:|--:|--:|--:|--:|\n"

    def line(objects: int, memories: int, measured: dict) -> str:
        parts = " | ".join(f"{measured['parts'][part]:.0f}" for part in PARTS)
        return f"| {objects} | {memories} | {measured['ours_ms']:.0f} | {parts} |\n"

    for n in TRACKED_OBJECTS:
        if measured := rows.get(f"track/{MODEL}/objects/{n}"):
            text += line(n, 6, measured)
    for n in MEMORIES:
        if measured := rows.get(f"track/{MODEL}/memories/{n}"):
            text += line(1, n, measured)
    if measured := rows.get(PYTORCH):
        low, high = measured["spread"]
        text += (
            f"\nBeside `SAM2VideoPredictor`, same weights and frames, {THREADS} threads each, one object with all its memories: "
            f"{measured['ours_ms']:.0f} ms a frame against {measured['peer_ms']:.0f}, a ratio of {measured['ratio']:.2f} "
            f"({low:.2f} to {high:.2f}, {measured['turns']} turns).\n"
        )
    return text


def write_docs(rows: list) -> None:
    import report

    text = DOCUMENT.read_text()
    if not any(r["case"].startswith("track/") for r in rows):
        return
    if report.BEGIN not in text or report.END not in text:
        raise SystemExit(f"{DOCUMENT} does not contain {report.BEGIN} and {report.END}, between which the table is written")
    before, rest = text.split(report.BEGIN, 1)
    DOCUMENT.write_text(f"{before}{report.BEGIN}\n{table(rows)}{report.END}{rest.split(report.END, 1)[1]}")

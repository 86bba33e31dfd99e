"""One frame of objects that are followed by memory: promptseg beside the video predictor of the package `sam2`, and what
objects and memories cost. docs/tracking.md has the tables."""

import statistics
import sys
from pathlib import Path

import models
from contender import THREADS, Contender

MODEL = "sam2.1_tiny"
TURNS = 3
MEMORIES = (0, 1, 2, 4, 6)
OBJECTS = (1, 2, 4, 8)
BESIDE = f"track/{MODEL}/pytorch"
NAMES = (BESIDE, *(f"track/{MODEL}/objects/{n}" for n in OBJECTS), *(f"track/{MODEL}/memories/{n}" for n in MEMORIES))
PARTS = ("encoder", "attention", "decoder", "memory_encoder")
DOCUMENT = models.ROOT / "docs/tracking.md"


def measure_all(program: list, names: list, work: Path, turns: int, say, take) -> None:
    bundle = models.bundle(MODEL, work, say)
    exported, photo = models.MODELS[MODEL], models.photo(1280, 720, work)
    ours = Contender("ours", [*program, bundle, "fp32", THREADS], work / "log" / "track.log")
    peer = None
    try:
        ours.photo(photo)
        if BESIDE in names:
            script = Path(__file__).with_name("torch_tracker.py")
            command = [sys.executable, "-W", "ignore", script, exported.family, exported.model, models.SEED]
            peer = Contender("pytorch", command, work / "log" / "torch_tracker.log")
            peer.photo(photo)
            say("following an object until it has all its memories ...")
            for contender in (ours, peer):
                contender.numbers("track 1 6")
            pairs = [(ours.numbers("track 1 6"), peer.numbers("track 1 6")[0]) for _ in range(turns)]
            take([row(BESIDE, [mine for mine, _ in pairs], "pytorch", [theirs for _, theirs in pairs])])
        one = [ours.numbers("track 1 6") for _ in range(turns)]
        for name in names:
            _, _, kind, *count = name.split("/")
            if count:
                line = f"track {count[0]} 6" if kind == "objects" else f"track 1 {count[0]}"
                found = [ours.numbers(line) for _ in range(turns)]
                take([row(name, found, "one object, 6 memories", [times[0] for times in one])])
    finally:
        ours.close()
        if peer:
            peer.close()


def row(name: str, mine: list, peer: str, theirs: list) -> dict:
    ratios = [a[0] / b for a, b in zip(mine, theirs)]
    return {
        "case": name,
        "ours_ms": round(statistics.median(m[0] for m in mine), 1),
        "peer": peer,
        "peer_ms": round(statistics.median(theirs), 1),
        "ratio": round(statistics.median(ratios), 4),
        "spread": [round(min(ratios), 4), round(max(ratios), 4)],
        "turns": len(mine),
        "parts": {part: round(statistics.median(m[i] for m in mine), 1) for i, part in enumerate(PARTS, 1)},
    }


def table(rows: list) -> str:
    rows = {r["case"]: r for r in rows if r["case"].startswith(f"track/{MODEL}/")}
    text = "| objects | memories | ms a frame | encoder | attention | decoder | memory encoder |\n|--:|--:|--:|--:|--:|--:|--:|\n"

    def line(objects: int, memories: int, found: dict) -> str:
        parts = " | ".join(f"{found['parts'][part]:.0f}" for part in PARTS)
        return f"| {objects} | {memories} | {found['ours_ms']:.0f} | {parts} |\n"

    for n in OBJECTS:
        if found := rows.get(f"track/{MODEL}/objects/{n}"):
            text += line(n, 6, found)
    for n in MEMORIES:
        if found := rows.get(f"track/{MODEL}/memories/{n}"):
            text += line(1, n, found)
    if found := rows.get(BESIDE):
        low, high = found["spread"]
        text += (
            f"\nBeside `SAM2VideoPredictor`, same weights and frames, {THREADS} threads each, one object with all its memories: "
            f"{found['ours_ms']:.0f} ms a frame against {found['peer_ms']:.0f}, a ratio of {found['ratio']:.2f} "
            f"({low:.2f} to {high:.2f}, {found['turns']} turns).\n"
        )
    return text


def write_docs(rows: list) -> None:
    import report

    text = DOCUMENT.read_text()
    if not any(r["case"].startswith("track/") for r in rows):
        return
    if report.BEGIN not in text or report.END not in text:
        raise SystemExit(f"{DOCUMENT} has no {report.BEGIN} and {report.END}, between which the table goes")
    before, rest = text.split(report.BEGIN, 1)
    DOCUMENT.write_text(f"{before}{report.BEGIN}\n{table(rows)}{report.END}{rest.split(report.END, 1)[1]}")

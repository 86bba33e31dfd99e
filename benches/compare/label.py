"""Measures the rate of `promptseg label` beside the bare sessions: pictures in, a click on each, masks and a COCO file out.

The bare sessions encode a picture and decode a click without reading, resizing, upscaling and writing anything. Both take turns
on the same pictures. The table is in docs/data-engine.md.
"""

import json
import shutil
import statistics
import subprocess
from pathlib import Path

import models
from cases import LABEL
from contender import THREADS, Contender, Failed
from PIL import Image

TURNS = 5
FRAMES = {"tiny": 200, "mobilesam": 24, "edgetam": 24, "sam2.1_tiny": 16}
# Models that follow the clicked object by memory, which the bare sessions do not.
WITH_MEMORY = ("edgetam", "sam2.1_tiny")
DOCUMENT = models.ROOT / "docs/data-engine.md"
BEGIN, END = "<!-- rates: begin -->", "<!-- rates: end -->"


def pictures(size: tuple, work: Path) -> Path:
    """A folder of JPEG files, windows that move over the photo, and prompts.json beside it."""
    width, height = size
    folder = work / "label" / f"{width}x{height}"
    prompts = folder.with_suffix(".json")
    if prompts.is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    count = max(FRAMES.values())
    photo = Image.open(models.photo(width + 2 * count, height + count, work))
    for i in range(count):
        window = photo.crop((2 * i, i, 2 * i + width, i + height))
        window.save(folder / f"{i}.jpg", quality=90)
        if i == 0:
            window.save(folder.with_suffix(".png"))
    prompts.write_text(json.dumps([{"frame": i, "object": 1, "points": [[width // 2, height // 2]]} for i in range(count)]))
    return folder


def label(program: Path, bundle: Path, folder: Path, frames: int, out: Path) -> float:
    """Milliseconds for a frame, between the first and the last record: without the start of the process."""
    shutil.rmtree(out, ignore_errors=True)
    command = [program, "label", folder, "--prompts", folder.with_suffix(".json"), "--model", bundle, "--out", out]
    command += ["--fps", 1, "--end", frames - 0.5, "--threads", THREADS, "--providers", "cpu", "--precision", "fp32"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"promptseg label: {done.stderr.strip().splitlines()[-1]}")
    times = sorted(file.stat().st_mtime_ns for file in (out / "frames").glob("[0-9]*.json"))
    if len(times) != frames:
        raise Failed(f"promptseg label wrote {len(times)} records, expected {frames}")
    return (times[-1] - times[0]) / 1e6 / (frames - 1)


def measure_all(program: Path, bare: Path, names: list, work: Path, turns: int, log, record) -> None:
    for name in names:
        _, model, size = name.split("/")
        width, height = map(int, size.split("x"))
        folder, bundle, frames = pictures((width, height), work), models.bundle(model, work, log), FRAMES[model]
        sessions = Contender("bare sessions", [bare, "lean", bundle, "fp32", THREADS], work / "log" / "bare_label.log")
        try:
            sessions.photo(folder.with_suffix(".png"))
            request = f"image_to_mask {width // 2} {height // 2}"
            pairs = []
            for _ in range(turns):
                ours = label(program, bundle, folder, frames, work / "label" / "out")
                theirs = statistics.fmean(sessions.numbers(request)[0] for _ in range(frames))
                pairs.append((ours, theirs))
        finally:
            sessions.close()
        ratios = sorted(ours / theirs for ours, theirs in pairs)
        record([{
            "case": name,
            "ours_ms": round(statistics.median(ours for ours, _ in pairs), 2),
            "peer": "bare sessions",
            "peer_ms": round(statistics.median(theirs for _, theirs in pairs), 2),
            "ratio": round(statistics.median(ratios), 4),
            "spread": [round(ratios[0], 4), round(ratios[-1], 4)],
            "turns": turns,
        }])  # fmt: skip


def table(rows: list) -> str:
    text = "| model | pictures | frames a second | bare sessions | share of their rate | all turns |\n|---|---|--:|--:|--:|---|\n"
    measured = {row["case"]: row for row in rows}
    for name in LABEL:
        if row := measured.get(name):
            _, model, size = name.split("/")
            low, high = sorted(1 / ratio for ratio in row["spread"])
            note = ", followed by memory" if model in WITH_MEMORY else ""
            text += (
                f"| {model}{note} | {size} | {1000 / row['ours_ms']:.1f} | {1000 / row['peer_ms']:.1f} "
                f"| {1 / row['ratio']:.2f} | {low:.2f} to {high:.2f} |\n"
            )
    return text


def write_docs(rows: list) -> None:
    if not any(row["case"].startswith("label/") for row in rows):
        return
    text = DOCUMENT.read_text()
    if BEGIN not in text or END not in text:
        raise SystemExit(f"{DOCUMENT} does not contain {BEGIN} and {END}, between which the table is written")
    before, rest = text.split(BEGIN, 1)
    DOCUMENT.write_text(f"{before}{BEGIN}\n{table(rows)}{END}{rest.split(END, 1)[1]}")

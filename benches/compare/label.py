"""Measures the rate of `promptseg label` beside the bare sessions: pictures in, masks and a COCO file out.

Without memory every picture has a click; the bare sessions encode a picture and decode a click without reading, resizing, upscaling
and writing anything. With memory the first picture has a click, and the peer is one step of the library's tracker: encoder, attention,
decoder and memory encoder. Both take turns on the same pictures. The table is in docs/data-engine.md.
"""

import json
import shutil
import statistics
import subprocess
from pathlib import Path

import models
import report
from cases import LABEL
from contender import THREADS, Contender, Failed
from PIL import Image

TURNS = 5
FRAMES = {"tiny": 200, "mobilesam": 24, "edgetam": 24, "sam2.1_tiny": 16}
# Models that follow the clicked object by memory.
WITH_MEMORY = ("edgetam", "sam2.1_tiny")
# Frames after which an object has all its memories.
WARM = 8
DOCUMENT = models.ROOT / "docs/data-engine.md"
BEGIN, END = "<!-- rates: begin -->", "<!-- rates: end -->"


def pictures(size: tuple, work: Path) -> Path:
    """A folder of JPEG files, windows that move over the photo, and prompts.json beside it."""
    width, height = size
    folder = work / "label" / f"{width}x{height}"
    if prompts_of(folder, False).is_file() and prompts_of(folder, True).is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    count = max(FRAMES.values())
    photo = Image.open(models.photo(width + 2 * count, height + count, work))
    for i in range(count):
        window = photo.crop((2 * i, i, 2 * i + width, i + height))
        window.save(folder / f"{i}.jpg", quality=90)
        if i == 0:
            window.save(folder.with_suffix(".png"))
    clicks = [{"frame": i, "object": 1, "points": [[width // 2, height // 2]]} for i in range(count)]
    prompts_of(folder, True).write_text(json.dumps(clicks[:1]))
    prompts_of(folder, False).write_text(json.dumps(clicks))
    return folder


def prompts_of(folder: Path, with_memory: bool) -> Path:
    """The file of the clicks: on the first picture, which a memory follows, or on each."""
    return folder.with_name(f"{folder.name}-{'first' if with_memory else 'each'}.json")


def label(program: Path, model: str, bundle: Path, folder: Path, out: Path) -> float:
    """Milliseconds for a frame, between the first and the last record: without the start of the process, and with all memories."""
    shutil.rmtree(out, ignore_errors=True)
    frames, with_memory = FRAMES[model], model in WITH_MEMORY
    command = [program, "label", folder, "--prompts", prompts_of(folder, with_memory), "--model", bundle, "--out", out]
    command += ["--fps", 1, "--end", frames - 0.5, "--threads", THREADS, "--providers", "cpu", "--precision", "fp32"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"promptseg label: {done.stderr.strip().splitlines()[-1]}")
    times = sorted(file.stat().st_mtime_ns for file in (out / "frames").glob("[0-9]*.json"))
    if len(times) != frames:
        raise Failed(f"promptseg label wrote {len(times)} records, expected {frames}")
    first = WARM if with_memory else 0
    return (times[-1] - times[first]) / 1e6 / (frames - 1 - first)


def measure_all(programs: tuple, names: list, work: Path, turns: int, log, record) -> None:
    program, bare = programs
    for name in names:
        _, model, size = name.split("/")
        width, height = map(int, size.split("x"))
        folder, bundle = pictures((width, height), work), models.bundle(model, work, log)
        kind, peer, request = "lean", "bare sessions", f"image_to_mask {width // 2} {height // 2}"
        if model in WITH_MEMORY:
            kind, peer, request = "track", "a step of the tracker", "track 1 6"
        sessions = Contender(peer, [bare, kind, bundle, "fp32", THREADS], work / "log" / "bare_label.log")
        try:
            # The tracker moves a window over a larger photo.
            sessions.photo(models.photo(1280, 720, work) if model in WITH_MEMORY else folder.with_suffix(".png"))
            sessions.numbers(request)
            pairs = []
            for _ in range(turns):
                ours = label(program, model, bundle, folder, work / "label" / "out")
                theirs = statistics.fmean(sessions.numbers(request)[0] for _ in range(min(FRAMES[model], 24)))
                pairs.append((ours, theirs))
        finally:
            sessions.close()
        ours, theirs = zip(*pairs)
        record([report.ratio_row(name, ours, peer, theirs, digits=2, quartiles=False)])


def table(rows: list) -> str:
    text = "| model | pictures | frames a second | the peer's | peer | share of its rate | all turns |\n|---|---|--:|--:|---|--:|---|\n"
    measured = {(row["case"], row["peer"]): row for row in rows}
    for name in LABEL:
        _, model, size = name.split("/")
        if row := measured.get((name, "a step of the tracker" if model in WITH_MEMORY else "bare sessions")):
            low, high = sorted(1 / ratio for ratio in row["spread"])
            text += (
                f"| {model} | {size} | {1000 / row['ours_ms']:.2g} | {1000 / row['peer_ms']:.2g} | {row['peer']} "
                f"| {1 / row['ratio']:.2f} | {low:.2f} to {high:.2f} |\n"
            )
    return text


def write_docs(rows: list) -> None:
    if any(row["case"].startswith("label/") for row in rows):
        report.write_part(DOCUMENT, BEGIN, END, table(rows))

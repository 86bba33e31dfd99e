"""The tables of a proof, for the terminal and docs/providers.md."""

from __future__ import annotations

import sys

import plan

DOCUMENT = plan.ROOT / "docs/providers.md"
BEGIN, END = "<!-- device: begin -->", "<!-- device: end -->"


def tables(results: dict) -> str:
    machine, rows = results["machine"], results["rows"]
    head = f"{machine.get('gpu', 'no GPU')}, TensorRT {machine.get('tensorrt', 'not found')}, {machine['cpus']} cores\n"
    return "\n".join([head, starts(rows), times(rows), choices(rows), accuracy(rows)])


def failures(results: dict) -> list[str]:
    return [
        f"{row['kind']} {row['model']}, {row['provider']}, {row['asked']}: {name}: {verdict}"
        for row in results["rows"]
        for name, verdict in row["checks"].items()
        if verdict is not True
    ]


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", "---", *["--:"] * (len(head) - 2)], *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def number(value: object) -> str:
    if not isinstance(value, (int, float)):
        return "not measured"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def of_kind(rows: list[dict], kind: str) -> list[dict]:
    return [row for row in rows if row["kind"] == kind]


def asked(row: dict) -> str:
    precision = row.get("values", {}).get("precision") or row["asked"]
    return f"{row['provider']}, {precision}"


def starts(rows: list[dict]) -> str:
    head = ["model", "provider", "first start, s", "second start, s", "masks, IoU with the CPU", "logits, part of the range",
            "GPU, MB", "process, MB", "checks"]  # fmt: skip
    lines = []
    for row in of_kind(rows, "bench"):
        values = row.get("values", {})
        parity, load = values.get("parity") or {}, values.get("load_ms")
        passed = sum(verdict is True for verdict in row["checks"].values())
        seconds = load / 1e3 if load is not None else None
        cells = [values.get("first_start_s"), seconds, parity.get("mask_iou"), parity.get("logits"), values.get("gpu_mb"), values.get("peak_rss_mb")]
        lines.append([row["model"], asked(row), *map(number, cells), f"{passed} of {len(row['checks'])}"])
    return table(head, lines)


def times(rows: list[dict]) -> str:
    stages = {"preprocess_ms": "preprocess", "encode_ms": "encode", "decode_ms": "decode", "postprocess_ms": "masks", "second_click_ms": "second click"}
    boxes = [f"{n} box{'es' if n > 1 else ''}" for n in plan.BOXES]
    lines = []
    for row in of_kind(rows, "bench"):
        values = row.get("values", {})
        of_boxes = values.get("boxes_ms") or {}
        cells = [*(values.get(key) for key in stages), *(of_boxes.get(str(n)) for n in plan.BOXES)]
        track = values.get("track")
        tracked = number(track["frame_ms"]) if track else "no memory" if values else "not measured"
        lines.append([row["model"], asked(row), *map(number, cells), tracked])
    return table(["model, ms", "provider", *stages.values(), *boxes, "frame of a track"], lines)


def choices(rows: list[dict]) -> str:
    lines = []
    for row in of_kind(rows, "choice"):
        values = row.get("values")
        for part, timings in values["timings"].items() if values else ():
            chosen = values["parts"][part]["provider"]
            lines.append([f"{row['model']} {part.replace('_', ' ')}", chosen, *(number(timings.get(name)) for name in (*plan.PROVIDERS, "cpu"))])
        if not values:
            lines.append([row["model"], *["not measured"] * 4])
    return table(["graph", "chosen", *(f"{name}, ms" for name in (*plan.PROVIDERS, "cpu"))], lines)


def accuracy(rows: list[dict]) -> str:
    scores = ("click1", "box", "click3")
    lines = [
        [row["model"], row["provider"], *(number(row.get("values", {}).get(score)) for score in scores)]
        for row in of_kind(rows, "accuracy")
    ]
    return table(["mean IoU", "provider", *scores], lines)


def write_docs(results: dict) -> None:
    text = DOCUMENT.read_text()
    if BEGIN not in text or END not in text:
        sys.exit(f"{DOCUMENT} does not contain {BEGIN} and {END}, between which the tables are written")
    before, rest = text.split(BEGIN, 1)
    DOCUMENT.write_text(f"{before}{BEGIN}\n{tables(results)}{END}{rest.split(END, 1)[1]}")

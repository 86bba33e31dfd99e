"""Reports the measured rows: out/bench.json, lines on the terminal, and the table and plot of docs/performance.md."""

import json
import os
import statistics
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENT, PLOT = ROOT / "docs/performance.md", ROOT / "docs/performance.svg"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
HEAD = f"{'case':<36} {'ours':>12} {'peer':>38}   ratio (half of the turns)"
CURVES = ("image_size/", "objects/", "cameras/")
ELSEWHERE = ("track/", "everything/", "provider/", "auto/", "label/", "text/", "levels/")
PROVIDERS_BEGIN, PROVIDERS_END = "<!-- providers: begin -->", "<!-- providers: end -->"
AUTO_BEGIN, AUTO_END = "<!-- auto: begin -->", "<!-- auto: end -->"


def read(path: Path) -> list:
    return json.loads(path.read_text()) if path.is_file() else []


def add(path: Path, rows: list) -> None:
    """Adds rows to the file, replacing rows of the same case and peer."""
    path.parent.mkdir(exist_ok=True)
    merged = {(row["case"], row["peer"]): row for row in read(path)}
    merged.update({(row["case"], row["peer"]): row for row in rows})
    partial = path.with_suffix(f".{os.getpid()}")
    partial.write_text(json.dumps(list(merged.values()), indent=1) + "\n")
    partial.replace(path)


def milliseconds(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def line(row: dict) -> str:
    low, high = row["spread"]
    ours, peer = (f"{milliseconds(row[key])} ms" for key in ("ours_ms", "peer_ms"))
    columns = f"{row['case']:<36} {ours:>12} {row['peer']:>25} {peer:>12}   {row['ratio']:5.3f} ({low:.3f} to {high:.3f})"
    notes = [f"{key.replace('_', ' ')} {row[key]}" for key in ("mask_iou", "slowest_camera", "result") if key in row]
    return columns + "".join(f"  {note}" for note in notes)


def table(rows: list, parts: tuple = ()) -> str:
    """The rows of the cases whose names start with one of `parts`, or of all cases that have no table of their own."""
    text = "| case | ours ms | peer | peer ms | ours / peer | half of the turns | masks |\n|---|--:|---|--:|--:|---|---|\n"
    for row in rows:
        if row["case"].startswith((*CURVES, *ELSEWHERE)) if not parts else not row["case"].startswith(parts):
            continue
        low, high = row["spread"]
        agreement = f"IoU {row['mask_iou']:.4f}" if "mask_iou" in row else row.get("result", "")
        text += (
            f"| {row['case']} | {milliseconds(row['ours_ms'])} | {row['peer']} | {milliseconds(row['peer_ms'])} "
            f"| {row['ratio']:.3f} | {low:.3f} to {high:.3f} | {agreement} |\n"
        )
    return text


def instruction_sets() -> str:
    """The processor's name, and its instruction sets that the kernels use."""
    fields = dict(line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines() if ":" in line)
    fields = {key.strip(): value.strip() for key, value in fields.items()}
    flags = fields.get("flags", fields.get("Features", "")).split()
    known = {"avx2": "AVX2", "avx512f": "AVX-512", "avx512_vnni": "VNNI", "avx512_bf16": "BF16", "amx_bf16": "AMX", "i8mm": "I8MM",
             "bf16": "BF16"}  # fmt: skip
    return f"{fields.get('model name', os.uname().machine)}: {', '.join(name for flag, name in known.items() if flag in flags)}"


def machine() -> str:
    """The line above a table that says what measured it."""
    return f"Two threads of {instruction_sets()}.\n\n"


def providers_table(rows: list) -> str:
    """The time of each graph on the CPU provider, and the other providers as ratios to it."""
    graphs, names = {}, []
    for row in rows:
        if row["case"].startswith("provider/"):
            _, model, graph, name = row["case"].split("/")
            graphs.setdefault((model, graph), {})[name] = row
            names += [name] if name not in names else []
    text = machine()
    text += f"| graph | cpu, ms | {' | '.join(names)} | masks |\n|---|--:|{'--:|' * len(names)}---|\n"
    for (model, graph), measured in graphs.items():
        cpu = statistics.median(row["peer_ms"] for row in measured.values())
        low = {name: "{:.2f} ({:.2f} to {:.2f})".format(row["ratio"], *row["spread"]) for name, row in measured.items()}
        overlaps = [f"{name} {row['mask_iou']:.4f}" for name, row in measured.items() if "mask_iou" in row]
        columns = " | ".join(low.get(name, "") for name in names)
        text += f"| {model} {graph} | {milliseconds(cpu)} | {columns} | {', '.join(overlaps)} |\n"
    return text


def curve(rows: list, start: str, x_value) -> tuple:
    """The x values, our times and the peer's times of all cases `start/...`, sorted by x.

    `x_value` converts the last part of a case's name to its x value.
    """
    points = sorted((x_value(r["case"].split("/")[-1]), r["ours_ms"], r["peer_ms"]) for r in rows if r["case"].startswith(start))
    return tuple(zip(*points)) if points else ((), (), ())


def megapixels(size: str) -> float:
    width, height = size.split("x")
    return int(width) * int(height) / 1e6


def plot(rows: list, path: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    # Colours that are readable on white and on black.
    grey, blue, orange = "#808080", "#3b82f6", "#e07b00"
    pyplot.rcParams.update({
        "svg.fonttype": "none", "svg.hashsalt": "promptseg", "font.size": 10, "text.color": grey, "axes.labelcolor": grey,
        "axes.edgecolor": grey, "xtick.color": grey, "ytick.color": grey, "axes.spines.top": False, "axes.spines.right": False,
    })  # fmt: skip
    panels = (
        ("image_size/tiny/", "models/tiny: a picture to a mask", "megapixels of the picture", "ms", megapixels, None),
        ("image_size/mobilesam/", "MobileSAM: a picture to a mask", "megapixels of the picture", "ms", megapixels, None),
        ("objects/mobilesam/", "MobileSAM: boxes on one picture", "boxes", "ms", int, 2),
        ("cameras/tiny/", "models/tiny: cameras on one model", "cameras", "ms a frame, all cameras", int, 2),
    )
    figure, axes = pyplot.subplots(2, 2, figsize=(9, 5.4))
    for axis, (start, title, label, unit, x_value, base) in zip(axes.flat, panels):
        x, ours, bare = curve(rows, start, x_value)
        axis.plot(x, bare, "--", color=orange, marker="s", markersize=3, label="bare sessions")
        axis.plot(x, ours, color=blue, marker="o", markersize=3, label="promptseg")
        axis.set_title(title, fontsize=10)
        axis.set_xlabel(label)
        axis.set_ylabel(unit)
        if base:
            axis.set_xscale("log", base=base)
            axis.set_xticks(x, [str(v) for v in x])
        if start.startswith("objects"):
            axis.set_yscale("log")
            axis.yaxis.set_major_formatter("{x:g}")
        else:
            axis.set_ylim(0, 1.15 * max((*ours, *bare), default=1))
        axis.grid(color=grey, alpha=0.25, linewidth=0.5)
    axes.flat[0].legend(frameon=False, loc="lower right")
    figure.tight_layout()
    figure.savefig(path, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    pyplot.close(figure)


def ratio_row(case: str, ours: list, peer: str, theirs: list, digits: int = 1, quartiles: bool = True, **more) -> dict:
    """The row of a case: medians, and the ratios of the turns. Their spread are the quartiles, or all turns."""
    ratios = sorted(a / b for a, b in zip(ours, theirs, strict=True))
    low, high = ratios[0], ratios[-1]
    if quartiles and len(ratios) > 1:
        low, _, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return {
        "case": case,
        "ours_ms": round(statistics.median(ours), digits),
        "peer": peer,
        "peer_ms": round(statistics.median(theirs), digits),
        "ratio": round(statistics.median(ratios), 4),
        "spread": [round(low, 4), round(high, 4)],
        "turns": len(ratios),
        **more,
    }


def write_part(document: Path, begin: str, end: str, part: str) -> None:
    """Replaces what is between two marks of a document."""
    text = document.read_text()
    if begin not in text or end not in text:
        raise SystemExit(f"{document} does not contain {begin} and {end}, between which a table is written")
    before, rest = text.split(begin, 1)
    document.write_text(f"{before}{begin}\n{part}{end}{rest.split(end, 1)[1]}")


def write_docs(rows: list) -> None:
    """Writes the tables of what was measured. A table without measured rows stays."""
    if table(rows) != table([]):
        write_part(DOCUMENT, BEGIN, END, f"{machine()}{table(rows)}")
    if any(row["case"].startswith(CURVES) for row in rows):
        plot(rows, PLOT)
    if any(row["case"].startswith("provider/") for row in rows):
        write_part(DOCUMENT, PROVIDERS_BEGIN, PROVIDERS_END, providers_table(rows))
    if any(row["case"].startswith("auto/") for row in rows):
        write_part(DOCUMENT, AUTO_BEGIN, AUTO_END, f"{machine()}{table(rows, ('auto/',))}")

"""Measures segmenting everything: beside Meta's automatic mask generators, the quick modes, and object proposals.

The tables are in docs/everything.md. Requests to the contenders:

    everything NAME=VALUE ...        milliseconds, decoded clicks, masks, peak memory of the process in megabytes
    proposals POINTS                 the same for object proposals
    save FILE                        writes the last masks as a list of COCO's run lengths with scores: `ok`

On scenes of tests/scenes, whose objects are known, `recall` is the part of the objects (or of the masks of the full grid) that
some mask meets with an IoU of 0.75; AR is the mean recall at IoU 0.5 to 0.95 in steps of 0.05, as in COCO.
"""

import json
import statistics
import sys
import tempfile
from pathlib import Path

import models
import numpy as np
import report
from cases import EVERYTHING_BESIDE, EVERYTHING_GRIDS, PROPOSALS
from cases import EVERYTHING_MODES as MODES
from contender import THREADS, Contender
from PIL import Image

TURNS = 3
SCENES, MOST_SCENES = models.ROOT / "tests/scenes", 20
DOCUMENT = models.ROOT / "docs/everything.md"
BESIDE = {name: name.split("/")[1] for name in EVERYTHING_BESIDE}
TITLES = {"mobilesam": "MobileSAM", "sam2.1_tiny": "SAM 2.1 tiny"}
GRIDS = {f"everything/tiny/{n}": n for n in EVERYTHING_GRIDS}
DROPPED = 0.7, 0.5
"""Parts of the candidates that the predicted IoU drops, and of the rest that the stability score drops."""
TINY = {"pred_iou_thresh": 0.7, "stability_score_thresh": 0.85}
"""Thresholds for models/tiny, whose borders are softer than SAM's."""
EQUAL = 0.999
MET = 0.75
STEPS = np.arange(0.5, 0.96, 0.05)
LIMITS = 10, 100, 1000


def settings(**values) -> str:
    return "everything " + " ".join(f"{name}={value}" for name, value in values.items())


def masks(contender: Contender) -> list:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "masks.json"
        contender._request(f"save {file}")
        return json.loads(file.read_text())


def overlaps(found: list, expected: list) -> np.ndarray:
    """IoU of each expected mask with each found mask."""
    from pycocotools import mask as coco

    if not found or not expected:
        return np.zeros((len(expected), len(found)))
    return np.asarray(coco.iou([m["segmentation"] for m in expected], [m["segmentation"] for m in found], [0] * len(found)))


def equal_part(found: list, expected: list) -> float:
    """The part of the masks that have an equal mask in the other list, one to one."""
    pairs = overlaps(found, expected) >= EQUAL
    matched = min(int(pairs.any(0).sum()), int(pairs.any(1).sum()))
    return matched / max(len(found), len(expected), 1)


def beside_the_reference(program: list, name: str, work: Path, turns: int, log, record) -> None:
    model = BESIDE[name]
    bundle, exported, photo = models.bundle(model, work, log), models.MODELS[model], models.photo(1280, 720, work)
    ours = Contender("ours", [*program, bundle, "fp32", THREADS], work / "log" / "everything.log")
    script = Path(__file__).with_name("torch_everything.py")
    command = [sys.executable, "-W", "ignore", script, exported.family, exported.model, models.SEED]
    peer = Contender("Meta's generator", command, work / "log" / "torch_everything.log")
    try:
        ours.photo(photo), peer.photo(photo)
        iou, stability = peer.numbers(f"thresholds 8 {DROPPED[0]} {DROPPED[1]}")
        line = settings(points_per_side=32, pred_iou_thresh=iou, stability_score_thresh=stability)
        log(f"{name}: {line}; some minutes a turn ...")
        times = {ours: [], peer: []}
        for turn in range(turns):
            for contender in (ours, peer) if turn % 2 == 0 else (peer, ours):
                times[contender].append(contender.numbers(line))
        (own, theirs), both = ([masks(c) for c in (ours, peer)]), (times[ours], times[peer])
        more = {
            "masks": len(theirs), "mask_iou": round(equal_part(own, theirs), 4),
            "ours_mb": round(both[0][-1][3]), "peer_mb": round(both[1][-1][3]),
        }  # fmt: skip
        record([report.ratio_row(name, *([n[0] for n in both[0]], "Meta's generator", [n[0] for n in both[1]]), **more)])
    finally:
        ours.close()
        peer.close()


def tiny(program: list, work: Path) -> Contender:
    return Contender("ours", [*program, models.ROOT / "models/tiny", "fp32", THREADS], work / "log" / "everything.log")


def grids(program: list, names: list, work: Path, turns: int, record) -> None:
    """Time and memory of models/tiny for grids of several sizes, each beside the grid of 32 clicks a side in the same turn."""
    photo = models.photo(1280, 720, work)
    for name in names:
        # A process of its own for each grid, because the peak of the memory does not fall.
        ours, whole = tiny(program, work), tiny(program, work)
        try:
            ours.photo(photo), whole.photo(photo)
            line = settings(points_per_side=GRIDS[name], **TINY)
            pairs = [(ours.numbers(line), whole.numbers(settings(points_per_side=32, **TINY))) for _ in range(turns)]
            own, full = ([n[0] for n in part] for part in zip(*pairs))
            more = {"masks": int(pairs[-1][0][2]), "ours_mb": round(pairs[-1][0][3]), "peer_mb": round(pairs[-1][1][3])}
            record([report.ratio_row(name, own, "32 clicks a side", full, **more)])
        finally:
            ours.close()
            whole.close()


def scenes() -> dict:
    """The objects of the first `MOST_SCENES` scenes: their masks and boxes."""
    from pycocotools import mask as coco

    objects = {}
    for entry in json.loads((SCENES / "prompts.json").read_text()):
        truth = np.asarray(Image.open(SCENES / f"{entry['scene']}_truth.png")) == entry["object"]
        rle = coco.encode(np.asfortranarray(truth.astype(np.uint8)))
        objects.setdefault(entry["scene"], []).append({"segmentation": rle, "box": entry["box"]})
    return dict(list(objects.items())[:MOST_SCENES])


def met(found: list, expected: list) -> int:
    """How many of the expected masks some mask meets."""
    return int((overlaps(found, expected).max(1, initial=0) >= MET).sum())


def modes(program: list, work: Path, record) -> None:
    """Time, recall of the objects and recall of the full grid's masks, for each quick mode, over all scenes."""
    ours, objects = tiny(program, work), scenes()
    full, total = settings(points_per_side=32, **TINY), sum(map(len, objects.values()))
    names = ("coarse to fine", "boxes of the objects", "left half of the image", "16 clicks a side", "8 clicks a side")
    totals = {name: {"ms": 0.0, "full_ms": 0.0, "clicks": 0, "of_objects": 0, "of_full": 0, "full": 0} for name in names}
    of_full_grid = 0
    try:
        for scene, expected in objects.items():
            ours.photo(SCENES / f"{scene}.png")
            full_ms = ours.numbers(full)[0]
            whole = masks(ours)
            of_full_grid += met(whole, expected)
            width, height = Image.open(SCENES / f"{scene}.png").size
            boxes = ",".join(str(v) for found in expected for v in found["box"])
            lines = dict(zip(names, (
                f"{full} search=coarse_to_fine", f"{full} boxes={boxes}", f"{full} region=0,0,{width // 2},{height}",
                settings(points_per_side=16, **TINY), settings(points_per_side=8, **TINY),
            )))  # fmt: skip
            for name, line in lines.items():
                milliseconds, clicks, *_ = ours.numbers(line)
                found, entry = masks(ours), totals[name]
                entry["ms"] += milliseconds
                entry["full_ms"] += full_ms
                entry["clicks"] += clicks
                entry["of_objects"] += met(found, expected)
                # A region is compared with the masks of the full grid that lie in it.
                inside = [m for m in whole if name[:4] != "left" or m["bbox"][0] + m["bbox"][2] < width // 2]
                entry["of_full"] += met(found, inside)
                entry["full"] += len(inside)
    finally:
        ours.close()
    for name, entry in totals.items():
        record([{
            "case": MODES, "ours_ms": round(entry["ms"] / len(objects), 1), "peer": name,
            "peer_ms": round(entry["full_ms"] / len(objects), 1), "ratio": round(entry["ms"] / entry["full_ms"], 4),
            "spread": [0, 0], "turns": len(objects), "clicks": round(entry["clicks"] / len(objects)),
            "of_objects": round(entry["of_objects"] / total, 4), "full_of_objects": round(of_full_grid / total, 4),
            "of_full": round(entry["of_full"] / max(entry["full"], 1), 4),
        }])  # fmt: skip


def proposals(program: list, work: Path, record) -> None:
    """Average recall of the best 10, 100 and 1000 proposals, of masks and of boxes."""
    from pycocotools import mask as coco

    ours, objects = tiny(program, work), scenes()
    hits, times, counts = {(kind, k): [] for kind in ("masks", "boxes") for k in LIMITS}, [], []
    try:
        for scene, expected in objects.items():
            ours.photo(SCENES / f"{scene}.png")
            milliseconds, _, count, _ = ours.numbers("proposals 32")
            times.append(milliseconds)
            counts.append(count)
            found = masks(ours)
            by_box = coco.iou(
                # Boxes of the generator end at their last pixel; boxes of the scenes end behind it.
                np.array([[x0, y0, x1 - x0, y1 - y0] for x0, y0, x1, y1 in (o["box"] for o in expected)], float),
                np.array([[x, y, w + 1, h + 1] for x, y, w, h in (m["bbox"] for m in found)], float), [0] * len(found),
            )  # fmt: skip
            for kind, overlap in (("masks", overlaps(found, expected)), ("boxes", np.asarray(by_box))):
                for k in LIMITS:
                    best = overlap[:, :k].max(1, initial=0)
                    hits[kind, k] += list((best[:, None] >= STEPS - 1e-9).mean(1))
    finally:
        ours.close()
    recall = {f"{kind}_{k}": round(float(np.mean(values)), 4) for (kind, k), values in hits.items()}
    record([{
        "case": PROPOSALS, "ours_ms": round(statistics.median(times), 1), "peer": "drawn objects", "peer_ms": 0, "ratio": 0,
        "spread": [0, 0], "turns": len(times), "proposals": round(statistics.mean(counts)), **recall,
    }])  # fmt: skip


def measure_all(program: list, names: list, work: Path, turns: int, log, record) -> None:
    for name in names:
        if name in BESIDE:
            beside_the_reference(program, name, work, turns, log, record)
    grids(program, [name for name in names if name in GRIDS], work, turns, record)
    if MODES in names:
        modes(program, work, record)
    if PROPOSALS in names:
        proposals(program, work, record)


def beside_table(rows: dict) -> str:
    text = "| model | ours s | Meta's s | ours / Meta's | range | equal masks | ours MB | Meta's MB |\n|---|--:|--:|--:|---|---|--:|--:|\n"
    for name, model in BESIDE.items():
        for row in rows.get(name, []):
            low, high = row["spread"]
            text += (
                f"| {TITLES[model]} | {row['ours_ms'] / 1e3:.1f} | {row['peer_ms'] / 1e3:.1f} | {row['ratio']:.2f} | {low:.2f} to {high:.2f} "
                f"| {100 * row['mask_iou']:.1f} % of {row['masks']} | {row['ours_mb']} | {row['peer_mb']} |\n"
            )
    return text


def grid_table(rows: dict) -> str:
    text = "| clicks a side | ms | of 32 a side | masks | MB |\n|--:|--:|--:|--:|--:|\n"
    for name, side in GRIDS.items():
        for row in rows.get(name, []):
            text += f"| {side} | {row['ours_ms']:.0f} | {row['ratio']:.2f} | {row['masks']} | {row['ours_mb']} |\n"
    return text


def modes_table(rows: dict) -> str:
    text = "| search | prompts | time | recall of the objects | recall of the full grid's masks |\n|---|--:|--:|--:|--:|\n"
    for row in rows.get(MODES, []):
        if not text.count("full grid |"):
            text += f"| full grid | 1024 | 1.00 | {row['full_of_objects']:.3f} | 1.000 |\n"
        objects = "" if row["peer"].startswith("left") else f"{row['of_objects']:.3f}"
        text += f"| {row['peer']} | {row['clicks']} | {row['ratio']:.2f} | {objects} | {row['of_full']:.3f} |\n"
    return text


def proposals_table(rows: dict) -> str:
    text = "| average recall of | " + " | ".join(f"the best {k}" for k in LIMITS) + " |\n|---|" + "--:|" * len(LIMITS) + "\n"
    for row in rows.get(PROPOSALS, []):
        for kind in ("masks", "boxes"):
            text += f"| {kind} | " + " | ".join(f"{row[f'{kind}_{k}']:.3f}" for k in LIMITS) + " |\n"
    return text


TABLES = {"beside": beside_table, "grids": grid_table, "modes": modes_table, "proposals": proposals_table}


def write_docs(rows: list) -> None:
    by_case = {}
    for row in rows:
        by_case.setdefault(row["case"], []).append(row)
    for name, table in TABLES.items():
        if table(by_case) != table({}):
            report.write_part(DOCUMENT, f"<!-- {name}: begin -->", f"<!-- {name}: end -->", table(by_case))

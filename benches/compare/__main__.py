"""Compares promptseg with PyTorch, a Python loop around ONNX Runtime, the library usls and the bare sessions.

`./dev bench` builds the programs that this script needs and runs it:

    python benches/compare --models PROGRAM --pixels PROGRAM --usls PROGRAM --work DIR [--quick] [--only PART ...]

Every contender has two threads. Each row of out/bench.json has `case`, `ours_ms`, `peer`, `peer_ms`, `ratio` (ours / peer,
the median over turns), `spread` (quartiles of the ratio), `turns` and `mask_iou` (IoU of our mask with the peer's mask).
Rows of other cases stay in the file, so that a long measurement can be done in parts.
"""

import argparse
import sys
from importlib import import_module
from pathlib import Path

import cases

HERE = Path(__file__).parent
TURNS, QUICK = 15, 2


def starter(group: cases.Group, args, bundle: Path):
    """Returns a function that starts a contender of a group by name."""
    import models
    from contender import Contender, with_openvino

    python = [sys.executable, "-W", "ignore"]
    exported = models.MODELS.get(group.model)

    def start(name: str):
        commands = {
            "ours": [args.models, "ours", bundle, group.precision, 2],
            cases.CPU_PROVIDER: [args.models, "ours", bundle, group.precision, 2],
            **{provider: [args.models, kind, bundle, "auto", 2] for provider, kind in cases.PROVIDERS.items()},
            "one by one": [args.models, "ours", bundle, group.precision, 2],
            "cameras": [args.models, "cameras", bundle, group.precision, 2],
            "bare sessions": [args.models, "lean", bundle, group.precision, 2],
            "bare, defaults": [args.models, "bare", bundle, group.precision, 2],
            "onnxruntime in python": [*python, HERE / "python_loop.py", bundle, group.precision],
            "usls": [args.usls, bundle / "image_encoder.onnx", bundle / models.OFFICIAL, 2],
        }
        if exported:
            predictor = [HERE / "torch_predictor.py", exported.family, exported.model, models.SEED]
            commands["pytorch"] = [*python, *predictor]
        variables = with_openvino(name) if name in cases.PROVIDERS else {}
        return Contender(name, commands[name], args.work / "log" / f"{name.replace(' ', '_')}.log", variables)

    return start


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__.split("\n\n")[0])
    parser.add_argument("--models", help=argparse.SUPPRESS)
    parser.add_argument("--pixels", help=argparse.SUPPRESS)
    parser.add_argument("--usls", help=argparse.SUPPRESS)
    parser.add_argument("--promptseg", help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--peers", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--make", metavar="MODEL", help=argparse.SUPPRESS)
    parser.add_argument("--only", nargs="+", metavar="PART", help="measure only cases whose name contains one of these parts; cases of "
                        f"{cases.ON_REQUEST}, whose export takes 20 minutes and 12 GB of memory, only if a part contains {cases.ON_REQUEST}")
    parser.add_argument("--list", action="store_true", help="list the names of all cases")
    parser.add_argument("--quick", action="store_true", help="only two turns per case, as a test; do not quote its figures")
    parser.add_argument("--docs", action="store_true", help="also write the tables of docs/performance.md, tracking.md, everything.md, data-engine.md and text.md")
    args = parser.parse_args()
    if args.make:
        import models

        print(models.bundle(args.make, args.work, print), models.photo(1280, 720, args.work))
        return 0
    def selected(name: str) -> bool:
        if cases.ON_REQUEST in name:
            return any(cases.ON_REQUEST in part and part in name for part in args.only or [])
        return not args.only or any(part in name for part in args.only)

    chosen = [(g, [c for c in g.cases if selected(c.name)]) for g in cases.groups()]
    names = [c.name for _, part in chosen for c in part]
    pixel_names = [name for name in cases.PIXELS if selected(name)]
    parts = {part: [name for name in listed if selected(name)] for part, listed in cases.PARTS.items()}
    if args.peers:
        print("\n".join({peer for _, part in chosen for case in part for peer in case.peers}))
        return 0
    listed = names + pixel_names + [name for part in parts.values() for name in part]
    if args.list or not listed:
        print("\n".join(listed or [f"no name of a case contains {' or '.join(args.only)}; see --list"]))
        if not args.only:
            print("\n".join(f"{name} (only with --only {cases.ON_REQUEST})" for name in cases.TEXT if not selected(name)))
        return 0 if args.list else 2
    if args.check:
        return 0
    return measure_cases(args, chosen, pixel_names, parts)


def measure_cases(args, chosen: list, pixel_names: list, parts: dict) -> int:
    """Measures the chosen cases. The imports are here because `--list` and `--help` need only Python."""
    import measure
    import models
    import report
    from contender import Failed

    out = models.ROOT / "out" / ("bench-quick.json" if args.quick else "bench.json")

    def log(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def record(rows: list) -> None:
        report.add(out, rows)
        for row in rows:
            print(report.line(row), flush=True)

    print(report.HEAD)
    failed = []
    for group, part in chosen:
        if not part:
            continue
        bundle = models.bundle(group.model, args.work, log)
        photo = lambda size: models.photo(*size, args.work)  # noqa: E731
        max_turns, start = QUICK if args.quick else TURNS, starter(group, args, bundle)
        try:
            failed += measure.measure_group(group, part, start, photo, max_turns, record)
        except Failed as e:
            failed.append(str(e))
    if pixel_names:
        import pixels  # importing PyTorch takes seconds

        pixels.measure_all(args.pixels, pixel_names, 2 if args.quick else pixels.TURNS, record)
    programs = {
        "tracking": args.models,
        "everything": [args.models, "everything"],
        "label": (args.promptseg, args.models),
        "text": args.models,
        "levels": args.pixels,
    }
    for part, names in parts.items():
        if names:
            module = import_module(part)
            turns = 1 if args.quick else module.TURNS
            try:
                module.measure_all(programs[part], names, args.work, turns, log, record)
            except Failed as e:
                failed.append(str(e))
    if args.docs:
        for part in ("report", *parts):
            import_module(part).write_docs(report.read(out))
    print(f"{out.relative_to(models.ROOT)}: {len(report.read(out))} rows")
    for reason in failed:
        log(f"missing: {reason}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())

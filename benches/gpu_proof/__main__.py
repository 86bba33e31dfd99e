"""`./dev gpu-proof`: everything that can be said about a GPU in one command of at most eight minutes, as a table and JSON.

It measures models/tiny, MobileSAM, EdgeTAM and SAM 2.1 tiny (random weights) on TensorRT and CUDA: agreement with the CPU, the time of
each stage, a second click, 1 to 64 boxes, tracking, memory, the engine cache, fp16, and the provider of each graph. Every row is
checked; a failed check or a row that was not measured ends the command with exit code 1.

For a machine without a network, carry what is needed in parts:

  1. on a machine with a network: ./dev gpu-proof --pack out/gpu-proof --tensorrt FOLDER
     This builds the program, exports the models, downloads ONNX Runtime and CUDA's libraries, takes TensorRT's from FOLDER (NVIDIA's
     archive; they are on no public index) and cuts all into parts, 1 to 2 GB together. --part-mb sets their size. --without-cuda
     leaves out CUDA's libraries, if the GPU machine has CUDA 13 and cuDNN 9: installed, or in the packages of the Python that runs
     this command, as PyTorch brings them (PYTHON=FILE names another Python). --models packs some models only.
  2. on the GPU machine, once for each load of parts: ./dev gpu-proof --receive out/gpu-proof --kit ~/gpu-proof
     A load is kit.json and any of the parts. The parts may come one by one, in any order; the command checks them, keeps them in the
     kit's folder and names those that are missing. When the last one has come, it unpacks them.
  3. on the GPU machine: ./dev gpu-proof --kit ~/gpu-proof

The GPU machine needs NVIDIA's driver, bash and Python 3.10 to 3.13. `--rehearse` runs the same command on any machine, with a library
that simulates TensorRT and CUDA and with small models, or with program, models and ONNX Runtime of a kit (`--kit FOLDER`, which needs
more minutes than a GPU does: `--minutes 60`): it proves this command and the kit, and nothing about a GPU.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import kit
import machine
import plan
import report
from measure import Proof

ROOT = Path(__file__).resolve().parents[2]


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./dev gpu-proof", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kit", type=Path, metavar="FOLDER", help="the folder of program, models and libraries")
    parser.add_argument("--minutes", type=float, default=8, metavar="N", help="no measurement starts or goes on after N minutes (8)")
    parser.add_argument("--models", metavar="LIST", help="measure, or pack, only these models, separated by commas")
    parser.add_argument("--runs", type=int, default=20, metavar="N", help="measured runs of each stage (20)")
    parser.add_argument("--json", type=Path, default=ROOT / "out/gpu-proof.json", metavar="FILE", help="the results (out/gpu-proof.json)")
    parser.add_argument("--docs", action="store_true", help="write the tables into docs/providers.md")
    parser.add_argument("--rehearse", action="store_true", help="run on a simulated GPU, with small models or with --kit")
    parser.add_argument("--pack", type=Path, metavar="FOLDER", help="make the parts of a kit")
    parser.add_argument("--part-mb", type=int, default=kit.PART_MB, metavar="N", help=f"largest size of a part in MB ({kit.PART_MB})")
    parser.add_argument("--tensorrt", type=Path, metavar="FOLDER", help="folder of TensorRT's libraries, which are packed too")
    parser.add_argument("--capability", default="90", metavar="N", help="compute capability whose part of TensorRT is packed (90)")
    parser.add_argument("--without-cuda", action="store_true", help="leave CUDA's libraries out, which the GPU machine has")
    parser.add_argument("--receive", type=Path, metavar="FOLDER", help="take over the parts in FOLDER into --kit")
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    return parser


def main() -> int:
    parser = options()
    chosen = parser.parse_args()
    if sum(map(bool, (chosen.rehearse, chosen.pack, chosen.receive))) > 1:
        parser.error("--rehearse, --pack and --receive exclude each other")
    if chosen.docs and chosen.rehearse:
        parser.error("--docs needs a GPU: a rehearsal says nothing about one")
    if chosen.receive and not chosen.kit:
        parser.error("--receive needs --kit, the folder that keeps the parts")
    if min(chosen.minutes, chosen.runs, chosen.part_mb) <= 0:
        parser.error("--minutes, --runs and --part-mb must be positive")
    if chosen.check:
        return 0
    try:
        if chosen.pack:
            models = named(chosen.models, ["tiny", *plan.EXPORTED])
            kit.pack(chosen.pack, models, chosen.part_mb * 1_000_000, chosen.tensorrt, chosen.capability, not chosen.without_cuda)
            return 0
        if chosen.receive:
            return 0 if kit.receive(chosen.receive, chosen.kit) else 1
        return prove(chosen)
    except kit.KitError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def named(chosen: str | None, names: list[str]) -> list[str]:
    """The names that a list separated by commas holds; all names without a list."""
    listed = chosen.split(",") if chosen else names
    if unknown := [name for name in listed if name not in names]:
        raise kit.KitError(f"there is no model {', '.join(unknown)}; there are {', '.join(names)}")
    return [name for name in names if name in listed]


def prove(chosen: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="promptseg-proof-") as folder:
        if chosen.rehearse:
            environment = machine.simulated(chosen.kit, Path(folder))
            subjects = plan.subjects(chosen.kit) if chosen.kit else plan.small_subjects()
        else:
            environment, subjects = machine.with_gpu(chosen.kit, Path(folder)), plan.subjects(chosen.kit)
        models = named(chosen.models, [subject.name for subject in subjects])
        subjects = [subject for subject in subjects if subject.name in models]
        for subject in subjects:
            if not (subject.folder / "bundle.json").is_file():
                raise kit.KitError(f"the model {subject.name} is missing: {subject.folder} is no bundle; see --help for a kit")
        proof = Proof(environment, subjects, Path(folder), chosen.minutes * 60, chosen.runs, small=chosen.rehearse and not chosen.kit)
        results = proof.run()
    chosen.json.parent.mkdir(parents=True, exist_ok=True)
    chosen.json.write_text(json.dumps(results, indent=1) + "\n")
    print(report.tables(results))
    failures = report.failures(results)
    for line in failures:
        print(f"FAILED {line}")
    print(f"{results['checks']} checks, {len(failures)} failed, {results['seconds']:.0f} s; {chosen.json}")
    if chosen.docs:
        report.write_docs(results)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

"""Measures the memory and CPU time of the node process. `./dev bench --node` runs this and writes out/bench-node.json.

- Memory: peak (VmHWM) after the start, after a click, and after frames of 1280x720 with a held object; compared with a
  program that runs only the two sessions in the same way (`models bare` and `models lean`, see models/main.rs).
- CPU: share of one core with a camera of 5 frames per second and a held object, and without frames.
- Encode: share of one core with a camera of 10 frames per second, no object and no subscriber, and the time from the first
  click after a pause to its masks, for each value of the parameter `encode.mode`.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/e2e"))

import numpy as np  # noqa: E402
from builtin_interfaces.msg import Time  # noqa: E402
from harness import NodeProcess, Peer, eventually, free_domain, parameter_args  # noqa: E402
from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from messages import image, pixel, prompt, prompts  # noqa: E402
from PIL import Image as Picture  # noqa: E402
from promptseg_msgs.msg import MaskArray, PromptArray  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402

WIDTH, HEIGHT, CLICK = 1280, 720, (540.0, 320.0)
# FRAMES is more than the node keeps.
FRAMES, RATE, SECONDS = 34, 5.0, 12.0
ENCODE_RATE, ENCODE_SECONDS, CLICKS, LINGER = 10.0, 20.0, 8, 0.5
PATIENCE = 120.0


def peak(pid: int) -> float:
    """Peak memory of a process, in MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM:"))


def seconds_of_cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Rig:
    """A node process and a camera that sends it images."""

    def __init__(self, photo: Path, parameters: dict[str, object], listen: bool = True) -> None:
        domain = free_domain()
        self.process = NodeProcess(domain, *parameter_args(parameters))
        self.peer = Peer(domain)
        if listen:
            self.masks = self.peer.subscribe(MaskArray, "/promptseg/masks")
        self.pixels = np.asarray(Picture.open(photo).convert("RGB"))
        self.sent = 0
        self.process.wait_ready()

    def send(self, wait: bool = False) -> None:
        self.sent += 1
        stamp = Time(sec=int(time.time()), nanosec=self.sent)
        self.peer.publish("image", image(self.pixels, stamp))
        if wait:
            self.masks.wait("masks of an image", lambda m: m.header.stamp == stamp, timeout=PATIENCE)

    def hold(self) -> None:
        """Prompts an object that is held on all later frames."""

        # The first images may be lost, because the node subscribes again with the camera's quality of service.
        def answered() -> bool:
            self.send()
            self.peer.publish("prompts", prompts(PromptArray.SET, prompt(points=[(*CLICK, 1)])))
            time.sleep(1.0)
            return any(m.masks for m in self.masks.all())

        eventually("the mask of a click", answered, PATIENCE)

    def close(self) -> None:
        self.peer.close()
        self.process.close()


def node_memory(photo: Path, bundle: Path, precision: str) -> dict:
    rig = Rig(photo, {"model": bundle, "precision": precision, "session.threads": 2})
    try:
        peaks = {"ready_mb": peak(rig.process.pid)}
        rig.hold()
        peaks["click_mb"] = peak(rig.process.pid)
        for _ in range(FRAMES):
            rig.send(wait=True)
        peaks["frames_mb"] = peak(rig.process.pid)
        return peaks
    finally:
        rig.close()


def bare_memory(program: Path, kind: str, photo: Path, bundle: Path, precision: str) -> dict:
    command = [program, kind, bundle, precision, "2"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def request(line: str) -> None:
            if line:
                print(line, file=process.stdin, flush=True)
            if not process.stdout.readline():
                raise SystemExit(f"{program} {kind} ended at {f'`{line}`' if line else 'its start'}")

        request("")
        peaks = {"ready_mb": peak(process.pid)}
        request(f"photo {photo}")
        request(f"image_to_mask {CLICK[0]} {CLICK[1]}")
        peaks["click_mb"] = peak(process.pid)
        for _ in range(3):
            request(f"image_to_mask {CLICK[0]} {CLICK[1]}")
        peaks["frames_mb"] = peak(process.pid)
        process.stdin.close()
        return peaks


def memory(args: argparse.Namespace, bundle: Path, precision: str) -> dict:
    row = {"case": f"memory/{bundle.name}/{precision}", "node": node_memory(args.photo, bundle, precision)}
    row["lean"] = bare_memory(args.models, "lean", args.photo, bundle, precision)
    row["bare"] = bare_memory(args.models, "bare", args.photo, bundle, precision)
    for peer in ("lean", "bare"):
        row[f"ratio_{peer}"] = round(row["node"]["frames_mb"] / row[peer]["frames_mb"], 3)
    return row


def cpu(photo: Path, spinning: bool, seconds: float) -> dict:
    """CPU time of the node with the built-in model, idle and at 5 frames per second."""
    rig = Rig(photo, {"session.spinning": spinning, "session.threads": 2})
    try:
        pid = rig.process.pid
        rig.hold()
        time.sleep(1.0)
        begun, used = time.monotonic(), seconds_of_cpu(pid)
        time.sleep(seconds / 2)
        idle = (seconds_of_cpu(pid) - used) / (time.monotonic() - begun)
        mark, count = rig.masks.mark(), 0
        begun, used = time.monotonic(), seconds_of_cpu(pid)
        while time.monotonic() - begun < seconds:
            rig.send()
            count += 1
            time.sleep(max(0.0, begun + count / RATE - time.monotonic()))
        eventually("the last masks", lambda: len(rig.masks.all(mark)) >= 0.8 * count)
        busy = seconds_of_cpu(pid) - used
        return {
            "case": f"cpu/tiny/spinning_{'on' if spinning else 'off'}",
            "idle_percent": round(100 * idle, 2),
            "percent_at_5_hz": round(100 * busy / (time.monotonic() - begun), 1),
            "cpu_ms_per_frame": round(1e3 * busy / count, 1),
            "answered": round(len(rig.masks.all(mark)) / count, 2),
        }
    finally:
        rig.close()


def encode(photo: Path, mode: str) -> dict:
    """CPU time without object and subscriber, and the time to the masks of clicks after a pause."""
    parameters = {"session.threads": 2, "encode.mode": mode, "encode.linger": LINGER, "persistence.default": "once"}
    rig = Rig(photo, parameters, listen=False)
    diagnostics = rig.peer.subscribe(DiagnosticArray, "/diagnostics")

    def values() -> dict[str, str]:
        message = diagnostics.wait("diagnostics", lambda m: len(m.status[0].values) > 5, diagnostics.mark())
        return {v.key: v.value for v in message.status[0].values}

    def camera(seconds: float) -> None:
        begun, count = time.monotonic(), 0
        while time.monotonic() - begun < seconds:
            rig.send()
            count += 1
            time.sleep(max(0.0, begun + count / ENCODE_RATE - time.monotonic()))

    try:
        camera(2.0)
        before, used = values(), seconds_of_cpu(rig.process.pid)
        begun = time.monotonic()
        camera(ENCODE_SECONDS)
        busy, wall = seconds_of_cpu(rig.process.pid) - used, time.monotonic() - begun
        after = values()
        for _ in range(CLICKS):
            rig.peer.publish("pixel", pixel(*CLICK))
            camera(3 * LINGER)
        # The window of the node's latencies holds these clicks and nothing else.
        clicks = values()
        return {
            "case": f"encode/tiny/{mode}",
            "percent": round(100 * busy / wall, 1),
            "images_in": int(after["images in"]) - int(before["images in"]),
            "images_encoded": int(after["images encoded"]) - int(before["images encoded"]),
            "click_ms": float(clicks["prompt to masks p50 (ms)"]),
            "click_max_ms": float(clicks["prompt to masks max (ms)"]),
        }
    finally:
        rig.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="./dev bench --node", description=__doc__.split("\n\n")[0])
    parser.add_argument("--models", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--photo", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--only", choices=("memory", "cpu", "encode"), help="measure only this")
    parser.add_argument("bundles", nargs="*", type=Path, help="bundles to measure the memory of")
    args = parser.parse_args()
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    rows = []
    if args.only in (None, "memory"):
        for bundle in args.bundles:
            variants = json.loads((bundle / "bundle.json").read_text()).get("variants", [])
            for precision in sorted({"fp32", *(v["precision"] for v in variants)} - {"fp16"}):
                rows.append(memory(args, bundle.resolve(), precision))
                print(json.dumps(rows[-1]), flush=True)
    if args.only in (None, "encode"):
        for mode in ("always", "auto", "on_demand"):
            rows.append(encode(args.photo, mode))
            print(json.dumps(rows[-1]), flush=True)
    if args.only in (None, "cpu"):
        for spinning in (False, True):
            rows.append(cpu(args.photo, spinning, SECONDS))
            print(json.dumps(rows[-1]), flush=True)
    out = ROOT / "out/bench-node.json"
    out.parent.mkdir(exist_ok=True)
    kept = json.loads(out.read_text()) if out.is_file() else []
    new = {row["case"] for row in rows}
    out.write_text(json.dumps([row for row in kept if row.get("case") not in {None, *new}] + rows, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""How many images of a steady camera the node receives and encodes, by the depth of its subscription.

    ./dev shell -- python tests/soak/image_queue.py [--sizes 640x480,1280x720] [--depths 1,5,10] [--count 360]

One line of a Markdown table for each camera and depth. docs/performance.md has the result.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e"))

from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402

from harness import NodeProcess, Peer, free_domain, parameter_args  # noqa: E402


def measure(size: str, depth: int, compressed: bool, best_effort: bool, count: int, rate: float) -> dict[str, str]:
    """The node's diagnostics after `count` images."""
    domain = free_domain()
    topic = "/image/compressed" if compressed else "/image"
    settings = {
        "model": "tiny",
        "encode.mode": "always",
        "image_transport": "compressed" if compressed else "raw",
        f"qos_overrides.{topic}.subscription.depth": depth,
    }
    process = NodeProcess(domain, *parameter_args(settings))
    peer = Peer(domain, "image_queue")
    try:
        process.wait_ready()
        diagnostics = peer.subscribe(DiagnosticArray, "/diagnostics")
        options = [*(["--compressed"] if compressed else []), *(["--best-effort"] if best_effort else [])]
        subprocess.run(
            [sys.executable, str(ROOT / "tests/e2e/steady_camera.py"), "--size", size, "--count", str(count),
             "--rate", str(rate), *options],
            env=os.environ | {"ROS_DOMAIN_ID": str(domain)}, check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(1.5)
        return {v.key: v.value for v in diagnostics.all()[-1].status[0].values}
    finally:
        peer.close()
        process.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="640x480,1280x720,1920x1080,3840x2160")
    parser.add_argument("--depths", default="1,2,5,10,20")
    parser.add_argument("--count", type=int, default=360)
    parser.add_argument("--rate", type=float, default=30.0)
    parser.add_argument("--kinds", default="raw reliable,raw best effort,compressed reliable,compressed best effort")
    arguments = parser.parse_args()
    print("| images | size | depth | sent | arrived | encoded | lost by the middleware | superseded |")
    print("|---|---|---|---|---|---|---|---|")
    for kind in arguments.kinds.split(","):
        for size in arguments.sizes.split(","):
            for depth in map(int, arguments.depths.split(",")):
                d = measure(size, depth, "compressed" in kind, "best" in kind, arguments.count, arguments.rate)
                row = [d.get(key, "?") for key in ("images in", "images encoded", "images lost by the middleware",
                                                   "images superseded by a newer one")]  # fmt: skip
                print(f"| {kind} | {size} | {depth} | {arguments.count} | " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()

"""Whether pages of the console cost a robot anything: a click over ROS with and without them, and the node's memory.

    ./dev shell -- python tests/soak/console.py [--clients 8] [--minutes 10] [--size 1280x720] [--rate 10]

Clicks are sent in turns with and without pages on one node, so that noise of the machine falls on both. Ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e"))

from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from promptseg_msgs.msg import MaskArray  # noqa: E402

import messages  # noqa: E402
from harness import NodeProcess, Peer, free_domain, parameter_args, share_enough_memory  # noqa: E402
from page_client import PageClient  # noqa: E402

CLICKS_IN_A_TURN = 20


def click_times(peer: Peer, masks: object, size: tuple[int, int]) -> list[float]:
    """Milliseconds from a click on the newest frame to its masks."""
    times = []
    for i in range(CLICKS_IN_A_TURN):
        before = masks.mark()
        since = time.monotonic()
        peer.publish("pixel", messages.pixel(size[0] * 3 / 8 + i, size[1] * 3 / 8))
        masks.wait("the masks of a click", lambda m: bool(m.masks), before)
        times.append((time.monotonic() - since) * 1e3)
        time.sleep(0.05)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--size", default="1280x720")
    parser.add_argument("--rate", type=float, default=10.0)
    arguments = parser.parse_args()
    size = tuple(map(int, arguments.size.split("x")))
    share_enough_memory()
    domain = free_domain()
    settings = {
        "encode.mode": "always", "persistence.default": "once", "console.enabled": True, "console.address": "127.0.0.1:0",
        "qos_overrides./image.subscription.reliability": "reliable",
    }  # fmt: skip
    process, peer = NodeProcess(domain, *parameter_args(settings)), Peer(domain, "soak_console")
    camera = None
    try:
        process.wait_ready()
        url = re.findall(r"console is at (http://[^,\s]+)", process.log())[-1]
        masks = peer.subscribe(MaskArray, "/promptseg/masks")
        encoded = peer.subscribe(DiagnosticArray, "/diagnostics")
        count = int(arguments.rate * (arguments.minutes * 60 + 120))
        camera = subprocess.Popen(
            [sys.executable, str(ROOT / "tests/e2e/steady_camera.py"), "--size", arguments.size, "--count", str(count),
             "--rate", str(arguments.rate)],
            env=os.environ | {"ROS_DOMAIN_ID": str(domain)}, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        encoded.wait("an encoded image", lambda m: any(v.key == "images encoded" and int(v.value) for v in m.status[0].values))
        click_times(peer, masks, size)
        times: dict[bool, list[float]] = {False: [], True: []}
        pictures, watched, memory = 0, 0.0, []
        end = time.monotonic() + arguments.minutes * 60
        while time.monotonic() < end:
            for has_pages in (False, True):
                pages = [PageClient(url, *size) for _ in range(arguments.clients)] if has_pages else []
                since = time.monotonic()
                time.sleep(0.5)
                times[has_pages] += click_times(peer, masks, size)
                if has_pages:
                    # Between the clicks the pages go on taking pictures.
                    time.sleep(min(10.0, max(0.0, end - time.monotonic())))
                    watched += time.monotonic() - since
                pictures += sum(page.pictures for page in pages)
                for page in pages:
                    page.close()
            memory.append(process.resident_megabytes())
            print(f"{memory[-1]:.1f} MB, clicks {statistics.median(times[False]):.1f} ms alone, "
                  f"{statistics.median(times[True]):.1f} ms with {arguments.clients} pages", flush=True)  # fmt: skip
        without, with_pages = (statistics.median(times[has_pages]) for has_pages in (False, True))
        print(json.dumps({
            "clients": arguments.clients, "size": arguments.size, "clicks": len(times[True]),
            "click_ms_alone": round(without, 2), "click_ms_with_pages": round(with_pages, 2),
            "ratio": round(with_pages / without, 3),
            "pictures_per_second_and_page": round(pictures / arguments.clients / watched, 2),
            "memory_mb": [round(m, 1) for m in (memory[0], memory[-1])],
        }))  # fmt: skip
    finally:
        if camera:
            camera.terminate()
        peer.close()
        process.close()


if __name__ == "__main__":
    main()

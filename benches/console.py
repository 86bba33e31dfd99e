"""Time from a click in the console to its mask on the screen, in a real Chromium on the same machine.

    ./dev shell -- python benches/console.py [--clicks 40] [--size 1280x720] [--rate 5]

The page's own clock measures from the release of the button to the frame of the browser after the masks were drawn. The node
reports the time of the decoder, and the time from the arrival of the prompt to the masks. Ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/e2e"))

from browser import CONSOLE, Tab, browser, url_of  # noqa: E402
from harness import NodeProcess, eventually, free_domain, parameter_args, share_enough_memory  # noqa: E402

# The list of objects changes together with the masks on the stage, which are painted in the next frame.
WATCH = """() => {
    let released = 0;
    window.clickTimes = [];
    document.getElementById("stage").addEventListener("pointerup", () => (released = performance.now()), true);
    new MutationObserver(() => {
        if (!released || !document.querySelector("#objects .object")) return;
        const since = released;
        released = 0;
        requestAnimationFrame(() => setTimeout(() => window.clickTimes.push(performance.now() - since)));
    }).observe(document.getElementById("objects"), { childList: true });
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clicks", type=int, default=40)
    parser.add_argument("--size", default="1280x720")
    parser.add_argument("--rate", type=float, default=5.0)
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    share_enough_memory()
    domain = free_domain()
    settings = CONSOLE | {"encode.mode": "always", "qos_overrides./image.subscription.reliability": "reliable"}
    process, camera = NodeProcess(domain, *parameter_args(settings)), None
    try:
        process.wait_ready()
        camera = subprocess.Popen(
            [sys.executable, str(ROOT / "tests/e2e/steady_camera.py"), "--size", arguments.size, "--rate",
             str(arguments.rate), "--count", "100000"],
            env=os.environ | {"ROS_DOMAIN_ID": str(domain)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        with browser() as chromium:
            # The stage has the size of the image: the side panels are beside it.
            tab = Tab(chromium.new_context(viewport={"width": width + 400, "height": height + 80}))
            page = tab.page
            page.goto(url_of(process))
            tab.until_state("live")
            page.evaluate(WATCH)
            box = page.locator("#stage").bounding_box()
            assert box is not None
            screen, node, decoder = [], [], []
            for i in range(arguments.clicks + 3):
                seen = len(tab.received)
                page.mouse.click(box["x"] + box["width"] * 0.375 + i % 7, box["y"] + box["height"] * 0.375)
                tab.until(f"window.clickTimes.length > {i}")
                masks = [m for m in tab.received[seen:] if m["type"] == "masks" and m["objects"]]
                screen.append(page.evaluate("window.clickTimes.at(-1)"))
                node.append(masks[0]["ms"]["total"])
                decoder.append(masks[0]["ms"]["decode"])
                page.keyboard.press("z")
                tab.until_objects(0)
                page.wait_for_timeout(60)
            screen, node, decoder = screen[3:], node[3:], decoder[3:]
            added = [a - b for a, b in zip(screen, decoder, strict=True)]
            print(json.dumps({
                "size": arguments.size, "clicks": len(screen),
                "click_to_screen_ms": round(statistics.median(screen), 1),
                "node_ms": round(statistics.median(node), 1),
                "decoder_ms": round(statistics.median(decoder), 1),
                "beyond_decoder_ms": round(statistics.median(added), 1),
                "beyond_decoder_p95_ms": round(sorted(added)[int(len(added) * 0.95)], 1),
            }))  # fmt: skip
            eventually("no error of the page", lambda: not tab.errors)
    finally:
        if camera:
            camera.terminate()
        process.close()


if __name__ == "__main__":
    main()

"""A real headless Chromium on the console's page."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from PIL import Image

from harness import START_TIMEOUT, NodeProcess, eventually

try:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, WebSocket, sync_playwright
except ImportError:
    sync_playwright = None  # type: ignore[assignment]

CHROMIUM = shutil.which("chromium")
Colour = tuple[int, int, int]

needs_chromium = pytest.mark.skipif(
    sync_playwright is None or CHROMIUM is None,
    reason="needs Debian's chromium and playwright: apt-get install chromium; pip install -r tests/e2e/requirements.txt",
)

# Pictures grow stale only in the tests that wait for it.
CONSOLE = {"console.enabled": True, "console.address": "127.0.0.1:0", "console.stale_after": 3600.0}


def url_of(process: NodeProcess) -> str:
    """The address of the console, from the node's log."""
    return re.findall(r"console is at (https?://[^,\s]+)", process.log())[-1]


class Tab:
    """A page of the console, with the messages that it sends and receives, and its errors."""

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        # Only failing tests wait this long.
        context.set_default_timeout(START_TIMEOUT * 1000)
        self.page: Page = context.new_page()
        self.sent: list[dict[str, Any]] = []
        self.received: list[dict[str, Any]] = []
        self.errors: list[str] = []
        self.page.on("websocket", self._listen)
        self.page.on("console", self._log)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _log(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def _listen(self, socket: WebSocket) -> None:
        def decoded(payload: str | bytes) -> dict[str, Any]:
            if isinstance(payload, str):
                return json.loads(payload)
            length = int.from_bytes(payload[:4], "little")
            return json.loads(payload[4 : 4 + length]) | {"type": "picture", "bytes": len(payload)}

        socket.on("framesent", lambda payload: self.sent.append(decoded(payload)))
        socket.on("framereceived", lambda payload: self.received.append(decoded(payload)))

    # ---------------------------------------------------------------- messages

    def asked(self, action: str) -> list[dict[str, Any]]:
        """The actions of that name that the page sent."""
        asks = [m["action"] for m in self.sent if m["type"] == "ask"]
        return [a for a in asks if a["do"] == action]

    @property
    def pictures(self) -> list[dict[str, Any]]:
        """The headers of the pictures that the page received."""
        return [m for m in self.received if m["type"] == "picture"]

    def mask(self, index: int = 0, size: tuple[int, int] = (240, 320)) -> np.ndarray:
        """The mask of an object in the last masks that the page received."""
        latest = [m for m in self.received if m["type"] in ("masks", "picture")][-1]
        mask = latest["objects"][index]["mask"]
        left, top, width, height = mask["rect"]
        inside = np.repeat(np.arange(len(mask["counts"])) % 2 == 1, mask["counts"])
        whole = np.zeros(size, bool)
        whole[top : top + height, left : left + width] = inside.reshape(height, width)
        return whole

    # ---------------------------------------------------------------- conditions

    def wait(self, description: str, condition: Callable[[], Any]) -> Any:
        """Waits for a condition on the messages, which arrive while the browser is asked something."""

        def poll() -> Any:
            self.page.evaluate("0")
            return condition()

        return eventually(description, poll, START_TIMEOUT)

    def until(self, condition: str) -> None:
        """Waits until an expression is true on the page. Playwright's own wait evaluates text, which the page's policy forbids."""
        eventually(condition, lambda: self.page.evaluate(condition), START_TIMEOUT)

    def until_state(self, state: str) -> None:
        """Waits for a state of the live line: live, held, stale, lost."""
        self.until(f"document.getElementById('live').dataset.state === '{state}'")

    def until_objects(self, count: int) -> None:
        """Waits until the page lists that number of objects."""
        self.until(f"document.querySelectorAll('#objects .object').length === {count}")

    def until_toast(self, text: str) -> None:
        self.until(f"[...document.querySelectorAll('.toast')].some((toast) => toast.textContent.includes({json.dumps(text)}))")

    def until_shown(self, stamp: Time) -> None:
        """Waits until the page has drawn the picture of a stamp."""

        def drawn() -> bool:
            numbers = [p["picture"] for p in self.pictures if stamp_of(p) == stamp]
            return any(m["type"] == "drawn" and m["picture"] in numbers for m in self.sent)

        self.wait(f"the picture of {stamp}", drawn)

    def until_painted(self) -> None:
        """Waits for two frames of the browser: everything that was asked for is on the screen."""
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    # ---------------------------------------------------------------- the stage

    def screenshot(self) -> np.ndarray:
        """The stage in device pixels, RGB."""
        self.until_painted()
        png = self.page.locator("#stage").screenshot(scale="device")
        return np.asarray(Image.open(BytesIO(png)).convert("RGB"))

    def has_colour(self, colour: Colour) -> np.ndarray:
        """The pixels of the stage that have nearly that colour."""
        return np.abs(self.screenshot().astype(int) - colour).max(axis=2) <= 40

    def spot(self, colour: Colour, ratio: float = 1) -> tuple[float, float]:
        """The middle of the pixels of a colour on the stage, in CSS pixels of the page. Knows nothing of the page's geometry."""
        y, x = np.nonzero(self.has_colour(colour))
        assert len(x) > 3, f"no pixel of the colour {colour} on the stage"
        box = self.page.locator("#stage").bounding_box()
        assert box is not None
        return box["x"] + (x.mean() + 0.5) / ratio, box["y"] + (y.mean() + 0.5) / ratio

    def click_spot(self, colour: Colour, **options: Any) -> None:
        self.page.mouse.click(*self.spot(colour), **options)


def stamp_of(message: dict[str, Any]) -> Time:
    return Time(sec=message["stamp"][0], nanosec=message["stamp"][1])


@contextmanager
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # CI runs as root, where Chromium's sandbox does not start.
        running = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"], timeout=START_TIMEOUT * 1000
        )
        yield running
        running.close()

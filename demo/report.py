"""Output of the demo on the terminal: coloured lines, and a status line at the bottom."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Mapping
from typing import Any, TextIO

COLOURS = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34", "cyan": "36"}


def answer_line(event: Mapping[str, Any]) -> str:
    """Formats a prompt and its answer."""
    x, y, width, height = event["box"]
    true = event.get("true_iou")
    truth = "" if true is None else f"  (true {true:.2f})"
    return (
        f"{event['prompt']:<36} object {event['object']}  IoU {event['iou']:.2f}{truth}"
        f"  {event['area']:>6} px  box {x},{y} {width}x{height}  {event['ms']:.0f} ms"
    )


def coloured(stream: TextIO) -> bool:
    return stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


class Terminal:
    """Prints lines from several threads, with a status line below them if the output is a terminal."""

    def __init__(self, stream: TextIO = sys.stdout) -> None:
        self._stream = stream
        self._colour = coloured(stream)
        self._status = ""
        self._lock = threading.Lock()

    def paint(self, text: str, colour: str) -> str:
        return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m" if self._colour else text

    def line(self, text: str = "") -> None:
        with self._lock:
            self._erase()
            print(text, file=self._stream, flush=True)
            self._draw()

    def process_line(self, process: str, text: str, colour: str = "dim") -> None:
        """Prints a line of a process."""
        self.line(f"{self.paint(f'{process:>9}', colour)}  {text}")

    def status(self, text: str) -> None:
        """Replaces the status line, if the output is a terminal with colours."""
        if not self._colour:
            return
        with self._lock:
            self._erase()
            self._status = text[: shutil.get_terminal_size().columns - 1]
            self._draw()

    def _erase(self) -> None:
        if self._status:
            self._stream.write("\r\x1b[2K")

    def _draw(self) -> None:
        if self._status:
            self._stream.write(self._status)
            self._stream.flush()

"""Programs that are measured side by side. Each is a process of its own that says `ready` and then answers lines:

    photo FILE              reads the picture: `ok`
    image_to_mask X Y       encodes the picture and answers a click: milliseconds
    click X Y               answers a click on the picture that is encoded, or encodes it again if it cannot keep it
    boxes X0 Y0 X1 Y1 ...   masks of several objects at once; `one_by_one` the same in a call each
    mask FILE               writes the last mask, a byte for each pixel: `ok`
    track N MEMORIES        (those that track) milliseconds of one frame with N objects that were followed for long
    cameras N FRAMES        (promptseg's engine) milliseconds a frame, and the part of the slowest camera
"""

import os
import subprocess
from pathlib import Path

import numpy as np

THREADS = 2


class Failed(Exception):
    """A contender ended instead of answering."""


class Contender:
    def __init__(self, name: str, command: list, log: Path):
        self.name = name
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log = log
        environment = {**os.environ, "OMP_NUM_THREADS": str(THREADS), "PYTHONWARNINGS": "ignore"}
        pipe = subprocess.PIPE
        with log.open("w") as errors:
            try:
                self.process = subprocess.Popen(
                    [str(part) for part in command], stdin=pipe, stdout=pipe, stderr=errors, text=True, env=environment
                )
            except OSError as e:
                raise Failed(f"{name} does not start: {e}") from e
        self._expect("ready", "its start")

    def _line(self, asked: str) -> str:
        answer = self.process.stdout.readline().strip()
        if not answer:
            last = self.log.read_text().strip().splitlines()[-3:]
            raise Failed(f"{self.name} gave up at {asked}: {' / '.join(last) or 'without a word'}")
        return answer

    def _expect(self, wanted: str, asked: str) -> None:
        if (answer := self._line(asked)) != wanted:
            raise Failed(f"{self.name} answered {answer!r} to {asked}, expected {wanted!r}")

    def _ask(self, line: str) -> str:
        try:
            print(line, file=self.process.stdin, flush=True)
        except BrokenPipeError:
            pass
        return self._line(f"`{line[:60]}`")

    def numbers(self, line: str) -> list:
        return [float(word) for word in self._ask(line).split()]

    def photo(self, file: Path) -> None:
        print(f"photo {file}", file=self.process.stdin, flush=True)
        self._expect("ok", "photo")

    def mask(self, file: Path) -> np.ndarray:
        print(f"mask {file}", file=self.process.stdin, flush=True)
        self._expect("ok", "mask")
        return np.fromfile(file, np.uint8) > 0

    def close(self) -> None:
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


def serve(answers: dict) -> None:
    """The other end, in Python: `answers` has a function for each command."""
    print("ready", flush=True)
    while line := input_line():
        command, *words = line.split()
        print(answers[command](*words), flush=True)


def input_line() -> str:
    try:
        return input()
    except EOFError:
        return ""

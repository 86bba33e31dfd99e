"""The contenders of a comparison. Each is a process that prints `ready` and then answers request lines with a line each:

    photo FILE              reads an image: `ok`
    encode                  (only our models) encodes the image: milliseconds
    image_to_mask X Y       encodes the image and decodes a click: milliseconds
    click X Y               decodes a click on the encoded image; encodes the image again if it is not kept: milliseconds
    boxes X0 Y0 X1 Y1 ...   decodes several boxes at once: milliseconds; `one_by_one` decodes them in a call each
    mask FILE               writes the last mask, one byte per pixel: `ok`
    track N MEMORIES        (only trackers) milliseconds for one frame with N objects that have all their memories
    cameras N FRAMES        (only the engine) milliseconds per frame, and the share of frames of the slowest camera
"""

import os
import subprocess
from pathlib import Path

import numpy as np

THREADS = 2


class Failed(Exception):
    """A contender ended or gave a wrong answer."""


class Contender:
    """A running contender process."""

    def __init__(self, name: str, command: list, log: Path, variables: dict | None = None):
        self.name = name
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log = log
        environment = {**os.environ, "OMP_NUM_THREADS": str(THREADS), "PYTHONWARNINGS": "ignore", **(variables or {})}
        pipe = subprocess.PIPE
        with log.open("w") as errors:
            try:
                self.process = subprocess.Popen(
                    [str(part) for part in command], stdin=pipe, stdout=pipe, stderr=errors, text=True, env=environment
                )
            except OSError as e:
                raise Failed(f"{name} does not start: {e}") from e
        self._expect("ready", "at its start")

    def _line(self, occasion: str) -> str:
        answer = self.process.stdout.readline().strip()
        if not answer:
            last = self.log.read_text().strip().splitlines()[-3:]
            raise Failed(f"{self.name} ended {occasion}: {' / '.join(last) or 'no output'}")
        return answer

    def _expect(self, expected: str, occasion: str) -> None:
        if (answer := self._line(occasion)) != expected:
            raise Failed(f"{self.name} answered {answer!r} {occasion}, expected {expected!r}")

    def _request(self, line: str) -> str:
        try:
            print(line, file=self.process.stdin, flush=True)
        except BrokenPipeError:
            pass
        return self._line(f"at `{line[:60]}`")

    def numbers(self, line: str) -> list:
        return [float(word) for word in self._request(line).split()]

    def photo(self, file: Path) -> None:
        print(f"photo {file}", file=self.process.stdin, flush=True)
        self._expect("ok", "at `photo`")

    def mask(self, file: Path) -> np.ndarray:
        print(f"mask {file}", file=self.process.stdin, flush=True)
        self._expect("ok", "at `mask`")
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
    """Runs the loop of a contender written in Python. `answers` has a function for each request."""
    print("ready", flush=True)
    while line := input_line():
        command, *words = line.split()
        print(answers[command](*words), flush=True)


def input_line() -> str:
    try:
        return input()
    except EOFError:
        return ""


def with_openvino(name: str) -> dict:
    """The variables with which the contender `name` runs on the ONNX Runtime with OpenVINO."""
    if library := os.environ.get("PROMPTSEG_OPENVINO"):
        return {"ORT_DYLIB_PATH": library}
    raise Failed(f"{name}: the wheel of ONNX Runtime with OpenVINO exists for x86-64 Linux only")


def start_ours(program: str, request: str, kind: str, bundle: Path, log: Path) -> Contender:
    """Starts benches/models with a kind of contender: on the CPU provider in fp32 (`cpu`), or with `providers: [auto]` (`auto`)."""
    if kind == "auto":
        return Contender("ours", [program, f"{request}:auto", bundle, "auto", THREADS], log, with_openvino(kind))
    return Contender("ours", [program, request, bundle, "fp32", THREADS], log)

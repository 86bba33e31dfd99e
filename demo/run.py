#!/usr/bin/env python3
"""The demo: starts the real node, a camera, an operator and a detector, and shows the answer to each prompt.

Without --image the camera shows a drawn table with moving objects. The operator sends clicks, boxes and corrections, and
the detector sends boxes for frames that are a third of a second old. With --image the camera shows your picture, and the
operator sends your prompts, in pixels of that picture. Pictures are written to --out; the last line on stdout is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

try:
    import rclpy  # noqa: F401
    from PIL import Image, ImageOps, UnidentifiedImageError
except ImportError as missing:
    sys.exit(f"demo: {missing}; use ./dev demo, which installs the required packages")

from cloud import save_cloud
from options import arguments
from pictures import Moment, animation, contact_sheet, save_mask
from pointing import FIRST_DETECTION_ID
from processes import Process, ProcessGroup, find_node, unused_domain
from recorder import Recorder
from report import Terminal, answer_line
from ros import TABLE_FRAME, Runner, Stopped, mask_in_picture

NODE_START = 60.0
LONGEST = 150.0
# Pictures with more pixels are published as JPEG.
RAW_PIXELS = 1_500_000
COLOURS = {"node": "blue", "camera": "cyan", "operator": "green", "detector": "yellow"}


class Failed(Exception):
    """The demo cannot continue; the text says what to do."""


class Demo:
    """The processes of the demo and the recorded moments."""

    def __init__(self, args: argparse.Namespace, terminal: Terminal) -> None:
        self.args, self.terminal = args, terminal
        self.node_ready = False
        self.size = self._check_image()
        self._events: deque[tuple[float, dict[str, Any]]] = deque()
        self._detections: deque[tuple[float, dict[str, Any]]] = deque()
        self.moments: list[Moment] = []
        self.detected: Moment | None = None

    def _check_image(self) -> tuple[int, int] | None:
        path = self.args.image
        if path is None:
            return None
        try:
            with Image.open(path) as picture:
                picture.load()
                size = ImageOps.exif_transpose(picture).size  # as published by the camera
        except (OSError, UnidentifiedImageError) as error:
            raise Failed(f"{path} cannot be read: {error}") from None
        if not self.args.prompts and not self.args.console:
            self.args.prompts = [("click", (size[0] // 2, size[1] // 2))]
            self.terminal.line("no prompt given: clicking in the middle (use --click X,Y for another point)")
        return size

    # ---------------------------------------------------------------------- processes

    def on_line(self, process: str, line: str) -> None:
        """Handles a line of output of a process."""
        if process == "node" and line.rstrip().endswith("ready"):
            self.node_ready = True
        if line.startswith("{"):
            event = json.loads(line)
            if process == "detector":
                self._detections.append((time.monotonic(), event))
                return
            # The overlay of the answer arrives a little later.
            self._events.append((time.monotonic() + 0.25, event))
            line = answer_line(event)
        self.terminal.process_line(process, line, COLOURS.get(process, "dim"))

    def start_node(self, processes: ProcessGroup, runner: Runner) -> Process:
        path = self.args.node or find_node()
        if path is None or not path.is_file():
            raise Failed(f"no node{f' at {path}' if path else ''}: build it with ./dev build, or set --node")
        parameters = {
            "persistence.default": "track" if self.args.track else "hold",
            # The operator corrects answers that are seconds old.
            "keep.frames": "100",
            # The detector is slow, and the node may not encode every image.
            "keep.images": "60",
            "image_transport": "compressed" if self._compressed() else "raw",
            "output.overlay_quality": "92",
        }
        if not self.args.image:
            parameters["depth.frame"] = TABLE_FRAME
        if self.args.console:
            parameters |= {"console.enabled": "true", "console.address": self.args.console}
        if self.args.model:
            model = Path(self.args.model)
            parameters["model"] = str(model.resolve() if model.exists() else model)
        options = [part for name, value in parameters.items() for part in ("-p", f"{name}:={value}")]
        node = processes.start("node", [path, "--ros-args", *options])
        if not runner.wait_until(lambda: self.node_ready or node.exit_status() is not None, NODE_START):
            raise Failed(f"the node was not ready within {NODE_START:.0f} s; see its output above")
        if not self.node_ready:
            raise Failed(f"the node ended with status {node.exit_status()}; see its output above for the reason")
        return node

    def _compressed(self) -> bool:
        return self.size is not None and self.size[0] * self.size[1] > RAW_PIXELS

    def start_others(self, processes: ProcessGroup) -> Process | None:
        """Starts the camera, the detector and the operator; returns the operator, if there is one."""
        epoch = f"{time.time() + 0.5:.3f}"
        rate = self.args.rate or (5.0 if self.args.image else 15.0)
        camera: list[str | Path] = ["--rate", f"{rate:g}", "--epoch", epoch]
        operator: list[str | Path] = ["--json"]
        if self.args.image:
            camera += ["--image", self.args.image]
            operator += ["--pause", "0.3"]
            for kind, values in self.args.prompts:
                # With "=", because a value may begin with a minus sign.
                operator += [f"--{kind}={','.join(f'{v:g}' for v in values)}" if values else f"--{kind}"]
        else:
            operator += ["--scene", epoch]
            if not self.args.console:
                processes.start_script("detector", "detector.py", "--epoch", epoch)
        if self._compressed():
            camera.append("--compressed")
        processes.start_script("camera", "camera.py", *camera)
        if self.args.console:
            return None
        return processes.start_script("operator", "clicker.py", *operator)

    # ------------------------------------------------------------------------ events

    def watch(self, runner: Runner, recorder: Recorder, node: Process, operator: Process | None) -> None:
        """Shows the answers until the work is done or the limit of seconds or frames is reached."""
        args, started = self.args, time.monotonic()
        done_at: float | None = None
        while True:
            now = time.monotonic()
            self._take_moments(recorder, now)
            self._report_detections(recorder, now)
            seconds = now - started
            newest = recorder.newest_array()
            ious = "  ".join(f"{m.object_id}: {m.iou:.2f}" for m in newest.masks) if newest else "none yet"
            self.terminal.status(
                f"{seconds:5.1f} s  {recorder.frames} frames  {recorder.masks} with masks  IoU {ious}"
            )
            if node.exit_status() is not None:
                raise Failed(f"the node ended with status {node.exit_status()}; see its output above for the reason")
            if operator and operator.exit_status():
                raise Failed(
                    f"the operator ended with status {operator.exit_status()} before its work was done; see its output "
                    "above for the reason, and the node's output for refused prompts"
                )
            if operator and operator.exit_status() is not None and done_at is None:
                done_at = now
            if args.frames is not None and recorder.frames >= args.frames:
                break
            if args.seconds is not None and seconds >= args.seconds:
                break
            # Continues for a second, to receive the last diagnostics and some frames with all objects.
            if args.frames is None and args.seconds is None and done_at and now > done_at + 1.3:
                break
            if operator and seconds > max(LONGEST, args.seconds or 0):
                if args.frames is None and done_at is None:
                    raise Failed(
                        f"the operator did not finish within {LONGEST:.0f} s; see its output above. --seconds allows more time"
                    )
                break
            runner.sleep(0.05)

    def _take_moments(self, recorder: Recorder, now: float) -> None:
        while self._events and self._events[0][0] <= now:
            due, event = self._events[0]
            jpeg = recorder.overlay_at((event["stamp"][0], event["stamp"][1]))
            if not jpeg and now < due + 3.0:
                return
            self._events.popleft()
            if jpeg:
                true = "" if event["true_iou"] is None else f", true {event['true_iou']:.2f}"
                detail = (
                    f"object {event['object']}: IoU {event['iou']:.2f}{true}; {event['area']} px; {event['ms']:.0f} ms"
                )
                self.moments.append(Moment(jpeg, event["prompt"], detail))

    def _report_detections(self, recorder: Recorder, now: float) -> None:
        waiting = list(self._detections)
        self._detections.clear()
        for received, event in waiting:
            stamp = (event["stamp"][0], event["stamp"][1])
            array, jpeg = recorder.array_at(stamp), recorder.overlay_at(stamp)
            masks = [m for m in array.masks if m.object_id >= FIRST_DETECTION_ID] if array else []
            if not masks or not jpeg:
                # Not answered yet, or refused, which the node logs.
                if now < received + 10.0:
                    self._detections.append((received, event))
                continue
            title = f"boxes of a detector, {event['age']:.2f} s old"
            detail = ", ".join(f"{m.class_id} IoU {m.iou:.2f}" for m in masks)
            self.terminal.process_line("detector", f"{title:<36} {detail}", COLOURS["detector"])
            self.detected = Moment(jpeg, title, detail)

    # ----------------------------------------------------------------------- results

    def write_pictures(self, recorder: Recorder) -> list[str]:
        """Writes the contact sheet and the overlay stream, or the overlay and the masks of your own picture."""
        out: Path = self.args.out
        out.mkdir(parents=True, exist_ok=True)
        overlays = recorder.overlays()
        written: list[Path] = []
        moments = self.moments[:5] if self.detected else self.moments[:6]
        moments = [*moments, *([self.detected] if self.detected else [])]
        if moments:
            written.append(out / "demo.png")
            contact_sheet(moments, written[-1])
        if not self.args.image:
            if overlays:
                written.append(out / "demo.gif")
                animation(overlays, written[-1])
            if in_metres := recorder.cloud():
                written.append(out / "cloud.png")
                save_cloud(*in_metres, written[-1])
        elif array := recorder.newest_array():
            stamp = (array.header.stamp.sec, array.header.stamp.nanosec)
            if jpeg := recorder.overlay_at(stamp):
                written.append(out / "overlay.jpg")
                written[-1].write_bytes(jpeg)
            for m in array.masks:
                written.append(out / f"mask-{m.object_id}.png")
                save_mask(
                    mask_in_picture(m.mask, m.roi.x_offset, m.roi.y_offset, array.width, array.height), written[-1]
                )
        return [str(path) for path in written]


def hint(recorder: Recorder) -> str:
    if recorder.frames == 0:
        return "no image received from the camera; see its output above"
    return (
        "no mask received. See the node's output above for refused prompts; a click must lie inside the picture. "
        "RUST_LOG=debug shows more."
    )


def main() -> int:
    args = arguments()
    os.environ.setdefault("ROS_DOMAIN_ID", str(unused_domain()))
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    terminal = Terminal()
    runner: Runner | None = None
    recorder: Recorder | None = None
    status, pictures = 0, []
    try:
        demo = Demo(args, terminal)
        runner = Runner("demo")
        recorder = Recorder(runner.node)
        try:
            with ProcessGroup(demo.on_line) as processes:
                node = demo.start_node(processes, runner)
                operator = demo.start_others(processes)
                demo.watch(runner, recorder, node, operator)
                terminal.status("writing the pictures")
        except Stopped:
            terminal.line("stopped")
            status = 0 if args.console else 130
        # With --console you have seen everything, and there were no prompts of the demo.
        if recorder.masks and not args.console:
            pictures = demo.write_pictures(recorder)
    except Failed as error:
        terminal.line(f"{terminal.paint('failed', 'red')}: {error}")
        status = 1
    finally:
        terminal.status("")
        if runner:
            runner.close()
    result = {
        "frames": recorder.frames if recorder else 0,
        "masks": recorder.masks if recorder else 0,
        "objects": recorder.objects() if recorder else [],
        "ms": recorder.ms() if recorder else {},
        "pictures": pictures,
    }
    if recorder and not recorder.masks and status == 0 and not args.console:
        terminal.line(f"{terminal.paint('failed', 'red')}: {hint(recorder)}")
        status = 1
    print(json.dumps(result), flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())

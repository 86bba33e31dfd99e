"""Watches the demo's topics: counts frames and masks, keeps the overlays, reads the node's own latencies."""

from __future__ import annotations

import statistics
import threading
import time
from collections import defaultdict

from diagnostic_msgs.msg import DiagnosticArray
from promptseg_msgs.msg import MaskArray
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage

STAGES = {
    "preprocess": "preprocess",
    "encode": "encode",
    "decode": "decode",
    "postprocess": "postprocess",
    "total": "image to masks",
}
"""What the demo calls a stage, and what the node's diagnostics call it."""
MAX_KEPT = 2000

Stamp = tuple[int, int]


def _stamp(message: CameraInfo | MaskArray | CompressedImage) -> Stamp:
    return message.header.stamp.sec, message.header.stamp.nanosec


class Recorder:
    def __init__(self, node: Node) -> None:
        self._lock = threading.Lock()
        self.frames = 0
        self.model = ""
        self._masks: dict[Stamp, MaskArray] = {}
        self._overlays: dict[Stamp, bytes] = {}
        self._came: dict[Stamp, list[float]] = {}  # the last masks and the last overlay of a frame, seconds
        self._ious: defaultdict[int, list[float]] = defaultdict(list)
        self._ms: dict[str, float] = {}
        self._steps: list[tuple[float, float]] = []
        node.create_subscription(CameraInfo, "camera_info", self._frame, QoSProfile(depth=20))
        node.create_subscription(MaskArray, "promptseg/masks", self._mask, QoSProfile(depth=20))
        node.create_subscription(CompressedImage, "promptseg/overlay/compressed", self._overlay, QoSProfile(depth=20))
        node.create_subscription(DiagnosticArray, "/diagnostics", self._diagnostics, QoSProfile(depth=10))

    def _frame(self, _: CameraInfo) -> None:
        self.frames += 1

    def _mask(self, array: MaskArray) -> None:
        with self._lock:
            self.model = array.model
            self._came.setdefault(_stamp(array), [0.0, 0.0])[0] = time.monotonic()
            if array.masks:
                self._masks[_stamp(array)] = array
                self._steps.append((array.encode_ms, array.decode_ms))
            for mask in array.masks:
                self._ious[mask.object_id].append(float(mask.iou))

    def _overlay(self, picture: CompressedImage) -> None:
        with self._lock:
            self._overlays[_stamp(picture)] = bytes(picture.data)
            self._came.setdefault(_stamp(picture), [0.0, 0.0])[1] = time.monotonic()
            for kept in (self._overlays, self._masks, self._came):
                if len(kept) > MAX_KEPT:
                    del kept[next(iter(kept))]

    def _diagnostics(self, array: DiagnosticArray) -> None:
        for status in array.status:
            if not status.name.endswith("segmentation"):
                continue
            values = {v.key: v.value for v in status.values}
            for name, stage in STAGES.items():
                # "0.8 / 1.2 / 3.0" are median, 95th percentile and maximum.
                if text := values.get(f"{stage} p50 / p95 / max (ms)"):
                    self._ms[name] = float(text.split("/")[0])

    @property
    def masks(self) -> int:
        """Frames with at least one mask."""
        with self._lock:
            return len(self._masks)

    def array_at(self, stamp: Stamp) -> MaskArray | None:
        with self._lock:
            return self._masks.get(stamp)

    def newest_array(self) -> MaskArray | None:
        with self._lock:
            return self._masks[max(self._masks)] if self._masks else None

    def overlay_at(self, stamp: Stamp) -> bytes | None:
        """The overlay of a frame, once it shows the frame's last masks: it is drawn after they are published."""
        with self._lock:
            masks, overlay = self._came.get(stamp, (0.0, 0.0))
            return self._overlays.get(stamp) if overlay >= masks else None

    def overlays(self) -> list[tuple[Stamp, bytes]]:
        """All overlays in the order of their frames; of a frame that was drawn again, the last one."""
        with self._lock:
            return sorted(self._overlays.items())

    def objects(self) -> list[dict[str, float]]:
        """Every object with the median of its predicted IoU."""
        with self._lock:
            return [{"id": i, "iou": round(statistics.median(v), 3)} for i, v in sorted(self._ious.items())]

    def ms(self) -> dict[str, float]:
        """Median milliseconds of each stage, as the node's diagnostics say; without those that they did not say yet."""
        return {name: self._ms[name] for name in STAGES if name in self._ms}

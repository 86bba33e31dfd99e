"""Records the topics of the demo: counts frames and masks, keeps overlays, reads latencies from the diagnostics."""

from __future__ import annotations

import statistics
import threading
import time
from collections import defaultdict

from diagnostic_msgs.msg import DiagnosticArray
from promptseg_msgs.msg import MaskArray
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, PointCloud2
from vision_msgs.msg import Detection3DArray

STAGES = {
    "preprocess": "preprocess",
    "encode": "encode",
    "decode": "decode",
    "postprocess": "postprocess",
    "total": "image to masks",
}
"""Names of the stages in the demo, and in the node's diagnostics."""
MAX_KEPT = 2000

Stamp = tuple[int, int]


def _stamp(message: CameraInfo | MaskArray | CompressedImage | PointCloud2 | Detection3DArray) -> Stamp:
    return message.header.stamp.sec, message.header.stamp.nanosec


class Recorder:
    """Records masks, overlays and latencies by the stamp of the frame."""

    def __init__(self, node: Node) -> None:
        self._lock = threading.Lock()
        self.frames = 0
        self.model = ""
        self._masks: dict[Stamp, MaskArray] = {}
        self._overlays: dict[Stamp, bytes] = {}
        # Times (s) of the last masks and of the last overlay of a frame.
        self._received: dict[Stamp, list[float]] = {}
        self._ious: defaultdict[int, list[float]] = defaultdict(list)
        self._ms: dict[str, float] = {}
        self._steps: list[tuple[float, float]] = []
        node.create_subscription(CameraInfo, "camera_info", self._frame, QoSProfile(depth=20))
        node.create_subscription(MaskArray, "promptseg/masks", self._mask, QoSProfile(depth=20))
        node.create_subscription(CompressedImage, "promptseg/overlay/compressed", self._overlay, QoSProfile(depth=20))
        # Clouds of few objects are not shown: the last cloud with the most boxes.
        self._boxes: Detection3DArray | None = None
        self._cloud: PointCloud2 | None = None
        self._clouds: dict[Stamp, PointCloud2] = {}
        node.create_subscription(PointCloud2, "promptseg/cloud", self._add_cloud, QoSProfile(depth=5))
        node.create_subscription(Detection3DArray, "promptseg/detections_3d", self._add_boxes, QoSProfile(depth=5))
        node.create_subscription(DiagnosticArray, "/diagnostics", self._diagnostics, QoSProfile(depth=10))

    def _frame(self, _: CameraInfo) -> None:
        self.frames += 1

    def _mask(self, array: MaskArray) -> None:
        with self._lock:
            self.model = array.model
            self._received.setdefault(_stamp(array), [0.0, 0.0])[0] = time.monotonic()
            if array.masks:
                self._masks[_stamp(array)] = array
                self._steps.append((1e3 * array.encode_s, 1e3 * array.decode_s))
            for mask in array.masks:
                self._ious[mask.object_id].append(float(mask.iou))

    def _overlay(self, picture: CompressedImage) -> None:
        with self._lock:
            self._overlays[_stamp(picture)] = bytes(picture.data)
            self._received.setdefault(_stamp(picture), [0.0, 0.0])[1] = time.monotonic()
            for kept in (self._overlays, self._masks, self._received):
                if len(kept) > MAX_KEPT:
                    del kept[next(iter(kept))]

    def _add_cloud(self, cloud: PointCloud2) -> None:
        with self._lock:
            self._clouds[_stamp(cloud)] = cloud
            if len(self._clouds) > 8:
                del self._clouds[next(iter(self._clouds))]
            if self._boxes and _stamp(self._boxes) == _stamp(cloud):
                self._cloud = cloud

    def _add_boxes(self, boxes: Detection3DArray) -> None:
        with self._lock:
            if self._boxes is None or len(boxes.detections) >= len(self._boxes.detections):
                self._boxes = boxes
                self._cloud = self._clouds.get(_stamp(boxes))

    def cloud(self) -> tuple[PointCloud2, Detection3DArray] | None:
        """The last cloud with the most objects, and the boxes of the same frame."""
        with self._lock:
            return (self._cloud, self._boxes) if self._cloud and self._boxes else None

    def _diagnostics(self, array: DiagnosticArray) -> None:
        for status in array.status:
            if not status.name.endswith("segmentation"):
                continue
            values = {v.key: v.value for v in status.values}
            for name, stage in STAGES.items():
                if median := values.get(f"{stage} p50 (ms)"):
                    self._ms[name] = float(median)

    @property
    def masks(self) -> int:
        """Number of frames with at least one mask."""
        with self._lock:
            return len(self._masks)

    def array_at(self, stamp: Stamp) -> MaskArray | None:
        with self._lock:
            return self._masks.get(stamp)

    def newest_array(self) -> MaskArray | None:
        with self._lock:
            return self._masks[max(self._masks)] if self._masks else None

    def overlay_at(self, stamp: Stamp) -> bytes | None:
        """The overlay of a frame, or None until it shows the last masks: the node publishes masks before overlays."""
        with self._lock:
            masks, overlay = self._received.get(stamp, (0.0, 0.0))
            return self._overlays.get(stamp) if overlay >= masks else None

    def overlays(self) -> list[tuple[Stamp, bytes]]:
        """The last overlay of each frame, in the order of the frames."""
        with self._lock:
            return sorted(self._overlays.items())

    def objects(self) -> list[dict[str, float]]:
        """All objects with the median of their predicted IoU."""
        with self._lock:
            return [{"id": i, "iou": round(statistics.median(v), 3)} for i, v in sorted(self._ious.items())]

    def ms(self) -> dict[str, float]:
        """Median milliseconds of the stages in the node's diagnostics so far."""
        return {name: self._ms[name] for name in STAGES if name in self._ms}

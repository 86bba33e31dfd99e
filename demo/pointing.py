"""Acts as a user of promptseg: sends prompts for a frame and waits for the masks of that frame."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from geometry_msgs.msg import Point, PointStamped
from promptseg_msgs.msg import BoxPrompt, MaskArray, ObjectMask, ObjectPrompt, PointPrompt, PromptArray
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from ros import Runner, mask_in_picture, to_seconds

# Lowest object id of boxes from a detector.
FIRST_DETECTION_ID = 1001
START_TIMEOUT = 60.0
ANSWER_TIMEOUT = 15.0


class NoAnswer(Exception):
    """The node did not answer a prompt."""


@dataclass
class Answer:
    """The mask of one object on one frame."""

    header: Header
    object_id: int
    iou: float
    area: int
    box: list[int]  # x, y, width, height
    ms: float  # from the prompt to the answer
    mask: np.ndarray = field(repr=False)


def _answer(array: MaskArray, mask: ObjectMask, ms: float) -> Answer:
    roi = mask.roi
    whole = mask_in_picture(mask.mask, roi.x_offset, roi.y_offset, array.width, array.height)
    box = [roi.x_offset, roi.y_offset, roi.width, roi.height]
    return Answer(array.header, mask.object_id, float(mask.iou), mask.area, box, ms, whole)


class Operator:
    """Publishes prompts and waits for their answers on `promptseg/masks`."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        node = runner.node
        self.frame: Header | None = None
        self._lock = threading.Lock()
        self._count = 0
        self._arrays: deque[tuple[int, float, MaskArray]] = deque(maxlen=60)
        self._pixel = node.create_publisher(PointStamped, "pixel", QoSProfile(depth=5))
        self._prompts = node.create_publisher(PromptArray, "prompts", QoSProfile(depth=5))
        self._new_object = node.create_client(Trigger, "promptseg/new_object")
        # A user watches the overlay, which shows the frames processed by the node.
        node.create_subscription(CompressedImage, "promptseg/overlay/compressed", self._on_overlay, QoSProfile(depth=1))
        node.create_subscription(MaskArray, "promptseg/masks", self._on_masks, QoSProfile(depth=10))

    def connect(self) -> None:
        """Waits for the node and for the overlay of its first frame."""
        node = self.runner.node

        def ready() -> bool:
            listening = self._pixel.get_subscription_count() and self._prompts.get_subscription_count()
            answering = node.count_publishers("promptseg/masks") and self._new_object.service_is_ready()
            return bool(self.frame and listening and answering)

        if not self.runner.wait_until(ready, START_TIMEOUT):
            raise NoAnswer(f"no overlay within {START_TIMEOUT:.0f} s: start promptseg and a camera")

    def _on_overlay(self, picture: CompressedImage) -> None:
        # Boxes of a detector cause another overlay of an older frame.
        if self.frame is None or to_seconds(picture.header.stamp) > to_seconds(self.frame.stamp):
            self.frame = picture.header

    def _on_masks(self, array: MaskArray) -> None:
        with self._lock:
            self._count += 1
            self._arrays.append((self._count, time.monotonic(), array))

    def next_object(self) -> None:
        """Starts another object with the next click."""
        reply = self._new_object.call_async(Trigger.Request())
        if not self.runner.wait_until(reply.done, ANSWER_TIMEOUT):
            raise NoAnswer("the service promptseg/new_object does not answer")

    def click(self, header: Header, x: float, y: float, object_id: int = 0) -> Answer:
        """Clicks on the current object, or after `next_object` on a new object (`object_id` 0)."""
        point = PointStamped(header=header, point=Point(x=float(x), y=float(y)))
        return self._send(header, object_id, lambda: self._pixel.publish(point))

    def refine(self, header: Header, object_id: int, x: float, y: float, foreground: bool) -> Answer:
        """Corrects an existing object with a foreground or background click."""
        label = PointPrompt.FOREGROUND if foreground else PointPrompt.BACKGROUND
        point = PointPrompt(x=float(x), y=float(y), label=label)
        return self._add(header, ObjectPrompt(object_id=object_id, points=[point], refine=True))

    def around(self, header: Header, corners: tuple[float, ...], object_id: int = 0, name: str = "") -> Answer:
        """Sends a box around an object."""
        x_min, y_min, x_max, y_max = (float(v) for v in corners)
        box = BoxPrompt(x_min=x_min, y_min=y_min, x_max=x_max, y_max=y_max)
        return self._add(header, ObjectPrompt(object_id=object_id, class_id=name, box=[box], refine=object_id != 0))

    def _add(self, header: Header, prompt: ObjectPrompt) -> Answer:
        message = PromptArray(header=header, operation=PromptArray.ADD, objects=[prompt])
        return self._send(header, prompt.object_id, lambda: self._prompts.publish(message))

    def _send(self, header: Header, object_id: int, send: Callable[[], None]) -> Answer:
        """Sends a prompt and waits for the mask of its object; `object_id` 0 waits for a new object."""
        with self._lock:
            mark = self._count
            existing = {m.object_id for _, _, array in self._arrays for m in array.masks}
        since = time.monotonic()
        send()

        def matches(mask: ObjectMask) -> bool:
            if object_id:
                return mask.object_id == object_id
            return mask.object_id not in existing and mask.object_id < FIRST_DETECTION_ID

        answers: list[Answer] = []

        def ready() -> bool:
            with self._lock:
                new = [entry for entry in self._arrays if entry[0] > mark]
            for _, received, array in new:
                for mask in filter(matches, array.masks):
                    # The mask of the prompted frame, or of a later frame if that message was lost.
                    if array.header.stamp == header.stamp or received > since + 2.0:
                        answers.append(_answer(array, mask, (received - since) * 1e3))
                        return True
            return False

        if not self.runner.wait_until(ready, ANSWER_TIMEOUT):
            raise NoAnswer(f"no mask within {ANSWER_TIMEOUT:.0f} s; see the node's messages above for the reason")
        return answers[0]

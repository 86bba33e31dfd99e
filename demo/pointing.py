"""What a person does with promptseg: point at a frame, and look at the answer for that frame."""

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

# Ids from here on belong to a detector's boxes.
FIRST_DETECTION_ID = 1001
START_TIMEOUT = 60.0
ANSWER_TIMEOUT = 15.0


class NoAnswer(Exception):
    """The node was asked and said nothing."""


@dataclass
class Answer:
    """What the node said about one object on one frame."""

    header: Header
    object_id: int
    iou: float
    area: int
    box: list[int]  # x, y, width, height
    ms: float  # from the prompt to this answer
    mask: np.ndarray = field(repr=False)


def _answer(array: MaskArray, found: ObjectMask, ms: float) -> Answer:
    roi = found.roi
    whole = mask_in_picture(found.mask, roi.x_offset, roi.y_offset, array.width, array.height)
    box = [roi.x_offset, roi.y_offset, roi.width, roi.height]
    return Answer(array.header, found.object_id, float(found.iou), found.area, box, ms, whole)


class Operator:
    """Publishes prompts and picks their answers out of `promptseg/masks`."""

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
        # What a person looks at: the frames that the node has worked on, with the masks of now.
        node.create_subscription(CompressedImage, "promptseg/overlay/compressed", self._seen, QoSProfile(depth=1))
        node.create_subscription(MaskArray, "promptseg/masks", self._answered, QoSProfile(depth=10))

    def connect(self) -> None:
        """Waits for the node and for the first image that it has worked on."""
        node = self.runner.node

        def ready() -> bool:
            listening = self._pixel.get_subscription_count() and self._prompts.get_subscription_count()
            answering = node.count_publishers("promptseg/masks") and self._new_object.service_is_ready()
            return bool(self.frame and listening and answering)

        if not self.runner.wait_until(ready, START_TIMEOUT):
            raise NoAnswer("no node and no camera to work with: do promptseg and a camera run?")

    def _seen(self, picture: CompressedImage) -> None:
        # A detector's boxes bring the overlay of an older frame once more.
        if self.frame is None or to_seconds(picture.header.stamp) > to_seconds(self.frame.stamp):
            self.frame = picture.header

    def _answered(self, array: MaskArray) -> None:
        with self._lock:
            self._count += 1
            self._arrays.append((self._count, time.monotonic(), array))

    def next_object(self) -> None:
        """The next click is for another object."""
        done = self._new_object.call_async(Trigger.Request())
        if not self.runner.wait_until(done.done, ANSWER_TIMEOUT):
            raise NoAnswer("the service promptseg/new_object does not answer")

    def click(self, header: Header, x: float, y: float, object_id: int = 0) -> Answer:
        """A click on the current object, or on a new one (`object_id` 0) after `next_object`."""
        point = PointStamped(header=header, point=Point(x=float(x), y=float(y)))
        return self._ask(header, object_id, lambda: self._pixel.publish(point))

    def refine(self, header: Header, object_id: int, x: float, y: float, foreground: bool) -> Answer:
        """One more click on an object that is there, on it or beside it."""
        label = PointPrompt.FOREGROUND if foreground else PointPrompt.BACKGROUND
        point = PointPrompt(x=float(x), y=float(y), label=label)
        return self._add(header, ObjectPrompt(object_id=object_id, points=[point], refine=True))

    def around(self, header: Header, corners: tuple[float, ...], object_id: int = 0, name: str = "") -> Answer:
        """A box around an object."""
        x_min, y_min, x_max, y_max = (float(v) for v in corners)
        box = BoxPrompt(x_min=x_min, y_min=y_min, x_max=x_max, y_max=y_max)
        return self._add(header, ObjectPrompt(object_id=object_id, class_id=name, box=[box], refine=object_id != 0))

    def _add(self, header: Header, prompt: ObjectPrompt) -> Answer:
        message = PromptArray(header=header, operation=PromptArray.ADD, objects=[prompt])
        return self._ask(header, prompt.object_id, lambda: self._prompts.publish(message))

    def _ask(self, header: Header, object_id: int, send: Callable[[], None]) -> Answer:
        """Sends a prompt and waits for the mask of that object (0: of an object that was not there before)."""
        with self._lock:
            mark = self._count
            there = {m.object_id for _, _, array in self._arrays for m in array.masks}
        since = time.monotonic()
        send()

        def wanted(mask: ObjectMask) -> bool:
            if object_id:
                return mask.object_id == object_id
            return mask.object_id not in there and mask.object_id < FIRST_DETECTION_ID

        found: list[Answer] = []

        def ready() -> bool:
            with self._lock:
                new = [entry for entry in self._arrays if entry[0] > mark]
            for _, came, array in new:
                for mask in filter(wanted, array.masks):
                    # The very frame that was pointed at; a later one when that answer got lost.
                    if array.header.stamp == header.stamp or came > since + 2.0:
                        found.append(_answer(array, mask, (came - since) * 1e3))
                        return True
            return False

        if not self.runner.wait_until(ready, ANSWER_TIMEOUT):
            raise NoAnswer(f"no mask within {ANSWER_TIMEOUT:.0f} s; what the node says above tells why")
        return found[0]

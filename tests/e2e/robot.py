"""A running node with the publishers and subscribers of a robot, and the common steps of the tests."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from promptseg_msgs.msg import MaskArray, PromptArray
from promptseg_msgs.srv import Segment
from rcl_interfaces.msg import Log, Parameter, ParameterValue, SetParametersResult
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import Trigger
from vision_msgs.msg import Detection2DArray

import messages
import scenes
from harness import LATCHED, START_TIMEOUT, TIMEOUT, Inbox, NodeProcess, Peer, eventually, free_domain, parameter_args

# Reliable subscriptions, so that no test fails because a message is lost during discovery. The matching of a camera's or
# detector's quality of service has tests of its own.
MATCHED = ("image", "image/compressed", "detections", "yolo_detections")
BASE = {f"qos_overrides./{topic}.subscription.reliability": "reliable" for topic in MATCHED}
# Defaults of the parameters that tests change; they are restored after each test.
LIVE_DEFAULTS: dict[str, Any] = {
    "persistence.default": "hold",
    "persistence.pixel": "",
    "persistence.region": "",
    "persistence.prompts": "",
    "click.label": "foreground",
    "click.mode": "point",
    "detections.min_score": 0.0,
    "detections.classes": [],
    "detections.max_count": 300,
    "keep.frames": 30,
    "keep.images": 30,
    "prompt_timeout": 1.0,
    "candidates": "auto",
    "output.detections_score": "predicted_iou",
    "output.mask_encoding": "raw",
    "output.publish_empty": False,
    "output.overlay_quality": 85,
    "track.min_iou": 0.5,
    "track.max_objects": 16,
    "track.memories": 6,
    "track.prompted_frames": 4,
    "track.fill_holes": 8,
    "track.no_overlap": False,
    "projection": "auto",
    "image_plane.rate": 5.0,
    "image_plane.columns": 320,
    "image_plane.distance": 1.0,
    "classes.names": [],
    "classes.unnamed": "object",
    "classes.on_top": "smaller",
    "depth.transport": "raw",
    "depth.tolerance": 0.02,
    "depth.timeout": 0.2,
    "depth.frame": "",
    "depth.cloud": "dense",
    "depth.voxel_size": 0.0,
    "depth.pose": "centroid",
    "persistence.prompts_3d": "once",
    "log_level": "",
    "text.phrases": [],
    "text.rate": 1.0,
    "text.min_score": 0.0,
    "text.max_objects": 20,
    "everything.rate": 0.0,
    "everything.when_busy": "queue",
    "everything.points_per_side": 32,
    "everything.pred_iou_thresh": 0.88,
    "everything.stability_score_thresh": 0.95,
}
CAMERA_QOS = QoSProfile(depth=5)
# Lowest IoU with the true mask that the shipped model reaches on drawn scenes.
GOOD = 0.75


def value_message(value: Any) -> ParameterValue:
    match value:
        case bool():
            return ParameterValue(type=1, bool_value=value)
        case int():
            return ParameterValue(type=2, integer_value=value)
        case float():
            return ParameterValue(type=3, double_value=value)
        case str():
            return ParameterValue(type=4, string_value=value)
        case list():
            return ParameterValue(type=9, string_array_value=value)
    raise TypeError(value)


def get_parameters(peer: Peer, *names: str, node: str = "/promptseg") -> list[Any]:
    """The values of parameters; None for a parameter that does not exist."""
    values = peer.call(GetParameters, f"{node}/get_parameters", GetParameters.Request(names=names)).values
    fields = {
        0: None,
        1: "bool_value",
        2: "integer_value",
        3: "double_value",
        4: "string_value",
        9: "string_array_value",
    }
    return [getattr(v, fields[v.type]) if fields[v.type] else None for v in values]


class Robot:
    """A node process, and the peer that acts as its camera, operator, detector and subscriber."""

    def __init__(
        self,
        parameters: dict[str, Any] | None = None,
        ros_args: tuple[str, ...] = (),
        prefix: str = "/promptseg",
        log_level: str = "info",
        env: dict[str, str] | None = None,
    ) -> None:
        self.domain = free_domain()
        self.prefix = prefix
        self.image_topic = "image"
        self.process = NodeProcess(
            self.domain, *parameter_args(BASE | (parameters or {})), *ros_args, env=env, log_level=log_level
        )
        self.peer = Peer(self.domain)
        self._ticks = int(time.time()) * 20
        subscribe = self.peer.subscribe
        self.mask: Inbox = subscribe(Image, f"{prefix}/mask")
        self.labels: Inbox = subscribe(Image, f"{prefix}/labels")
        self.masks: Inbox = subscribe(MaskArray, f"{prefix}/masks")
        self.detections: Inbox = subscribe(Detection2DArray, f"{prefix}/detections")
        self.overlay: Inbox = subscribe(Image, f"{prefix}/overlay")
        self.overlay_compressed: Inbox = subscribe(CompressedImage, f"{prefix}/overlay/compressed")
        self.diagnostics: Inbox = subscribe(DiagnosticArray, "/diagnostics")
        self.rosout: Inbox = subscribe(Log, "/rosout", LATCHED)
        self.changed: set[str] = set()

    @property
    def outputs(self) -> dict[str, Inbox]:
        return {
            "mask": self.mask,
            "labels": self.labels,
            "masks": self.masks,
            "detections": self.detections,
            "overlay": self.overlay,
            "overlay/compressed": self.overlay_compressed,
        }

    def connect(self) -> Robot:
        """Waits until a message of every output arrives: DDS discovers each topic at a different time."""
        self.process.wait_ready()
        grey = np.full((48, 64, 3), 90, np.uint8)
        end = time.monotonic() + START_TIMEOUT
        while not all(inbox.mark() for inbox in self.outputs.values()):
            assert time.monotonic() < end, (
                f"outputs without a message: {[n for n, i in self.outputs.items() if not i.mark()]}"
            )
            self.publish_image(messages.image(grey, self.stamp()))
            self.peer.publish("pixel", messages.pixel(32, 24))
            time.sleep(0.2)
        self.clear()
        return self

    def close(self) -> None:
        self.peer.close()
        self.process.close()

    # ---------------------------------------------------------------- camera

    def stamp(self) -> Time:
        """The stamp of the next image: 50 ms after the last."""
        self._ticks += 1
        return Time(sec=self._ticks // 20, nanosec=self._ticks % 20 * 50_000_000)

    def set_clock_back(self) -> None:
        """Sets the next stamps back by minutes."""
        self._ticks -= 10_000

    def publish_image(self, image: Image) -> None:
        self.peer.publish(self.image_topic, image, CAMERA_QOS)

    def show(self, rgb: np.ndarray) -> Time:
        """Publishes an rgb8 image and waits until the node has encoded it; returns the stamp."""
        return self.show_message(messages.image(rgb, self.stamp()))

    def show_message(self, image: Image) -> Time:
        before = self.overlay.mark()
        self.publish_image(image)
        self.wait_encoded(image.header.stamp, before)
        return image.header.stamp

    def until_overlay(self, rgb: np.ndarray) -> None:
        """Publishes an image repeatedly until one is encoded, for a node that has just subscribed."""
        before = self.overlay.mark()

        def shown() -> bool:
            self.publish_image(messages.image(rgb, self.stamp()))
            time.sleep(0.1)
            return self.overlay.mark() > before

        eventually("an overlay", shown, START_TIMEOUT)

    def wait_encoded(self, stamp: Time, since: int = 0) -> None:
        self.overlay.wait(f"the overlay of frame {stamp}", lambda m: m.header.stamp == stamp, since)

    # ---------------------------------------------------------------- operator

    def ask(
        self, send: Callable[[], None], stamp: Time, accept: Callable[[MaskArray], bool] = lambda _: True
    ) -> MaskArray:
        """Sends a prompt; returns the first answer for the frame with the stamp."""
        before = self.masks.mark()
        send()
        return self.masks.wait(f"masks on frame {stamp}", lambda m: m.header.stamp == stamp and accept(m), before)

    def click(self, x: float, y: float, stamp: Time) -> MaskArray:
        return self.ask(lambda: self.send_click(x, y, stamp), stamp)

    def send_click(self, x: float, y: float, stamp: Time | None = None) -> None:
        """Sends a click without waiting for the answer."""
        self.peer.publish("pixel", messages.pixel(x, y, stamp))

    def prompt(self, operation: int, *objects: Any, stamp: Time) -> MaskArray:
        message = messages.prompts(operation, *objects, stamp=stamp)
        return self.ask(lambda: self.peer.publish("prompts", message), stamp)

    def add(self, *objects: Any, stamp: Time) -> MaskArray:
        return self.prompt(PromptArray.ADD, *objects, stamp=stamp)

    def detect(self, stamp: Time, *boxes: Any) -> MaskArray:
        return self.ask(lambda: self.peer.publish("detections", messages.detections(stamp, *boxes)), stamp)

    def until_answered(self, send: Callable[[], None], masks: Inbox) -> MaskArray:
        """Sends a prompt repeatedly until a mask arrives: DDS discovers each topic at a different time."""

        def answered() -> list[MaskArray]:
            assert self.process.is_running(), self.process.log()
            send()
            end = time.monotonic() + 0.5
            while time.monotonic() < end:
                if answers := [m for m in masks.all() if m.masks]:
                    return answers
                time.sleep(0.01)
            return []

        return eventually("a mask", answered, START_TIMEOUT)[0]

    def trigger(self, name: str) -> Trigger.Response:
        return self.peer.call(Trigger, f"{self.prefix}/{name}", Trigger.Request())

    def clear(self) -> None:
        before = self.masks.mark()
        assert self.trigger("clear").success
        if self.overlay.mark():
            self.masks.wait("an answer without objects after clear", lambda m: not m.masks, before)

    def segment(self, timeout: float = TIMEOUT, **request: Any) -> Segment.Response:
        return self.peer.call(Segment, f"{self.prefix}/segment", Segment.Request(**request), timeout)

    def click_answered(self, scene: scenes.Scene) -> None:
        """Checks that the node works: a click on a new image gives the mask of a new object."""
        stamp = self.show(scene.rgb)
        assert self.trigger("new_object").success
        answer = self.click(*scene.shapes[0].centre, stamp)
        masks = [messages.whole_mask(answer, m) for m in answer.masks]
        assert max(scenes.iou(m, scene.truth[0]) for m in masks) >= GOOD

    # ---------------------------------------------------------------- parameters, log, diagnostics

    def set_parameter(self, name: str, value: Any) -> SetParametersResult:
        parameter = Parameter(name=name, value=value_message(value))
        request = SetParameters.Request(parameters=[parameter])
        result = self.peer.call(SetParameters, f"{self.prefix}/set_parameters", request).results[0]
        if result.successful:
            self.changed.add(name)
        return result

    def set(self, values: dict[str, Any] | None = None, /, **without_group: Any) -> None:
        """Sets parameters: those of a group by a dictionary, others by keywords."""
        for name, value in ((values or {}) | without_group).items():
            result = self.set_parameter(name, value)
            assert result.successful, result.reason

    def reset(self) -> None:
        """Restores the state of a node that has just started, except the kept frames."""
        for name in sorted(self.changed):
            self.set({name: LIVE_DEFAULTS[name]})
        self.changed.clear()
        # Shows an empty frame, because objects of a detector belong to earlier frames.
        self.show(np.full((48, 64, 3), 90, np.uint8))
        self.clear()

    def diagnostic_values(self, since: int | None = None) -> dict[str, str]:
        """The values of the newest diagnostics or, with `since`, of the first diagnostics after that mark."""
        if since is None:
            since = max(0, self.diagnostics.mark() - 1)
        return {v.key: v.value for v in self.diagnostics.wait("diagnostics", since=since).status[0].values}

    def refused(self, kind: str) -> int:
        return int(self.diagnostic_values().get(f"refused: {kind}", 0))

    def expect_refusal(self, kind: str, words: str, send: Callable[[], None]) -> str:
        """Sends invalid input; checks that the node warns and counts the refusal, and returns the warning."""
        counted = self.refused(kind)
        warnings: list[str] = []

        def warned() -> bool:
            # The node logs at most one warning per kind and second, so the input is sent again after a suppressed one.
            before = self.rosout.mark()
            send()
            end = time.monotonic() + 1.5
            while time.monotonic() < end and not warnings:
                logs = [m for m in self.rosout.all(before) if m.level == 30 and words in m.msg]
                warnings.extend(m.msg for m in logs)
                time.sleep(0.01)
            return bool(warnings)

        eventually(f"a warning that contains '{words}'; the log:\n{self.process.log()[-2000:]}", warned)
        eventually(f"'refused: {kind}' above {counted} in the diagnostics", lambda: self.refused(kind) > counted)
        return warnings[0]

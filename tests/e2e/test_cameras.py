"""Several cameras in one process: each has its own frames and objects, and all share one model."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from promptseg_msgs.msg import MaskArray
from promptseg_msgs.srv import Segment
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from harness import START_TIMEOUT, Inbox, NodeProcess, Peer, eventually, free_domain
from messages import header, image, pixel, prompt, whole_mask
from scenes import CARD, DISK, EGG, Scene, iou

NODE = "/promptseg"
CAMERA_QOS = QoSProfile(depth=5)
# One shape for each camera, at different places of images of different sizes.
SCENES = {
    "front": Scene((DISK,), 320, 240),
    "rear": Scene((CARD.moved(-60, 40),), 288, 200),
    "left": Scene((EGG.moved(-40, -60),), 256, 192),
}
CAMERAS = "cameras:=[" + ", ".join(SCENES) + "]"


class View:
    """One camera of the node, and the results for its images."""

    def __init__(self, peer: Peer, name: str) -> None:
        self.peer, self.name, self.scene = peer, name, SCENES[name]
        self.masks: Inbox = peer.subscribe(MaskArray, f"{NODE}/{name}/masks")
        self.overlay: Inbox = peer.subscribe(Image, f"{NODE}/{name}/overlay")

    def publish(self, stamp: Time) -> None:
        message = image(self.scene.rgb, stamp)
        message.header = header(stamp, f"{self.name}_optical_frame")
        self.peer.publish(f"{self.name}/image", message, CAMERA_QOS)

    def show(self, stamp: Time) -> None:
        """Publishes images until one is encoded, because discovery may not be complete."""
        before = self.overlay.mark()

        def shown() -> bool:
            self.publish(stamp)
            try:
                self.overlay.wait("the overlay", lambda m: m.header.stamp == stamp, before, timeout=1.0)
            except AssertionError:
                return False
            return True

        eventually(f"the overlay of {self.name}", shown, START_TIMEOUT)

    def send_click(self, stamp: Time | None = None) -> None:
        self.peer.publish(f"{self.name}/pixel", pixel(*self.scene.shapes[0].centre, stamp))

    def answer(self, stamp: Time, since: int) -> MaskArray:
        return self.masks.wait(f"masks of {self.name}", lambda m: m.masks and m.header.stamp == stamp, since)

    def check(self, answer: MaskArray) -> None:
        """Checks that a result belongs to this camera: its header, its size, its shape."""
        assert answer.header.frame_id == f"{self.name}_optical_frame"
        assert (answer.width, answer.height) == (self.scene.width, self.scene.height)
        assert len(answer.masks) == 1
        assert iou(whole_mask(answer, answer.masks[0]), self.scene.truth[0]) >= 0.75

    def click(self, stamp: Time) -> MaskArray:
        before = self.masks.mark()
        self.send_click(stamp)
        return self.answer(stamp, before)

    def trigger(self, service: str) -> None:
        assert self.peer.call(Trigger, f"{NODE}/{self.name}/{service}", Trigger.Request()).success


class Rig:
    """A node with three cameras."""

    def __init__(self) -> None:
        domain = free_domain()
        self.process = NodeProcess(domain, "-p", CAMERAS, "-p", "persistence.default:=once")
        self.peer = Peer(domain)
        self.views = {name: View(self.peer, name) for name in SCENES}
        self.diagnostics: Inbox = self.peer.subscribe(DiagnosticArray, "/diagnostics")
        self._seconds = 1000
        self.process.wait_ready()
        stamp = self.stamp()
        for view in self.views.values():
            view.show(stamp)

    def stamp(self) -> Time:
        self._seconds += 1
        return Time(sec=self._seconds)

    def status(self, name: str) -> DiagnosticStatus:
        """The diagnostics of a camera that are published from now on."""
        message = self.diagnostics.wait("diagnostics", since=self.diagnostics.mark())
        assert [s.name for s in message.status] == [f"promptseg: segmentation of {n}" for n in SCENES]
        return message.status[list(SCENES).index(name)]

    def close(self) -> None:
        self.peer.close()
        self.process.close()


@pytest.fixture(scope="module")
def shared_rig() -> Iterator[Rig]:
    rig = Rig()
    try:
        yield rig
        assert rig.process.is_running(), f"the node died:\n{rig.process.log()}"
    finally:
        rig.close()


@pytest.fixture
def rig(shared_rig: Rig) -> Rig:
    assert shared_rig.process.is_running(), f"the node died in an earlier test:\n{shared_rig.process.log()}"
    for view in shared_rig.views.values():
        view.trigger("clear")
    return shared_rig


def test_the_names(rig: Rig) -> None:
    topics = {name for name, _ in rig.peer.node.get_topic_names_and_types()}
    for name in SCENES:
        inputs = ("image", "point", "pixel", "region", "detections", "prompts")
        outputs = ("mask", "labels", "masks", "detections", "overlay", "overlay/compressed")
        assert {f"/{name}/{i}" for i in inputs} | {f"{NODE}/{name}/{o}" for o in outputs} <= topics
    assert "/image" not in topics and f"{NODE}/mask" not in topics


def test_clicks_are_answered_on_the_frame_of_their_camera(rig: Rig) -> None:
    """Publishes an image of every camera with the same stamp, as synchronised cameras do."""
    stamp = rig.stamp()
    for view in rig.views.values():
        view.show(stamp)
    before = {name: view.masks.mark() for name, view in rig.views.items()}
    for view in rig.views.values():
        view.send_click(stamp)
    for name, view in rig.views.items():
        view.check(view.answer(stamp, before[name]))
    time.sleep(0.1)
    for name, view in rig.views.items():
        assert all(m.header.frame_id == f"{name}_optical_frame" for m in view.masks.all())


def test_objects_belong_to_their_camera(rig: Rig) -> None:
    stamp = rig.stamp()
    front, rear = rig.views["front"], rig.views["rear"]
    for view in (front, rear):
        view.show(stamp)
        view.check(view.click(stamp))
    front.trigger("clear")
    # The second click refines the object of the rear camera, and starts a new object of the front camera.
    assert [m.object_id for m in front.click(stamp).masks] == [1]
    assert [m.object_id for m in rear.click(stamp).masks] == [1]
    request = Segment.Request(stamp=stamp, objects=[prompt(box=rear.scene.shapes[0].box)])
    answer = rig.peer.call(Segment, f"{NODE}/rear/segment", request)
    assert answer.success, answer.message
    rear.check(answer.result)


def test_one_camera_stops_and_one_sends_garbage(rig: Rig) -> None:
    """The third camera continues, and diagnostics show the state of each camera."""
    front, rear = rig.views["front"], rig.views["rear"]
    stop = threading.Event()

    def garbage() -> None:
        while not stop.wait(0.01):
            bad = image(np.zeros((48, 64, 3), np.uint8), Time(sec=5))
            bad.step, bad.encoding = 7, "nonsense"
            rig.peer.publish("rear/image", bad, wait=False)

    thread = threading.Thread(target=garbage, daemon=True)
    thread.start()
    try:
        eventually("refusals", lambda: any(v.key == "refused: bad_image" for v in rig.status("rear").values))
        for _ in range(3):
            stamp = rig.stamp()
            front.show(stamp)
            front.check(front.click(stamp))
        eventually("a warning of the rear", lambda: rig.status("rear").level == DiagnosticStatus.WARN)
        left = eventually("the left without images", lambda: (s := rig.status("left")).level != b"\x00" and s)
        assert "does the camera publish on '/left/image'" in left.message
        assert not any(v.key == "refused: bad_image" for v in rig.status("front").values)
        assert "rear: input refused" in rig.process.log() and "front: input refused" not in rig.process.log()
    finally:
        stop.set()
        thread.join()
    stamp = rig.stamp()
    rear.show(stamp)
    rear.check(rear.click(stamp))


def test_a_fast_camera_starves_no_other(rig: Rig) -> None:
    """The front camera is far faster than the model; still, every image of the other cameras is encoded."""
    stop = threading.Event()
    message = image(SCENES["front"].rgb, rig.stamp())

    def fast() -> None:
        tick = 0
        while not stop.wait(0.004):
            tick += 1
            message.header.stamp.nanosec = tick
            rig.peer.publish("front/image", message, wait=False)

    thread = threading.Thread(target=fast, daemon=True)
    thread.start()
    try:
        for _ in range(5):
            stamp = rig.stamp()
            for name in ("rear", "left"):
                rig.views[name].publish(stamp)
            for name in ("rear", "left"):
                rig.views[name].overlay.wait(f"frame {stamp} of {name}", lambda m, s=stamp: m.header.stamp == s)
                rig.views[name].check(rig.views[name].click(stamp))
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ("[front, '']", "is '', expected names of letters"),
        ("[front, rear, front]", "is 'front', expected a different name for each camera"),
        ("[front/left]", "is 'front/left', expected names of letters"),
        ("['2nd']", "is '2nd', expected names of letters"),
        ("front", "found a string"),
    ],
)
def test_names_that_ros_does_not_take(
    peer: Peer, start_node: Callable[..., NodeProcess], names: str, words: str
) -> None:
    node = start_node(peer.domain, "-p", f"cameras:={names}")
    assert node.exit_status() == 1
    assert words in node.log()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_node_with_cameras_at_work(number: signal.Signals) -> None:
    rig = Rig()
    stop = threading.Event()

    def cameras() -> None:
        tick = 0
        while not stop.wait(0.005):
            tick += 1
            for view in rig.views.values():
                message = image(view.scene.rgb, Time(sec=2000, nanosec=tick))
                rig.peer.publish(f"{view.name}/image", message, wait=False)

    thread = threading.Thread(target=cameras, daemon=True)
    thread.start()
    try:
        marks = {name: view.overlay.mark() for name, view in rig.views.items()}
        for name, view in rig.views.items():
            view.overlay.wait(f"work of {name}", lambda m: m.header.stamp.sec == 2000, marks[name])
        since = time.monotonic()
        rig.process.send(number)
        assert rig.process.exit_status() == 0, rig.process.log()
        assert time.monotonic() - since < 1.5
        assert "panicked" not in rig.process.log()
    finally:
        stop.set()
        thread.join()
        rig.close()

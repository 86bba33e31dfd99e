"""Which images are encoded: `encode.mode` is `auto`, `always` or `on_demand`."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from promptseg_msgs.msg import MaskArray

from harness import Inbox, NodeProcess, Peer, eventually, parameter_args
from messages import image, pixel
from robot import BASE, CAMERA_QOS
from scenes import Scene


class Camera:
    """A node without subscribers, except to its diagnostics."""

    def __init__(
        self, start: Callable[..., NodeProcess], peer: Peer, scene: Scene, parameters: dict[str, object]
    ) -> None:
        self.peer, self.rgb = peer, scene.rgb
        self.diagnostics: Inbox = peer.subscribe(DiagnosticArray, "/diagnostics")
        start(peer.domain, *parameter_args(BASE | parameters)).wait_ready()

    def show(self, seconds: float = 1.0) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            now = self.peer.node.get_clock().now().to_msg()
            self.peer.publish("image", image(self.rgb, now), CAMERA_QOS)
            time.sleep(0.05)

    def values(self) -> dict[str, str]:
        """The diagnostics that are published from now on."""
        message = self.diagnostics.wait("diagnostics", lambda m: m.status[0].values, self.diagnostics.mark())
        return {v.key: v.value for v in message.status[0].values}

    def encodes(self) -> bool:
        """Returns whether the node encodes the images that the camera publishes."""
        before = self.values()
        self.show()
        after = self.values()
        received = int(after["images in"]) - int(before["images in"])
        assert received > 0, "the node receives no images"
        return int(after["images encoded"]) - int(before["images encoded"]) > 1

    def click(self) -> None:
        self.peer.publish("pixel", pixel(60, 60))


def test_auto_encodes_while_somebody_listens_or_pointed(
    start_node: Callable[..., NodeProcess], peer: Peer, scene: Scene
) -> None:
    camera = Camera(start_node, peer, scene, {"encode.linger": 2.0, "persistence.default": "once"})
    camera.show()
    idle = camera.values()
    assert (idle["images encoded"], idle["encoder"]) == ("0", "idle: nobody needs the images")
    assert int(idle["images nobody needed"]) > 0 and idle["images superseded by a newer one"] == "0"
    # A click without a subscriber: the first click waits until one image is encoded.
    camera.click()
    eventually("the answer", lambda: camera.values()["masks"] == "1")
    camera.click()
    assert camera.encodes(), "further clicks are expected after a click"
    eventually("an idle encoder", lambda: camera.values()["encoder"].startswith("idle"))
    assert not camera.encodes()
    # A subscriber without a click.
    masks = peer.node.create_subscription(MaskArray, "/promptseg/masks", lambda _: None, 10)
    eventually("an encoder at work", lambda: camera.values()["encoder"] == "at work")
    assert camera.encodes()
    peer.node.destroy_subscription(masks)
    eventually("an idle encoder", lambda: camera.values()["encoder"].startswith("idle"))
    assert not camera.encodes()


def test_auto_encodes_while_an_object_lives(start_node: Callable[..., NodeProcess], peer: Peer, scene: Scene) -> None:
    camera = Camera(start_node, peer, scene, {"encode.linger": 0.0, "persistence.default": "hold"})
    camera.show()
    camera.click()
    eventually("the answer", lambda: int(camera.values()["masks"]) > 0)
    assert camera.encodes()


@pytest.mark.parametrize(("encode", "expected"), [("always", True), ("on_demand", False)])
def test_the_other_two_ways(
    start_node: Callable[..., NodeProcess], peer: Peer, scene: Scene, encode: str, expected: bool
) -> None:
    camera = Camera(start_node, peer, scene, {"encode.mode": encode})
    assert camera.encodes() is expected
    listener = peer.node.create_subscription(MaskArray, "/promptseg/masks", lambda _: None, 10)
    time.sleep(0.5)
    assert camera.encodes() is expected, "subscribers make no difference"
    peer.node.destroy_subscription(listener)

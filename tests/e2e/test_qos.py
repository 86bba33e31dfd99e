"""Quality of service: images are received from every camera, and parameters can override every profile."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from promptseg_msgs.msg import MaskArray, PromptArray
from rcl_interfaces.msg import ParameterDescriptor
from rcl_interfaces.srv import DescribeParameters, ListParameters
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image

from harness import LATCHED, NodeProcess, Peer, eventually, free_domain
from lifecycle import Manager
from messages import compressed, image, pixel, pixels, prompt, prompts
from robot import Robot, get_parameters
from scenes import Scene, iou

RELIABLE, BEST_EFFORT = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT
VOLATILE, TRANSIENT_LOCAL = DurabilityPolicy.VOLATILE, DurabilityPolicy.TRANSIENT_LOCAL
SENSOR = QoSProfile(depth=5, reliability=BEST_EFFORT, durability=VOLATILE)
USUAL = QoSProfile(depth=5, reliability=RELIABLE, durability=VOLATILE)
NODE = "/promptseg"
STAMP = Time(sec=100)


def subscription(peer: Peer, topic: str = "/image") -> set[tuple[ReliabilityPolicy, DurabilityPolicy]]:
    """The profiles of the node's subscriptions to a topic."""
    subscriptions = peer.node.get_subscriptions_info_by_topic(topic)
    return {(i.qos_profile.reliability, i.qos_profile.durability) for i in subscriptions if i.node_name == "promptseg"}


def camera(peer: Peer, qos: QoSProfile, topic: str = "image", kind: type = Image) -> Any:
    return peer.node.create_publisher(kind, topic, qos)


def expect_matched(peer: Peer, publisher: Any, scene: Scene, *qos: object) -> None:
    """Publishes images until the node's only subscription has the profile of the camera."""

    def matched() -> bool:
        publisher.publish(image(scene.rgb, peer.node.get_clock().now().to_msg()))
        return subscription(peer) == {qos}

    eventually(f"the node to ask for {qos}; it asks for {subscription(peer)}", matched)


def ask(peer: Peer, masks: Any, scene: Scene, stamp: Time | None = None) -> MaskArray:
    """Sends prompts until there is a mask."""
    box = prompt(box=scene.shapes[0].box)
    mark = masks.mark()

    def answered() -> list[MaskArray]:
        peer.publish("prompts", prompts(PromptArray.SET, box, stamp=stamp))
        try:
            return [masks.wait("a mask", lambda m: m.masks, mark, timeout=1.0)]
        except AssertionError:
            return []

    return eventually("an answer", answered, 60)[0]


def test_a_picture_published_once_before_the_node_starts(
    peer: Peer, start_node: Callable[..., NodeProcess], scene: Scene
) -> None:
    """A latched image reaches the node: it asks for transient local because its publisher offers it."""
    picture = camera(peer, LATCHED)
    picture.publish(image(scene.rgb, STAMP))
    masks = peer.subscribe(MaskArray, f"{NODE}/masks")
    start_node(peer.domain).wait_ready()
    answer = ask(peer, masks, scene)
    assert answer.header.stamp == STAMP
    assert (RELIABLE, TRANSIENT_LOCAL) in subscription(peer)


def test_a_picture_published_once_is_there_again_after_a_pause(
    peer: Peer, start_node: Callable[..., NodeProcess], scene: Scene
) -> None:
    camera(peer, LATCHED).publish(image(scene.rgb, STAMP))
    masks = peer.subscribe(MaskArray, f"{NODE}/masks")
    node = start_node(peer.domain)
    node.wait_ready()
    assert ask(peer, masks, scene).header.stamp == STAMP
    manager = Manager(peer).connect(node)
    assert manager.change("deactivate") and manager.change("activate")
    assert ask(peer, masks, scene).header.stamp == STAMP


def test_the_subscription_follows_its_cameras(
    peer: Peer, start_node: Callable[..., NodeProcess], scene: Scene
) -> None:
    node = start_node(peer.domain)
    node.wait_ready()
    eventually("the subscription", lambda: subscription(peer) == {(BEST_EFFORT, VOLATILE)})
    first = camera(peer, USUAL)
    expect_matched(peer, first, scene, RELIABLE, VOLATILE)
    assert "/image: reliable and volatile, as its publishers are" in node.log()
    # With another camera on the topic, the node asks for what both offer.
    second = camera(peer, SENSOR)
    expect_matched(peer, first, scene, BEST_EFFORT, VOLATILE)
    peer.node.destroy_publisher(second)
    expect_matched(peer, first, scene, RELIABLE, VOLATILE)
    assert "nothing is received" not in node.log()
    # A camera that returns with a weaker profile is still received.
    peer.node.destroy_publisher(first)
    eventually("the camera to be gone", lambda: not peer.node.count_publishers("/image"))
    third = camera(peer, SENSOR)
    eventually("the subscription that fits", lambda: (BEST_EFFORT, VOLATILE) in subscription(peer))
    masks = peer.subscribe(MaskArray, f"{NODE}/masks")
    peer.node.create_timer(0.05, lambda: third.publish(image(scene.rgb, peer.node.get_clock().now().to_msg())))
    assert ask(peer, masks, scene).masks


@pytest.mark.parametrize("qos", [USUAL, LATCHED], ids=["usual", "latched"])
def test_no_image_is_lost_while_the_subscription_is_replaced(
    peer: Peer, start_node: Callable[..., NodeProcess], scene: Scene, qos: QoSProfile
) -> None:
    start_node(peer.domain).wait_ready()
    overlays = peer.subscribe(Image, f"{NODE}/overlay")
    eventually("the overlay", lambda: peer.node.count_publishers(f"{NODE}/overlay"))
    publisher = camera(peer, qos)
    seconds = count(200)

    def publish() -> Time:
        stamp = Time(sec=next(seconds))
        publisher.publish(image(scene.rgb, stamp))
        return stamp

    def received() -> bool:
        """Publishes until an image arrives: the two ends discover each other at different times, so the first images may be lost."""
        publish()
        time.sleep(0.05)
        return overlays.mark() > 0

    eventually("a first overlay", received)
    for sent in range(100):
        stamp = publish()
        overlays.wait(f"the overlay of image {stamp}", lambda m, s=stamp: m.header.stamp == s)
        if sent >= 12 and subscription(peer) == {(qos.reliability, qos.durability)}:
            return
    pytest.fail(f"the node asks for {subscription(peer)}")


def test_overrides_by_file(peer: Peer, start_node: Callable[..., NodeProcess], tmp_path: Path) -> None:
    file = tmp_path / "qos.yaml"
    profile = {"reliability": "reliable", "depth": 5}
    overrides = {
        "/camera/image": {"subscription": profile},
        "/promptseg/mask": {"publisher": {"durability": "transient_local", "lifespan": 2_000_000_000}},
        "/somebody/else": {"publisher": {"depth": 3}},
    }
    file.write_text(yaml.safe_dump({"/**": {"ros__parameters": {"qos_overrides": overrides}}}))
    node = start_node(peer.domain, "--params-file", str(file), "-r", "image:=/camera/image")
    node.wait_ready()
    names = [f"qos_overrides./camera/image.subscription.{p}" for p in ("reliability", "durability", "history", "depth")]
    assert get_parameters(peer, *names) == ["reliable", "best_available", "keep_last", 5]
    names = [f"qos_overrides./promptseg/mask.publisher.{p}" for p in ("reliability", "durability", "depth", "lifespan")]
    assert get_parameters(peer, *names) == ["reliable", "transient_local", 10, 2_000_000_000]
    eventually("the subscription", lambda: subscription(peer, "/camera/image") == {(RELIABLE, VOLATILE)})
    mask = peer.node.get_publishers_info_by_topic("/promptseg/mask")[0].qos_profile
    assert (mask.reliability, mask.durability, mask.lifespan.nanoseconds) == (RELIABLE, TRANSIENT_LOCAL, 2_000_000_000)
    assert "qos_overrides./somebody/else.publisher.depth" in node.log(), "an override of another node is logged and ignored"


def test_parameters_are_listed_described_and_read_only(robot: Robot) -> None:
    name = "qos_overrides./promptseg/overlay.publisher.reliability"
    listed = robot.peer.call(
        ListParameters, f"{NODE}/list_parameters", ListParameters.Request(prefixes=["qos_overrides"])
    ).result
    assert name in listed.names and "qos_overrides./promptseg/overlay.publisher" in listed.prefixes
    assert all(n.startswith("qos_overrides.") for n in listed.names)
    shallow = robot.peer.call(ListParameters, f"{NODE}/list_parameters", ListParameters.Request(depth=1)).result
    assert "model" in shallow.names and name not in shallow.names
    request = DescribeParameters.Request(names=[name])
    described: ParameterDescriptor = robot.peer.call(
        DescribeParameters, f"{NODE}/describe_parameters", request
    ).descriptors[0]
    assert described.read_only and described.type == 4 and "best_effort" in described.description
    assert robot.set_parameter(name, "reliable").successful, "a value that changes nothing is accepted"
    refused = robot.set_parameter(name, "best_effort")
    assert not refused.successful and "start the node again" in refused.reason
    robot.changed.clear()


def test_a_dump_of_the_parameters_starts_a_node(
    robot: Robot, start_node: Callable[..., NodeProcess], tmp_path: Path
) -> None:
    """Overrides in the form of `ros2 param dump`: the names become a tree."""
    names = robot.peer.call(ListParameters, f"{NODE}/list_parameters", ListParameters.Request()).result.names
    values = get_parameters(robot.peer, *names)
    tree: dict[str, Any] = {}
    for name, value in zip(names, values, strict=True):
        *path, last = name.split(".")
        branch = tree
        for part in path:
            branch = branch.setdefault(part, {})
        branch[last] = value if isinstance(value, (bool, int, float, str)) else list(value)
    file = tmp_path / "promptseg.yaml"
    file.write_text(yaml.safe_dump({NODE: {"ros__parameters": tree}}))
    peer = Peer(free_domain())
    try:
        node = start_node(peer.domain, "--params-file", str(file))
        node.wait_ready()
        assert get_parameters(peer, *names) == values
        assert "there is no parameter" not in node.log() and "not for a topic" not in node.log()
    finally:
        peer.close()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("/image.subscription.reliability:=perfect", "'perfect', expected reliable, best_effort"),
        ("/image.subscription.depth:=0", "is 0, expected a whole number from 1"),
        ("/image.subscription.depth:=many", "is 'many', expected a whole number from 1"),
        ("/image.subscription.relability:=reliable", "one of reliability, durability, history, depth"),
        ("/promptseg/mask.publisher.reliability:=best_available", "subscriptions only"),
    ],
)
def test_a_wrong_override_ends_the_start(
    peer: Peer, start_node: Callable[..., NodeProcess], given: str, words: str
) -> None:
    node = start_node(peer.domain, "-p", f"qos_overrides.{given}")
    assert node.exit_status() == 1
    assert words in node.log() and given.split(":=")[0] in node.log()


def test_a_mask_for_those_who_come_late(peer: Peer, start_node: Callable[..., NodeProcess], scene: Scene) -> None:
    """A transient local output is computed without a subscriber and kept for later subscribers; another output is not."""
    override = "qos_overrides./promptseg/mask.publisher"
    start_node(peer.domain, "-p", f"{override}.durability:=transient_local", "-p", f"{override}.depth:=1").wait_ready()
    camera(peer, LATCHED).publish(image(scene.rgb, STAMP))
    ask(peer, peer.subscribe(MaskArray, f"{NODE}/masks"), scene)
    late = peer.subscribe(Image, f"{NODE}/mask", LATCHED)
    mask = late.wait("the last mask", lambda m: m.header.stamp == STAMP)
    assert iou(pixels(mask) > 0, scene.truth[0]) >= 0.75
    # A subscriber that asks for more than the profile offers gets nothing.
    labels = peer.subscribe(Image, f"{NODE}/labels", LATCHED)
    eventually("the labels' publisher", lambda: peer.node.count_publishers(f"{NODE}/labels"))
    ask(peer, peer.subscribe(MaskArray, f"{NODE}/masks"), scene)
    assert not labels.all()


def test_a_publisher_that_offers_too_little_is_named(robot: Robot) -> None:
    """`prompts` is reliable: no message is lost. A best-effort publisher causes a warning."""
    before = robot.rosout.mark()
    robot.peer.node.create_publisher(PromptArray, "prompts", SENSOR)
    warning = robot.rosout.wait("a warning", lambda m: m.level == 30 and "/prompts" in m.msg, before).msg
    assert "nothing is received from 'peer'" in warning
    assert "set qos_overrides./prompts.subscription.reliability to best_effort" in warning


def test_a_camera_behind_an_override_is_named(peer: Peer, start_node: Callable[..., NodeProcess]) -> None:
    node = start_node(peer.domain, "-p", "qos_overrides./image.subscription.durability:=transient_local")
    node.wait_ready()
    camera(peer, USUAL)
    eventually("the warning", lambda: "its durability is volatile, this node requests transient_local" in node.log())


@pytest.mark.parametrize(
    ("rules", "topic"),
    [
        (("image:=/front/image_raw",), "/front/image_raw/compressed"),
        (("image:=/front/image_raw", "image/compressed:=/front/jpeg"), "/front/jpeg"),
    ],
)
def test_compressed_images_are_below_the_final_name(
    peer: Peer, start_node: Callable[..., NodeProcess], scene: Scene, rules: tuple[str, ...], topic: str
) -> None:
    remaps = [part for rule in rules for part in ("-r", rule)]
    diagnostics = peer.subscribe(DiagnosticArray, "/diagnostics")
    start_node(peer.domain, "-p", "image_transport:=compressed", *remaps).wait_ready()
    diagnostics.wait("what is missing", lambda d: any(topic in status.message for status in d.status))
    picture = camera(peer, LATCHED, topic, CompressedImage)
    picture.publish(compressed(scene.rgb, STAMP, "PNG"))
    masks = peer.subscribe(MaskArray, f"{NODE}/masks")
    assert ask(peer, masks, scene).header.stamp == STAMP


@pytest.mark.parametrize("transport", ["raw", "compressed"])
def test_an_image_remapped_to_its_compressed_topic_is_advised_about(
    peer: Peer, start_node: Callable[..., NodeProcess], transport: str
) -> None:
    node = start_node(peer.domain, "-p", f"image_transport:={transport}", "-r", "image:=/front/image_raw/compressed")
    node.wait_ready()
    advice = "remap 'image' to '/front/image_raw' and set image_transport to 'compressed'"
    assert node.log().count(advice) == 1, node.log()


def test_a_click_without_images_names_the_topic(peer: Peer, start_node: Callable[..., NodeProcess]) -> None:
    node = start_node(peer.domain, "-p", "prompt_timeout:=0.1", "-r", "image:=/front/image_raw")
    node.wait_ready()

    def named() -> bool:
        peer.publish("pixel", pixel(10, 10))
        time.sleep(0.3)
        return "does the camera publish on '/front/image_raw'?" in node.log()

    eventually("the refusal that names the topic", named)

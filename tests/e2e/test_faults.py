"""Cameras, detectors, subscribers and operators that misbehave: the node continues, and counts the input that it drops."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from promptseg_msgs.msg import MaskArray, PromptArray
from promptseg_msgs.srv import Segment
from rcl_interfaces.msg import Parameter
from rcl_interfaces.srv import SetParameters
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

from harness import Peer, eventually
from messages import detection, detections, ids, image, prompt, prompts, stamp_of, whole_mask
from robot import GOOD, Robot, get_parameters, value_message
from scenes import DISK, HEIGHT, WIDTH, Scene, iou

NOTHING = np.full((48, 64, 3), 90, np.uint8)


def values(robot: Robot) -> dict[str, str]:
    """The diagnostics that are published from now on."""
    return robot.diagnostic_values(robot.diagnostics.mark())


def unaccounted(counters: dict[str, str]) -> int:
    """The number of received images that are not yet encoded, superseded, late or refused."""
    done = ["images encoded", "images superseded by a newer one", "images nobody needed", "images late", "refused: bad_image"]
    return int(counters["images in"]) - sum(int(counters.get(name, 0)) for name in done)


@contextmanager
def running(step: Callable[[], None], pause: float) -> Iterator[None]:
    """Repeats an action on its own thread."""
    stop = threading.Event()
    failed: list[BaseException] = []

    def run() -> None:
        try:
            while not stop.wait(pause):
                step()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert not failed, failed


def test_a_camera_vanishes_and_returns_as_another(robot: Robot, scene: Scene) -> None:
    """Another size, encoding and frame id, and a clock that jumped back: each answer belongs to its own image."""
    stamp = robot.show(scene.rgb)
    robot.add(prompt(object_id=1, box=scene.shapes[0].box), stamp=stamp)
    silent = robot.diagnostics.mark()
    robot.diagnostics.wait("a warning without images", lambda m: "no images" in m.status[0].message, silent)
    robot.set_clock_back()
    small = Scene((DISK,), WIDTH, HEIGHT).rgb[: HEIGHT // 2, : WIDTH // 2]
    for rgb, encoding, frame_id in [
        (small, "bgr8", "rear_optical_frame"),
        (np.ascontiguousarray(small[:, :, 1]), "mono8", "rear_optical_frame"),
        (scene.rgb, "rgb8", ""),
    ]:
        message = image(rgb[:, :, ::-1] if encoding == "bgr8" else rgb, robot.stamp(), encoding)
        message.header.frame_id = frame_id
        robot.show_message(message)
        answer = robot.masks.wait("the object on the new image", lambda m: m.header == message.header)
        assert (answer.height, answer.width) == rgb.shape[:2]
        assert robot.process.is_running()
    assert iou(whole_mask(answer, answer.masks[0]), scene.truth[0]) >= GOOD
    robot.click_answered(scene)


def test_stamps_that_come_twice_or_in_the_wrong_order(robot: Robot) -> None:
    original, moved = Scene(shapes=(DISK,)), Scene(shapes=(DISK.moved(140, 60),))
    first, second, third = (robot.stamp() for _ in range(3))
    before = int(values(robot)["images late"])
    robot.show_message(image(original.rgb, third))
    # Late images are not encoded until a prompt asks for them. Each is counted before the next is sent.
    for count, (stamp, scene) in enumerate([(first, moved), (second, original), (second, moved)], 1):
        robot.publish_image(image(scene.rgb, stamp))
        eventually(f"{count} late images", lambda: int(values(robot)["images late"]) == before + count)
    # Every click is answered on the image of its stamp; if two images have the stamp, on the later arrival.
    for stamp, scene in [(first, moved), (third, original), (second, moved)]:
        assert robot.trigger("new_object").success
        answer = robot.click(*scene.shapes[0].centre, stamp)
        assert max(iou(whole_mask(answer, m), scene.truth[0]) for m in answer.masks) >= GOOD


def test_every_image_of_a_wild_camera_is_accounted_for(robot: Robot, scene: Scene) -> None:
    """Good and broken images, faster than the encoder: each is encoded, superseded or refused, and counted."""
    before = values(robot)  # no image is in transit: the fixture waited for the last image
    broken = image(NOTHING, Time())
    broken.step = 1
    sent = 0

    def burst() -> None:
        nonlocal sent
        broken.header.stamp = robot.stamp()
        robot.publish_image(broken if sent % 3 == 2 else image(NOTHING, robot.stamp()))
        sent += 1

    with running(burst, 0.002):
        eventually("some hundred images", lambda: sent >= 300)
        eventually("a refused one", lambda: robot.refused("bad_image") > int(before.get("refused: bad_image", 0)))
    # Each received image increased one counter, and none is left.
    eventually("the counters to add up", lambda: unaccounted(values(robot)) == unaccounted(before))
    assert int(values(robot)["images in"]) > int(before["images in"])
    robot.click_answered(scene)


def test_a_detector_that_floods(robot: Robot, scene: Scene) -> None:
    """More boxes than the decoder can process: clicks are decoded in between, the queue is bounded, refused boxes are counted."""
    stamp = robot.show(scene.rgb)
    boxes = [detection(scene.shapes[i % 3].box, "disk", str(i)) for i in range(100)]
    flood = detections(stamp, *boxes)
    # One message already needs the memory of the decoder's largest batch, whatever waits.
    robot.detect(stamp, *boxes)
    before = int(values(robot).get("refused: queue_full", 0))
    memory = robot.process.resident_megabytes()
    with running(lambda: robot.peer.publish("detections", flood), 0.001):
        # Clicks are answered on the newest image, and do not wait for the detections.
        began = time.monotonic()
        eventually("a refusal that is counted", lambda: int(values(robot).get("refused: queue_full", 0)) > before, 60)
        assert robot.trigger("new_object").success
        since = robot.masks.mark()
        robot.send_click(*scene.shapes[1].centre, stamp)
        robot.masks.wait("the click", lambda m: any(o.object_id < 1000 for o in m.masks), since, 60)
        took = time.monotonic() - began
    assert robot.process.resident_megabytes() - memory < 40, "what waits is bounded"
    assert took < 60
    # Waiting detections are decoded, or refused because their frame is no longer kept.
    robot.set({"keep.frames": 1, "prompt_timeout": 0.1})
    robot.show(NOTHING)
    robot.show(NOTHING)
    robot.click_answered(scene)


def test_subscribers_come_and_go(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    robot.add(prompt(object_id=1, box=scene.shapes[0].box), stamp=stamp)
    since = robot.masks.mark()
    with running(lambda: robot.publish_image(image(scene.rgb, robot.stamp())), 0.03):
        for turn in range(12):
            visitor = Peer(robot.domain, f"visitor_{turn}")
            inboxes = [
                visitor.subscribe(kind, f"{robot.prefix}/{topic}", QoSProfile(depth=1 + turn))
                for kind, topic in [(MaskArray, "masks"), (Image, "mask"), (Image, "overlay")]
            ]
            if turn % 3 == 0:
                eventually("messages for the new subscriber", lambda: all(i.mark() for i in inboxes), 60)
            visitor.close()
    answers = [m for m in robot.masks.all(since)]
    assert answers and all(ids(m) == [1] for m in answers), "the remaining subscriber gets every answer"
    stamps = [stamp_of(m) for m in answers]
    assert stamps == sorted(stamps)
    robot.click_answered(scene)


def test_a_storm_of_parameters(robot: Robot, scene: Scene) -> None:
    """Four operators set valid and invalid parameters while the camera runs: each gets the answer to its own request."""
    good = [("output.overlay_quality", [40, 60, 85]), ("persistence.default", ["once", "hold"]), ("detections.max_count", [10, 300])]
    bad = [("output.overlay_quality", 1000), ("persistence.default", "always"), ("keep.frames", 0), ("nothing", 1)]
    robot.changed |= {name for name, _ in good}
    operators = [Peer(robot.domain, f"operator_{i}") for i in range(4)]
    wrong: list[Any] = []

    def storm(number: int, operator: Peer) -> None:
        def ask(*parameters: tuple[str, Any]) -> list[Any]:
            messages = [Parameter(name=n, value=value_message(v)) for n, v in parameters]
            request = SetParameters.Request(parameters=messages)
            return operator.call(SetParameters, f"{robot.prefix}/set_parameters", request, 60).results

        try:
            for i in range(50):
                name, choices = good[(i + number) % len(good)]
                right, refused = ask((name, choices[i % len(choices)]), bad[i % len(bad)])
                if not right.successful or refused.successful or not refused.reason:
                    wrong.append((name, right, refused))
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=storm, args=each) for each in enumerate(operators)]
    with running(lambda: robot.publish_image(image(scene.rgb, robot.stamp())), 0.03):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for operator in operators:
        operator.close()
    assert not wrong, wrong[:3]
    quality, persistence, most, frames = get_parameters(
        robot.peer, "output.overlay_quality", "persistence.default", "detections.max_count", "keep.frames"
    )
    assert quality in (40, 60, 85) and persistence in ("once", "hold") and most in (10, 300)
    assert frames == 30, "as it was"
    robot.click_answered(scene)


def test_more_points_or_objects_than_any_memory(robot: Robot, scene: Scene) -> None:
    """A message of a hundred thousand points would be tens of gigabytes of attention."""
    stamp = robot.show(scene.rgb)
    robot.add(prompt(object_id=1, box=scene.shapes[0].box), stamp=stamp)
    points = prompts(PromptArray.ADD, prompt(2, points=[(50, 50, 1)] * 100_000), stamp=stamp)
    robot.expect_refusal("bad_prompt", "1024 points", lambda: robot.peer.publish("prompts", points))
    many = prompts(PromptArray.SET, *[prompt(box=scene.shapes[0].box) for _ in range(20_000)], stamp=stamp)
    robot.expect_refusal("too_many_objects", "20000 objects", lambda: robot.peer.publish("prompts", many))
    reply = robot.segment(stamp=stamp, objects=many.objects)
    assert not reply.success and "20000 objects" in reply.message
    since = robot.masks.mark()
    stamp = robot.show(scene.rgb)
    answer = robot.masks.wait("the existing object", lambda m: m.header.stamp == stamp, since)
    assert ids(answer) == [1]


@pytest.mark.parametrize("stale", [False, True])
def test_operators_come_and_go(robot: Robot, scene: Scene, stale: bool) -> None:
    """Clients that leave before their answer do not affect the answers to other clients."""
    stamp = robot.show(scene.rgb)
    for turn in range(8):
        visitor = Peer(robot.domain, f"visitor_{turn}")
        request = Segment.Request(stamp=Time(sec=5) if stale else stamp, objects=[prompt(box=scene.shapes[0].box)])
        visitor.start_call(Segment, f"{robot.prefix}/segment", request)
        visitor.close()
    robot.click_answered(scene)

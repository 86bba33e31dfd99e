"""Objects in metres: depth images of every kind against NumPy, what cannot be measured and why, TF, demand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection3D, Detection3DArray

import depth_camera
import terminal
from cameras import Rig, apply, later
from depth_camera import LENS, reference, slope
from depth_robot import DEPTH_QOS, PARAMETERS, SLOPE, certain, detections, measured, of_click, position, robot, send, subscribed
from harness import Inbox, eventually
from messages import FRAME_ID, detection, whole_mask
from pointing import drive
from robot import Robot
from scenes import HEIGHT, WIDTH, Scene


WAYS: dict[str, tuple[str, float, Callable[[Robot, Time], None]]] = {
    "32FC1": ("raw", 1e-5, lambda r, s: send(r, s)),
    "32FC1, big endian": ("raw", 1e-5, lambda r, s: send(r, s, big_endian=True)),
    "16UC1": ("raw", 6e-4, lambda r, s: send(r, s, encoding="16UC1")),
    "half the size": ("raw", 3e-3, lambda r, s: send(r, s, slope(width=WIDTH // 2, height=HEIGHT // 2))),
    "twice the size": ("raw", 3e-3, lambda r, s: send(r, s, slope(width=WIDTH * 2, height=HEIGHT * 2))),
    "compressedDepth, 16UC1": ("compressedDepth", 6e-4, lambda r, s: squeezed(r, s, "16UC1")),
    # A step of the inverse depth is z^2 / 10100 metres.
    "compressedDepth, 32FC1": ("compressedDepth", 6e-4, lambda r, s: squeezed(r, s, "32FC1")),
}


def squeezed(robot: Robot, stamp: Time, encoding: str) -> None:
    robot.peer.publish("depth/compressedDepth", depth_camera.compressed(SLOPE, stamp, encoding), DEPTH_QOS)


@pytest.mark.parametrize("way", WAYS)
def test_the_centroid_is_that_of_numpy(
    robot: Robot, detections: Inbox, scene: Scene, certain: np.ndarray, way: str
) -> None:
    transport, tolerance, publish = WAYS[way]
    robot.set(**{"depth.transport": transport})
    masks, found = measured(robot, detections, scene.rgb, scene.shapes[1].centre, lambda s: publish(robot, s))
    expected = reference(whole_mask(masks, masks.masks[0]), SLOPE, certain)
    d = found.detections[0]
    assert found.header.frame_id == d.header.frame_id == FRAME_ID
    assert np.abs(position(d) - expected.centroid).max() < tolerance
    # The box is aligned to the optical frame, and reaches over the border that is not measured.
    size, extent = d.bbox.size, np.ptp(expected.points, 0)
    assert np.abs(np.array([size.x, size.y, size.z]) - extent).max() < 0.03
    assert d.bbox.center.orientation.w == pytest.approx(1.0)
    covariance = np.array(d.results[0].pose.covariance).reshape(6, 6)
    assert np.allclose(covariance, covariance.T) and (np.linalg.eigvalsh(covariance[:3, :3]) > 0).all()


def test_objects_are_those_of_the_terminal(robot: Robot, detections: Inbox, scene: Scene, tmp_path: Path) -> None:
    at = scene.shapes[1].centre
    _, found = measured(robot, detections, scene.rgb, at, lambda s: send(robot, s, encoding="16UC1"))
    expected = terminal.metres(tmp_path, scene.rgb, SLOPE, at)
    d = found.detections[0]
    centre, size = d.bbox.center.position, d.bbox.size
    # The terminal rounds to micrometres.
    assert position(d) == pytest.approx(expected["centroid"], abs=2e-6)
    assert (centre.x, centre.y, centre.z) == pytest.approx(expected["centre"], abs=2e-6)
    assert (size.x, size.y, size.z) == pytest.approx(expected["size"], abs=2e-6)
    covariance = np.array(d.results[0].pose.covariance).reshape(6, 6)[:3, :3]
    assert covariance == pytest.approx(np.array(expected["covariance"]), rel=1e-6)


def test_ids_and_classes_of_a_detector_are_kept(robot: Robot, detections: Inbox, scene: Scene) -> None:
    of_click(robot, detections, scene)
    robot.clear()
    stamp, before = robot.show(scene.rgb), detections.mark()
    send(robot, stamp)
    robot.detect(stamp, detection(scene.shapes[0].box, "disk", "d7", 0.6), detection(scene.shapes[2].box, "egg", "e9", 0.5))
    found = detections.wait("objects in metres", lambda m: m.header.stamp == stamp and len(m.detections) == 2, before)
    kept = [(d.id, d.results[0].hypothesis.class_id) for d in found.detections]
    assert kept == [("d7", "disk"), ("e9", "egg")]
    assert all(0.5 < d.results[0].hypothesis.score <= 1 for d in found.detections)


def test_masks_do_not_wait_for_late_depth(robot: Robot, detections: Inbox, scene: Scene) -> None:
    of_click(robot, detections, scene)
    stamp, before = robot.show(scene.rgb), detections.mark()
    # `show` waits for the image of the object that lives on; its masks and that of the click are there without depth.
    masks = robot.click(*scene.shapes[1].centre, stamp)
    assert masks.masks and not [m for m in detections.all(before) if m.header.stamp == stamp]
    send(robot, stamp)
    found = detections.wait("objects in metres", lambda m: m.header.stamp == stamp, before)
    assert len(found.detections) == 1


def test_the_nearest_depth_image_within_the_tolerance_is_taken(robot: Robot, detections: Inbox, scene: Scene) -> None:
    of_click(robot, detections, scene)
    robot.set(**{"depth.tolerance": 0.03})
    stamp, before = robot.show(scene.rgb), detections.mark()
    for offset in (-24, -8, 12, 26):
        send(robot, later(stamp, offset), slope(2.0 + offset / 100))
    found = detections.wait("objects in metres", lambda m: m.header.stamp == stamp, before)
    assert position(found.detections[0])[2] - slope(1.92)[75, 235] == pytest.approx(0, abs=0.01)


@pytest.fixture
def hasty(robot: Robot, detections: Inbox, scene: Scene) -> Robot:
    """A robot whose results wait a short time for depth, with an object that has been measured."""
    of_click(robot, detections, scene)
    robot.clear()
    robot.set(**{"depth.timeout": 0.05})
    return robot


def click_with(robot: Robot, inbox: Inbox, scene: Scene, publish: Callable[[Time], None]) -> None:
    """Clicks on a new image; its object goes out in 2-D, and the list of the objects in metres is empty."""
    assert not clicked(robot, inbox, scene, publish)


def clicked(robot: Robot, inbox: Inbox, scene: Scene, publish: Callable[[Time], None]) -> list[Detection3D]:
    """Clicks on a new image, whose object goes out in 2-D; returns the list of the objects in metres."""
    before = inbox.mark()
    stamp = robot.show(scene.rgb)
    publish(stamp)
    assert robot.click(*scene.shapes[1].centre, stamp).masks
    found = inbox.wait("the list of objects in metres", lambda m: m.header.stamp == stamp, before)
    robot.clear()
    return list(found.detections)


# name: (reason in diagnostics, words of the warning, depth)
REFUSED: dict[str, tuple[str, str, Callable[[Robot, Time], None]]] = {
    "none": ("no_depth", "the nearest depth image on '/depth' is", lambda r, s: None),
    "NaN only": ("no_depth", "no pixel of the", lambda r, s: send(r, s, np.full_like(SLOPE, np.nan))),
    "zeros only": ("no_depth", "no pixel of the", lambda r, s: send(r, s, np.zeros_like(SLOPE), encoding="16UC1")),
    "another size": ("bad_depth", "RegisterNode", lambda r, s: send(r, s, slope(width=300, height=200))),
    "another encoding": ("bad_depth", 'encoding "8UC1" is not a depth image', lambda r, s: wrong(r, s, encoding="8UC1")),
    "rows that are too short": ("bad_depth", "step of 7 bytes", lambda r, s: wrong(r, s, step=7)),
    "another frame": (
        "bad_depth",
        'is of frame "infrared", the image of "camera_optical_frame": it is not registered to the image; register it with '
        "depth_image_proc::RegisterNode",
        lambda r, s: send(r, s, frame_id="infrared"),
    ),
}


def wrong(robot: Robot, stamp: Time, **fields: Any) -> None:
    message: Image = depth_camera.image(SLOPE, stamp, "32FC1")
    for name, value in fields.items():
        setattr(message, name, value)
    robot.peer.publish("depth", message, DEPTH_QOS)


@pytest.mark.parametrize("name", REFUSED)
def test_an_object_without_depth_goes_out_in_2d_with_the_reason(
    hasty: Robot, detections: Inbox, scene: Scene, name: str
) -> None:
    kind, words, publish = REFUSED[name]
    hasty.expect_refusal(kind, words, lambda: click_with(hasty, detections, scene, lambda s: publish(hasty, s)))
    # The node continues.
    of_click(hasty, detections, scene)


def test_holes_are_left_out(robot: Robot, detections: Inbox, scene: Scene, certain: np.ndarray) -> None:
    depth = SLOPE.copy()
    depth[60:80:3, 200:260] = np.nan
    mask, found = of_click(robot, detections, scene, depth)
    assert np.abs(position(found.detections[0]) - reference(mask, depth, certain).centroid).max() < 1e-4


def test_stamps_that_jump(robot: Robot, detections: Inbox, scene: Scene, certain: np.ndarray) -> None:
    for jump in (0, -1, 1):
        robot._ticks += jump * 10_000
        mask, found = of_click(robot, detections, scene)
        assert np.abs(position(found.detections[0]) - reference(mask, SLOPE, certain).centroid).max() < 1e-5
        robot.clear()


def test_the_current_object_and_its_nearest_point(
    robot: Robot, detections: Inbox, scene: Scene, certain: np.ndarray
) -> None:
    poses = robot.peer.subscribe(PoseStamped, "/promptseg/pose", 50)
    mask, found = of_click(robot, detections, scene)
    expected = reference(mask, SLOPE, certain)

    def pose() -> np.ndarray:
        before, stamp = poses.mark(), robot.show(scene.rgb)
        send(robot, stamp)
        p = poses.wait("a pose", lambda m: m.header.stamp == stamp, before).pose.position
        return np.array([p.x, p.y, p.z])

    assert np.abs(pose() - expected.centroid).max() < 2e-3
    robot.set(**{"depth.pose": "top"})
    # Without a frame with z up, the top is towards the camera: the left border of the card, in its middle.
    top = pose()
    assert expected.points[:, 2].min() <= top[2] < expected.points[:, 2].min() + 0.02
    assert top[0] < expected.centroid[0] - 0.1


def test_a_moving_camera_describes_the_world(
    robot: Robot, detections: Inbox, scene: Scene, certain: np.ndarray
) -> None:
    of_click(robot, detections, scene)
    rig = Rig(base="base_depth", world="map_depth")
    robot.set(**{"depth.frame": rig.world, "depth.timeout": 10.0})
    first = robot.stamp()
    drive(robot, rig, first, steps=30)
    for _ in range(3):
        before, stamp = detections.mark(), robot.show(scene.rgb)
        send(robot, stamp)
        masks = robot.click(*scene.shapes[1].centre, stamp)
        found = detections.wait("objects in the world", lambda m: m.header.stamp == stamp, before)
        assert found.header.frame_id == rig.world
        world = rig.camera_in_world(stamp)
        optical = reference(whole_mask(masks, masks.masks[0]), SLOPE, certain).centroid
        assert np.abs(position(found.detections[0]) - apply(world, optical)).max() < 2e-3
        # The box stands upright.
        q = found.detections[0].bbox.center.orientation
        assert (q.x, q.y) == pytest.approx((0, 0)) and q.z**2 + q.w**2 == pytest.approx(1)


def test_transforms_that_come_late_are_waited_for_and_missing_ones_are_named(
    robot: Robot, detections: Inbox, scene: Scene
) -> None:
    of_click(robot, detections, scene)
    rig = Rig(base="base_late_depth", world="map_late_depth")
    robot.set(**{"depth.frame": rig.world})
    before = detections.mark()
    stamp = robot.show(scene.rgb)
    send(robot, stamp)
    assert robot.click(*scene.shapes[1].centre, stamp).masks
    assert not [m for m in detections.all(before) if m.header.stamp == stamp]
    drive(robot, rig, later(stamp, -100), steps=4)
    found = detections.wait("objects in the world", lambda m: m.header.stamp == stamp, before)
    assert found.header.frame_id == rig.world and len(found.detections) == 1
    robot.set(**{"depth.frame": "nowhere", "depth.timeout": 0.05})
    robot.expect_refusal(
        "no_transform",
        'depth.frame "nowhere": frame "nowhere" is unknown',
        lambda: click_with(robot, detections, scene, lambda s: send(robot, s)),
    )


def test_nothing_is_subscribed_to_without_a_subscriber(start_robot: Callable[..., Robot], scene: Scene) -> None:
    robot = start_robot(PARAMETERS).connect()
    stamp = robot.show(scene.rgb)
    assert robot.click(*scene.shapes[1].centre, stamp).masks
    count = robot.peer.node.count_subscribers
    assert count("/depth") == count("/depth/compressedDepth") == 0
    inbox = robot.peer.node.create_subscription(Detection3DArray, "/promptseg/detections_3d", lambda _: None, 10)
    eventually("the subscription to depth", lambda: count("/depth") == 1)
    assert count("/depth/compressedDepth") == 0
    robot.peer.node.destroy_subscription(inbox)

    def ended() -> bool:
        # r2r removes a subscription with the next message.
        robot.peer.publish("depth", depth_camera.image(SLOPE, robot.stamp(), "32FC1"), DEPTH_QOS, wait=False)
        return count("/depth") == 0

    eventually("the end of the subscription to depth", ended)
    robot.set(**{"depth.subscribe": "always"})
    eventually("the subscription without a subscriber", lambda: count("/depth") == 1)


def test_depth_of_other_intrinsics_is_refused(start_robot: Callable[..., Robot], scene: Scene) -> None:
    remapped = {k.replace("/depth", "/aligned/image"): v for k, v in PARAMETERS.items()} | {"depth.timeout": 0.2}
    robot = start_robot(remapped, ros_args=("-r", "depth:=/aligned/image")).connect()
    inbox = subscribed(robot)

    def publish(focal: float) -> Callable[[Time], None]:
        def both(stamp: Time) -> None:
            info = LENS.info(stamp)
            info.k[0] = info.k[4] = focal
            robot.peer.publish("/aligned/camera_info", info, DEPTH_QOS)
            robot.peer.publish("/aligned/image", depth_camera.image(SLOPE, stamp, "32FC1"), DEPTH_QOS)

        return both

    measured(robot, inbox, scene.rgb, scene.shapes[1].centre, publish(LENS.fx))
    words = "the depth image has other intrinsics than the image"

    def click_until_nothing_is_measured() -> None:
        # A calibration is of another topic than its image: the node may read it after the image.
        eventually("an empty list", lambda: not clicked(robot, inbox, scene, publish(2 * LENS.fx)))

    warned = robot.expect_refusal("bad_depth", words, click_until_nothing_is_measured)
    assert "depth_image_proc::RegisterNode" in warned
    measured(robot, inbox, scene.rgb, scene.shapes[1].centre, publish(LENS.fx))


def test_two_cameras_have_their_own_depth(start_node: Any, peer: Any) -> None:
    start_node(peer.domain, "-p", "cameras:=[front, rear]").wait_ready()
    inbox = peer.subscribe(Detection3DArray, "/promptseg/rear/detections_3d", 10)
    count = peer.node.count_subscribers
    eventually("the subscription of the rear camera", lambda: count("/rear/depth") == 1)
    assert count("/front/depth") == 0 and not inbox.all()

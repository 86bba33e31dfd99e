"""Clicks in metres in any TF frame: the node must compute the same pixel as the reference in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from math import nan
from time import monotonic, sleep

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from promptseg_msgs.msg import MaskArray
from rcl_interfaces.msg import Log
from rosgraph_msgs.msg import Clock
from tf2_msgs.msg import TFMessage

from cameras import (
    OPTICAL,
    STATIC_QOS,
    TF_QOS,
    Lens,
    Rig,
    apply,
    clicked,
    later,
    matrix,
    quaternion_product,
    time,
    transform,
    yaw,
)
from harness import LATCHED, NodeProcess, Peer, eventually
from messages import FRAME_ID, ids, image, whole_mask
from pointing import DEBUG, answered, calibrate, click, click_of, click_until, drive
from robot import Robot
from scenes import Scene, iou

PIXEL_TOLERANCE = 1e-3
LOG_LEVEL = DEBUG
LENSES = {
    "no distortion": Lens(model="", d=()),
    "plumb_bob": Lens(),
    "rational_polynomial": Lens("rational_polynomial", (0.3, -0.1, 0.001, -0.002, 0.02, 0.5, -0.05, 0.03)),
    "equidistant": Lens("equidistant", (0.02, -0.01, 0.004, -0.001), fx=180.0, fy=181.0),
    "half the resolution": Lens(fx=520.0, fy=524.0, cx=326.0, cy=235.0, binning=2),
    "a region of interest": Lens(cx=203.0, cy=147.5, offset=(40, 30)),
    "one of a pair": Lens(tilt=0.05),
    "rectified": Lens(rectified=True, tilt=0.05),
    "rectified, the right one of a pair": Lens(rectified=True, tilt=-0.03, baseline=0.12),
}


@pytest.mark.parametrize("name", LENSES)
def test_a_click_in_the_optical_frame_needs_no_tf(robot: Robot, scene: Scene, name: str) -> None:
    lens = LENSES[name]
    robot.set(projection="rectified" if lens.rectified else "raw")
    calibrate(robot, lens)
    stamp = robot.show(scene.rgb)
    point = lens.ray(scene.shapes[0].centre, 2.3)
    projected, answer = click_until(robot, point, FRAME_ID, later(stamp, 20), lens, lens.project(point)[0])
    assert projected.image == stamp
    assert np.abs(projected.pixel - lens.project(point)[0]).max() < PIXEL_TOLERANCE
    assert iou(whole_mask(answer, answer.masks[0]), scene.truth[0]) >= 0.75


def test_a_click_in_the_map_of_a_camera_that_moves(robot: Robot, scene: Scene) -> None:
    lens, rig = Lens(), Rig(base="base_moving")
    robot.set(projection="raw")
    stamps = [robot.show(scene.rgb)]
    drive(robot, rig, stamps[0], steps=8)
    stamps += [robot.show(scene.rgb) for _ in range(5)]
    wait_for_tf(robot, rig, stamps[0], lens)
    for i, shape in enumerate(scene.shapes):
        # The click is on image i + 1, 30 ms later; newer images were taken from other poses.
        stamp = stamps[i + 1]
        in_map = apply(rig.camera_in_world(stamp), lens.ray(shape.centre, 1.5 + i))
        robot.trigger("new_object")
        projected, answer = click(robot, in_map, "map", later(stamp, 30))
        assert projected.image == stamp
        assert np.abs(projected.pixel - np.array(shape.centre)).max() < PIXEL_TOLERANCE
        newest = max(answer.masks, key=lambda m: m.object_id)
        assert iou(whole_mask(answer, newest), scene.truth[i]) >= 0.75
    elsewhere = lens.project(apply(np.linalg.inv(rig.camera_in_world(stamps[5])), in_map))[0]
    assert np.abs(elsewhere - projected.pixel).max() > 5, "the camera does not move"


def wait_for_calibration(robot: Robot, image: Time, lens: Lens) -> None:
    """Waits until the node has the calibration. The node replaces its subscription when a publisher appears, so a calibration
    that is published once may be lost."""
    wait_for_a_click(robot, lens.ray((160, 120), 2.0), FRAME_ID, image, lens)


def wait_for_tf(robot: Robot, rig: Rig, image: Time, lens: Lens) -> None:
    """Waits until the node has the calibration and the transforms of an image."""
    robot.set(prompt_timeout=20.0)
    wait_for_a_click(robot, apply(rig.camera_in_world(image), lens.ray((160, 120), 2.0)), rig.world, image, lens)


def wait_for_a_click(robot: Robot, point: np.ndarray, frame_id: str, image: Time, lens: Lens) -> None:
    """Clicks on the point behind the pixel (160, 120) until there is an answer, then removes the object."""
    click_until(robot, point, frame_id, later(image, 10), lens, np.array([160, 120]))
    robot.clear()


def test_transforms_that_come_late_are_waited_for_in_order(robot: Robot, scene: Scene) -> None:
    # A separate world frame: in "map" the click would have an answer as long as the transforms of another test are kept.
    lens, rig = Lens(), Rig(base="base_late", world="map_late")
    robot.set(projection="raw", prompt_timeout=20.0)
    stamp = robot.show(scene.rgb)
    wait_for_calibration(robot, stamp, lens)
    drive(robot, rig, later(stamp, -400), steps=5)
    message = rig.move(later(stamp, 40), *yaw(0.4, (0.4, 0.1, 0.0)))
    in_map = apply(rig.camera_in_world(stamp), lens.ray(scene.shapes[0].centre, 2.0))

    def send() -> None:
        robot.peer.publish("clicked_point", clicked(in_map, rig.world, later(stamp, 10)))
        robot.diagnostics.wait("the click to wait", lambda _: robot.diagnostic_values()["prompts waiting"] == "1")
        # Later prompts must not overtake the click.
        robot.trigger("new_object")
        robot.send_click(*scene.shapes[1].centre, stamp)
        robot.peer.publish("/tf", message, TF_QOS)

    before = robot.masks.mark()
    projected, _ = answered(robot, send)
    assert projected.image == stamp
    assert np.abs(projected.pixel - np.array(scene.shapes[0].centre)).max() < PIXEL_TOLERANCE
    answer = robot.masks.wait("both objects", lambda m: m.header.stamp == stamp and len(m.masks) == 2, before)
    assert ids(answer) == [1, 2]
    for mask, truth in zip(answer.masks, scene.truth, strict=False):
        assert iou(whole_mask(answer, mask), truth) >= 0.75


def test_a_click_without_a_stamp_is_for_the_newest_image_by_the_latest_transforms(robot: Robot, scene: Scene) -> None:
    lens, rig = Lens(), Rig(base="base_zero")
    robot.set(projection="raw")
    robot.show(scene.rgb)
    first = robot.stamp()
    drive(robot, rig, first, steps=4)
    for _ in range(9):
        robot.stamp()
    stamp = robot.show(scene.rgb)
    calibrate(robot, lens)
    # The transforms end before the image.
    in_map = apply(rig.camera_in_world(), lens.ray(scene.shapes[1].centre, 2.0))

    def hits() -> bool:
        projected, _ = click(robot, in_map, "map", Time())
        assert projected.image == stamp
        return bool(np.abs(projected.pixel - np.array(scene.shapes[1].centre)).max() < PIXEL_TOLERANCE)

    eventually("the pixel by the latest transforms", hits)


Send = Callable[[Robot, Lens, Time], None]


def at(point: tuple[float, float, float], frame_id: str = FRAME_ID) -> Send:
    return lambda robot, lens, stamp: robot.peer.publish("clicked_point", clicked(np.array(point), frame_id, stamp))


def on_an_island(robot: Robot, _: Lens, stamp: Time) -> None:
    robot.peer.publish("/tf", Rig(base="base_refused").move(stamp, *yaw(0.0, (0, 0, 0))), TF_QOS)
    robot.peer.publish("clicked_point", clicked(np.array([0, 0, 1.0]), "island_dock", stamp))


def with_info(change: Callable[[object], None], point: tuple[float, float, float] = (0.0, 0.0, 2.0)) -> Send:
    """Publishes another calibration, then clicks."""

    def send(robot: Robot, lens: Lens, stamp: Time) -> None:
        info = lens.info(stamp)
        change(info)
        robot.peer.publish("camera_info", info)
        robot.peer.publish("clicked_point", clicked(np.array(point), FRAME_ID, stamp))

    return send


def changed(point: tuple[float, float, float] = (0.0, 0.0, 2.0), **values: object) -> Send:
    def change(info: object) -> None:
        for name, value in values.items():
            setattr(info, name, value)

    return with_info(change, point)


def wrong_frame(info: object) -> None:
    info.header.frame_id = "another_camera"


# name: (reason in diagnostics, words of the warning, input)
REFUSED: dict[str, tuple[str, str, Send]] = {
    "behind the camera": ("behind_camera", "not in front of the camera", at((0.1, 0.1, -2.0))),
    "in the camera": ("behind_camera", "its z must be positive", at((0.0, 0.0, 0.0))),
    "outside the image": ("outside_image", "the camera does not see it", at((1.4, 0.0, 1.5))),
    "beyond the lens": (
        "outside_image",
        "off the optical axis, but the distortion model is valid up to",
        changed((50.0, 0.0, 1.0), d=[-0.22, 0.02, 0.0, 0.0, 0.0]),
    ),
    "not a number": ("bad_prompt", "is not finite", at((nan, 0.0, 1.0))),
    "no frame": ("bad_prompt", "header.frame_id is empty", at((0.0, 0.0, 1.0), "")),
    "an unknown frame": ("no_transform", 'frame "nowhere" is unknown; known: ', at((0.0, 0.0, 1.0), "nowhere")),
    "an unconnected frame": (
        "no_transform",
        'one hangs on "island", the other on "map"; publish a transform between',
        on_an_island,
    ),
    "a moment that is not known yet": ("no_transform", "is in the future", at((0.0, 0.0, 1.0), "map")),
    "an uncalibrated camera": ("bad_camera_info", "not calibrated", changed(k=[0.0] * 9)),
    "an unknown lens": (
        "bad_camera_info",
        'unknown distortion model "scheimpflug"; expected plumb_bob',
        changed(distortion_model="scheimpflug"),
    ),
    "too few coefficients": ("bad_camera_info", "with 3 coefficients; expected", changed(d=[0.1, 0.1, 0.1])),
    "a calibration of another size": ("bad_camera_info", "the image has 320x240", changed(width=640, height=480)),
    "a calibration of another camera": (
        "bad_camera_info",
        'camera_info is of frame "another_camera", the image of "camera_optical_frame"',
        with_info(wrong_frame),
    ),
    "a calibration that is not a number": ("bad_camera_info", "K of camera_info holds NaN", changed(k=[nan] * 9)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_a_pixel_is_refused_with_what_to_do(robot: Robot, scene: Scene, name: str) -> None:
    reason, words, send = REFUSED[name]
    lens = Lens()
    robot.set(prompt_timeout=0.2, projection="raw")
    stamp = robot.show(scene.rgb)
    old = later(stamp, -2000)
    rig = Rig(base="base_refused")
    robot.peer.publish("/tf_static", rig.static(), STATIC_QOS)
    robot.peer.publish("/tf", rig.move(old, *yaw(0.0, (0, 0, 0))), TF_QOS)
    island = transform("island", "island_dock", old, np.zeros(3), np.array([0, 0, 0, 1.0]))
    robot.peer.publish("/tf_static", TFMessage(transforms=[island]), STATIC_QOS)
    robot.peer.publish("camera_info", lens.info(stamp))
    robot.expect_refusal(reason, words, lambda: send(robot, lens, stamp))
    # The node continues.
    shape = scene.shapes[0].centre
    click_until(robot, lens.ray(shape, 2.0), FRAME_ID, stamp, lens, np.array(shape))


BAD_TRANSFORMS = {
    "nan": ("is not finite", "map", "base", (nan, 0, 0), (0, 0, 0, 1)),
    "not normalised": ("must normalise it", "map", "base", (0, 0, 0), (0, 0, 0, 1.3)),
    "no rotation": ("must normalise it", "map", "base", (0, 0, 0), (0, 0, 0, 0)),
    "in itself": ("in itself", "base", "base", (0, 0, 0), (0, 0, 0, 1)),
    "no parent": ("must name both", "", "base", (0, 0, 0), (0, 0, 0, 1)),
}


@pytest.mark.parametrize("name", BAD_TRANSFORMS)
def test_bad_transforms_are_refused_and_counted(robot: Robot, name: str) -> None:
    words, parent, child, translation, q = BAD_TRANSFORMS[name]
    bad = TFMessage(transforms=[transform(parent, child, robot.stamp(), np.array(translation), np.array(q))])
    robot.expect_refusal("bad_transform", words, lambda: robot.peer.publish("/tf", bad, TF_QOS))


def test_refused_transforms_and_clicks_do_not_wait_for_one_another(start_robot: Callable[..., Robot], scene: Scene) -> None:
    """A refused transform is counted while a waiting click looks transforms up: neither may wait for the lock of the other."""
    robot = start_robot({"prompt_timeout": 1.0, "projection": "raw"}, log_level=DEBUG).connect()
    lens = Lens()
    stamp = robot.show(scene.rgb)
    wait_for_calibration(robot, stamp, lens)
    in_itself = transform("base", "base", stamp, np.zeros(3), np.array([0, 0, 0, 1.0]))
    many = TFMessage(transforms=[in_itself] * 1000)
    end = monotonic() + 3.0
    while monotonic() < end:
        robot.peer.publish("/tf", many, TF_QOS)
        for _ in range(5):
            robot.peer.publish("clicked_point", clicked(np.array([0, 0, 1.0]), "nowhere", stamp))
            sleep(0.005)
    robot.clear()
    click_until(robot, lens.ray((160, 120), 2.0), FRAME_ID, robot.show(scene.rgb), lens, np.array([160, 120]))


def test_a_node_that_has_neither_calibration_nor_transforms_says_so(
    start_robot: Callable[..., Robot], scene: Scene
) -> None:
    robot = start_robot({"prompt_timeout": 0.2}).connect()
    stamp = robot.show(scene.rgb)

    def send(frame_id: str) -> Callable[[], None]:
        return lambda: robot.peer.publish("clicked_point", clicked(np.array([0, 0, 1.0]), frame_id, stamp))

    robot.expect_refusal("no_camera_info", "does the camera publish its calibration on '/camera_info'?", send(FRAME_ID))
    robot.expect_refusal("no_transform", "no transform was received yet, so frame", send("map"))


def test_the_name_of_the_topic_says_that_images_are_rectified(start_robot: Callable[..., Robot], scene: Scene) -> None:
    robot = start_robot(ros_args=("-r", "image:=/camera/image_rect"), log_level=DEBUG)
    robot.image_topic = "/camera/image_rect"
    robot.connect()
    lens = LENSES["rectified"]
    stamp = robot.show(scene.rgb)
    projected, _ = click_until(robot, lens.ray((100, 90), 2.0), FRAME_ID, stamp, lens, np.array([100, 90]))
    assert np.abs(projected.pixel - np.array([100, 90])).max() < PIXEL_TOLERANCE


def test_simulated_time_that_starts_over(start_robot: Callable[..., Robot], scene: Scene) -> None:
    robot = start_robot({"use_sim_time": True}, log_level=DEBUG)
    robot.connect()
    lens = Lens()

    def tick(stamp: Time) -> None:
        robot.peer.publish("/clock", Clock(clock=stamp))

    for turn in range(2):
        stamp = robot.stamp()
        rig = Rig()
        tick(stamp)
        if turn:
            wait = robot.rosout.wait
            wait("the node to see that the clock went back", lambda m: "the clock went back by" in m.msg)
        drive(robot, rig, stamp, steps=6)
        stamps = [robot.show(scene.rgb) for _ in range(3)]
        tick(stamps[-1])
        wait_for_tf(robot, rig, stamps[1], lens)
        in_map = apply(rig.camera_in_world(stamps[1]), lens.ray(scene.shapes[turn].centre, 2.0))
        projected, _ = click(robot, in_map, "map", later(stamps[1], 10))
        assert projected.image == stamps[1]
        assert np.abs(projected.pixel - np.array(scene.shapes[turn].centre)).max() < PIXEL_TOLERANCE
        robot.clear()
        robot.set_clock_back()


def test_cameras_of_one_node_share_transforms_and_have_their_own_calibration(
    start_node: Callable[..., NodeProcess], peer: Peer, scene: Scene
) -> None:
    start_node(peer.domain, "-p", "cameras:=[front, rear]", "-p", "projection:=raw", log_level=DEBUG).wait_ready()
    log = peer.subscribe(Log, "/rosout", LATCHED)
    lenses = {"front": Lens(), "rear": Lens(fx=210.0, fy=211.0, cx=150.0)}
    stamp = time(1_800_000_000 * 10**9)
    # The cameras are back to back: a point in view of one is behind the other.
    behind = np.array([0.0, 0.0, 1.0, 0.0])
    mounts = {"front": OPTICAL, "rear": quaternion_product(behind, OPTICAL)}
    static = [transform("map", f"{n}_optical", Time(), np.array([0.0, 0.0, 1.0]), q) for n, q in mounts.items()]
    shape = scene.shapes[0].centre
    in_map = {n: apply(matrix(np.array([0.0, 0.0, 1.0]), q), lenses[n].ray(shape, 2.0)) for n, q in mounts.items()}

    def log_lines(click_on: str, point: np.ndarray, words: str) -> list[str]:
        before = log.mark()
        for name, lens in lenses.items():
            picture = image(scene.rgb, stamp)
            picture.header.frame_id = f"{name}_optical"
            peer.publish(f"{name}/image", picture, 5)
            peer.publish(f"{name}/camera_info", lens.info(stamp, f"{name}_optical"))
        peer.publish("/tf_static", TFMessage(transforms=static), STATIC_QOS)
        peer.publish(f"{click_on}/clicked_point", clicked(point, "map", stamp))
        patience = monotonic() + 2.0
        while monotonic() < patience:
            if lines := [m.msg for m in log.all(before) if words in m.msg]:
                return lines
            sleep(0.01)
        return []

    for name, lens in lenses.items():
        masks = peer.subscribe(MaskArray, f"/promptseg/{name}/masks")

        def right(name: str = name, lens: Lens = lens) -> bool:
            lines = log_lines(name, in_map[name], "is pixel")
            return bool(lines) and np.abs(click_of(lines[0]).pixel - np.array(shape)).max() < PIXEL_TOLERANCE

        eventually(f"the pixel of {name}", right, timeout=60)
        answer = masks.wait(f"a mask of {name}", lambda m: bool(m.masks))
        assert answer.header.frame_id == f"{name}_optical"
    eventually("a refusal", lambda: log_lines("rear", in_map["front"], "is not in front of the camera"), timeout=60)

"""The image as a plane of points for rviz2: every point is on the ray of its pixel, and a click on it gives that pixel."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from rclpy.qos import QoSProfile
from sensor_msgs.msg import PointCloud2

from cameras import Lens, Rig, apply, clicked, later, nanoseconds
from harness import Inbox, eventually
from messages import FRAME_ID, whole_mask
from pointing import DEBUG, calibrate, click, drive
from robot import Robot
from scenes import HEIGHT, WIDTH, Scene, iou

# The cloud holds 32-bit floats.
PIXEL_TOLERANCE = 1e-3
LOG_LEVEL = DEBUG
LENSES = {
    "plumb_bob": Lens(),
    "rational_polynomial": Lens("rational_polynomial", (0.3, -0.1, 0.001, -0.002, 0.02, 0.5, -0.05, 0.03)),
    "equidistant": Lens("equidistant", (0.02, -0.01, 0.004, -0.001), fx=140.0, fy=141.0),
    "half the resolution": Lens(fx=520.0, fy=524.0, cx=326.0, cy=235.0, binning=2),
    "rectified, the right one of a pair": Lens(rectified=True, tilt=-0.03, baseline=0.12),
}


@pytest.fixture(scope="module")
def planes(shared_robot: Robot) -> Inbox:
    return shared_robot.peer.subscribe(PointCloud2, "/promptseg/image_plane", QoSProfile(depth=50))


def points_of(cloud: PointCloud2) -> tuple[np.ndarray, np.ndarray]:
    """Points [rows, columns, 3] and colours [rows, columns, 3] (red, green, blue)."""
    offsets = {f.name: f.offset for f in cloud.fields}
    assert offsets == {"x": 0, "y": 4, "z": 8, "rgb": 12}
    assert (cloud.point_step, cloud.row_step, cloud.is_bigendian) == (16, 16 * cloud.width, False)
    raw = np.frombuffer(cloud.data, np.uint8).reshape(cloud.height, cloud.width, 16)
    return np.ascontiguousarray(raw[..., :12]).view("<f4"), raw[..., [14, 13, 12]]


def pixels_of(cloud: PointCloud2) -> np.ndarray:
    """The pixel [rows, columns, 2] of each point."""
    x = (np.arange(cloud.width) + 0.5) * WIDTH / cloud.width - 0.5
    y = (np.arange(cloud.height) + 0.5) * HEIGHT / cloud.height - 0.5
    return np.stack(np.meshgrid(x, y), -1)


def plane_of(robot: Robot, planes: Inbox, rgb: np.ndarray, lens: Lens) -> PointCloud2:
    """The plane of an image with a calibration."""

    def shown() -> PointCloud2 | None:
        calibrate(robot, lens)
        before = planes.mark()
        stamp = robot.show(rgb)
        patience = time.monotonic() + 1.0
        while not (received := [m for m in planes.all(before) if m.header.stamp == stamp]):
            if time.monotonic() > patience:
                return None
            time.sleep(0.005)
        points = points_of(received[0])[0]
        visible = np.isfinite(points[..., 0])
        missed = lens.project(points[visible]) - pixels_of(received[0])[visible]
        return received[0] if np.abs(missed).max() < 0.5 else None

    return eventually("a plane by the new calibration", shown, timeout=60)


@pytest.mark.parametrize("name", LENSES)
def test_every_point_lies_on_the_ray_of_its_pixel_and_has_its_colour(
    robot: Robot, planes: Inbox, scene: Scene, name: str
) -> None:
    lens = LENSES[name]
    robot.set({"projection": "rectified" if lens.rectified else "raw", "image_plane.rate": 100.0, "image_plane.columns": 80})
    cloud = plane_of(robot, planes, scene.rgb, lens)
    assert (cloud.header.frame_id, cloud.width, cloud.height) == (FRAME_ID, 80, 60)
    points, colours = points_of(cloud)
    visible = np.isfinite(points[..., 0])
    assert visible.mean() > 0.95
    assert cloud.is_dense == visible.all()
    assert np.abs(points[visible][:, 2] - 1.0).max() < 1e-6
    missed = lens.project(points[visible]) - pixels_of(cloud)[visible]
    assert np.abs(missed).max() < PIXEL_TOLERANCE
    blocks = scene.rgb.reshape(60, 4, 80, 4, 3).mean((1, 3))
    assert np.abs(blocks - colours).max() <= 1.5


def test_size_and_distance_are_parameters(robot: Robot, planes: Inbox, scene: Scene) -> None:
    lens = Lens()
    robot.set({"projection": "raw", "image_plane.rate": 100.0, "image_plane.columns": 4000, "image_plane.distance": 2.5})
    cloud = plane_of(robot, planes, scene.rgb, lens)
    # There are no more points than pixels.
    assert (cloud.width, cloud.height) == (WIDTH, HEIGHT)
    points, colours = points_of(cloud)
    assert np.nanmax(np.abs(points[..., 2] - 2.5)) < 1e-6
    assert np.array_equal(colours, scene.rgb)


def test_the_rate_is_a_limit(robot: Robot, planes: Inbox, scene: Scene) -> None:
    lens = Lens()
    robot.set({"projection": "raw", "image_plane.rate": 100.0, "image_plane.columns": 80})
    plane_of(robot, planes, scene.rgb, lens)
    robot.set({"image_plane.rate": 0.1})
    before = planes.mark()
    for _ in range(10):
        robot.show(scene.rgb)
    robot.set({"image_plane.rate": 100.0})
    last = robot.show(scene.rgb)
    planes.wait("a plane", lambda m: m.header.stamp == last, before)
    # Ten images took less than ten seconds.
    assert len(planes.all(before)) <= 2


def test_masks_are_seen_on_the_plane(robot: Robot, planes: Inbox, scene: Scene) -> None:
    lens = Lens()
    robot.set({"projection": "raw", "image_plane.rate": 100.0, "image_plane.columns": WIDTH})
    stamp = plane_of(robot, planes, scene.rgb, lens).header.stamp
    before, overlays = planes.mark(), robot.overlay.mark()
    robot.click(*scene.shapes[0].centre, stamp)
    tinted = planes.wait("the plane with the mask", lambda m: m.header.stamp == stamp, before)
    drawn = robot.overlay.wait("the overlay", lambda m: m.header.stamp == stamp, overlays)
    overlay = np.frombuffer(drawn.data, np.uint8).reshape(HEIGHT, WIDTH, 3)
    assert np.array_equal(points_of(tinted)[1], overlay)
    assert not np.array_equal(overlay, scene.rgb)


def test_a_click_on_the_plane_lands_where_it_was_clicked_while_the_camera_moves(
    robot: Robot, planes: Inbox, scene: Scene
) -> None:
    """What an operator does in rviz2 with the fixed frame `map`: the plane hangs where the camera was, and the click is
    stamped when the image is long over."""
    lens, rig = Lens(), Rig(base="base_plane")
    columns = 64
    robot.set({"projection": "raw", "image_plane.rate": 100.0, "image_plane.columns": columns, "prompt_timeout": 20.0})
    plane_of(robot, planes, scene.rgb, lens)
    drive(robot, rig, Time(sec=robot.stamp().sec), steps=60)
    before = planes.mark()
    for _ in range(6):
        last = robot.show(scene.rgb)
    planes.wait("the last plane", lambda m: m.header.stamp == last, before)
    clouds = {nanoseconds(m.header.stamp): m for m in planes.all(before)}
    assert len(clouds) >= 4
    now = later(robot.stamp(), 30)
    newest = robot.show(scene.rgb)
    thinning = WIDTH / columns
    for i, (cloud, shape) in enumerate(zip(list(clouds.values())[:3], scene.shapes, strict=True)):
        stamp = cloud.header.stamp
        points, pixels = points_of(cloud)[0], pixels_of(cloud)
        column, row = (int(c / thinning) for c in shape.centre)
        point, pixel = points[row, column].astype(float), pixels[row, column]
        in_map = apply(rig.camera_in_world(stamp), point)
        robot.trigger("new_object")
        projected, answer = click(robot, in_map, "map", now)
        assert projected.image == stamp != newest
        assert np.abs(projected.pixel - pixel).max() < 0.01, (projected.pixel, pixel)
        assert np.abs(projected.pixel - np.array(shape.centre)).max() <= thinning
        newest_object = max(answer.masks, key=lambda m: m.object_id)
        assert iou(whole_mask(answer, newest_object), scene.truth[i]) >= 0.75


def test_a_click_off_the_plane_is_for_the_newest_image(robot: Robot, planes: Inbox, scene: Scene) -> None:
    lens = Lens()
    robot.set({"projection": "raw", "image_plane.rate": 100.0, "image_plane.columns": 64})
    shown = plane_of(robot, planes, scene.rgb, lens).header.stamp
    robot.set({"image_plane.rate": 0.1})
    newest = robot.show(scene.rgb)
    for depth, image in [(1.0, shown), (1.3, newest)]:
        point = lens.ray(scene.shapes[0].centre, depth)
        assert click(robot, point, FRAME_ID, later(newest, 20))[0].image == image


def test_a_click_on_the_plane_of_an_image_that_is_gone_is_refused(robot: Robot, planes: Inbox, scene: Scene) -> None:
    lens, rig = Lens(), Rig(base="base_gone")
    robot.set({"projection": "raw", "image_plane.rate": 100.0, "image_plane.columns": 320, "prompt_timeout": 20.0, "keep.frames": 2})
    cloud = plane_of(robot, planes, scene.rgb, lens)
    stamp = cloud.header.stamp
    drive(robot, rig, stamp, steps=20)
    in_map = apply(rig.camera_in_world(stamp), points_of(cloud)[0][100, 80].astype(float))
    assert click(robot, in_map, "map", later(stamp, 20))[0].image == stamp
    # From here on the image is no longer kept, and the camera has moved.
    for _ in range(8):
        newest = robot.show(scene.rgb)
    now = later(newest, 20)
    robot.expect_refusal(
        "frame_gone", "that image is gone", lambda: robot.peer.publish("clicked_point", clicked(in_map, "map", now))
    )


def test_without_a_calibration_it_says_so_once(start_robot: Callable[..., Robot], scene: Scene) -> None:
    robot = start_robot(log_level=DEBUG).connect()
    planes = robot.peer.subscribe(PointCloud2, "/promptseg/image_plane", 10)

    def warnings() -> list[str]:
        robot.show(scene.rgb)
        return [m.msg for m in robot.rosout.all() if "image_plane cannot be shown: no camera_info has arrived" in m.msg]

    eventually("the warning", warnings)
    for _ in range(5):
        robot.show(scene.rgb)
    assert len(warnings()) == 1
    lens = Lens()
    assert plane_of(robot, planes, scene.rgb, lens)

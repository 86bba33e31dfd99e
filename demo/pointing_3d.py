#!/usr/bin/env python3
"""Writes the pictures of 3-D clicks in docs/prompting.md, with the real node, clicks in a map and a moving camera.

Run this in the environment of the tests: ./dev shell -- python demo/pointing_3d.py
The views of rviz2 are drawn here from the messages that rviz2 would receive.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

HERE = Path(__file__).resolve().parent
# For `Robot` of the tests: a running node with its camera and its subscribers.
sys.path.append(str(HERE.parent / "tests" / "e2e"))

import messages  # noqa: E402
from builtin_interfaces.msg import Time  # noqa: E402
from cameras import OPTICAL, STATIC_QOS, TF_QOS, apply, clicked, later, matrix, transform, yaw  # noqa: E402
from harness import Inbox, eventually  # noqa: E402
from rclpy.qos import QoSProfile  # noqa: E402
from robot import Robot  # noqa: E402
from sensor_msgs.msg import CameraInfo, PointCloud2  # noqa: E402
from tf2_msgs.msg import TFMessage  # noqa: E402

from scene import HEIGHT, WIDTH, Scene  # noqa: E402

OUT = HERE.parent / "docs" / "images"
PAPER, INK, ACCENT = (40, 42, 46), (236, 236, 232), (255, 64, 160)
AXES = ((230, 60, 60), (70, 200, 80), (80, 120, 255))
TILE, CAPTION, GAP = (448, 336), 22, 6
FOCAL = 554.0
BALL = (186, 346)


class Viewer:
    """A pinhole view of the map, like an orbit view of rviz2."""

    def __init__(self, eye: tuple[float, float, float], at: tuple[float, float, float], focal: float = 1.35) -> None:
        self.eye, self.focal = np.array(eye), focal * TILE[0]
        forward = np.array(at) - self.eye
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, [0, 0, 1.0])
        right /= np.linalg.norm(right)
        self.axes = np.stack([right, np.cross(forward, right), forward])
        self.tile = Image.new("RGB", TILE, PAPER)
        self.draw, self.font = ImageDraw.Draw(self.tile), ImageFont.load_default(12)

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels and depths of points in the map."""
        local = (points - self.eye) @ self.axes.T
        depth = np.maximum(local[..., 2], 1e-3)
        return local[..., :2] / depth[..., None] * self.focal + np.array(TILE) / 2, depth

    def line(self, a: np.ndarray, b: np.ndarray, colour: tuple[int, int, int], width: int = 1) -> None:
        (start, end), _ = self.project(np.stack([a, b]))
        self.draw.line([tuple(start), tuple(end)], colour, width)

    def grid(self) -> None:
        for i in np.arange(-1, 3.01, 0.5):
            self.line(np.array([i, -1.5, 0]), np.array([i, 1.5, 0]), (78, 80, 84))
        for i in np.arange(-1.5, 1.51, 0.5):
            self.line(np.array([-1, i, 0]), np.array([3, i, 0]), (78, 80, 84))

    def frame(self, pose: np.ndarray, name: str, label: tuple[int, int] = (-8, 10), size: float = 0.16) -> None:
        origin = pose[:3, 3]
        for axis, colour in enumerate(AXES):
            self.line(origin, origin + pose[:3, axis] * size, colour, 3)
        (x, y), _ = self.project(origin)
        self.draw.text((x + label[0], y + label[1]), name, INK, self.font)

    def cloud(self, points: np.ndarray, colours: np.ndarray, size: float) -> None:
        pixels, depth = self.project(points.reshape(-1, 3))
        half = np.maximum(size * self.focal / depth / 2, 0.5)
        for i in np.argsort(-depth):
            (x, y), h = pixels[i], half[i]
            self.draw.rectangle((x - h, y - h, x + h, y + h), tuple(int(v) for v in colours.reshape(-1, 3)[i]))

    def click(self, point: np.ndarray) -> None:
        (x, y), _ = self.project(point)
        self.draw.ellipse((x - 7, y - 7, x + 7, y + 7), outline=ACCENT, width=2)
        for dx, dy in ((12, 0), (-12, 0), (0, 12), (0, -12)):
            self.draw.line((x + dx / 3, y + dy / 3, x + dx, y + dy), ACCENT, 2)


def strip(name: str, panels: list[tuple[Image.Image, str]]) -> None:
    """Writes panels in a row, each with a caption, as a small PNG."""
    sheet = Image.new("RGB", (GAP + len(panels) * (TILE[0] + GAP), TILE[1] + CAPTION + 2 * GAP), (24, 26, 30))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for i, (tile, caption) in enumerate(panels):
        x = GAP + i * (TILE[0] + GAP)
        sheet.paste(tile.resize(TILE, Image.Resampling.LANCZOS), (x, GAP))
        draw.text((x + 3, TILE[1] + GAP + 3), caption, INK, font)
    OUT.mkdir(exist_ok=True)
    path = OUT / f"{name}.png"
    sheet.quantize(96, Image.Quantize.MEDIANCUT, kmeans=2, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size // 1000} kB")


def points_of(cloud: PointCloud2) -> tuple[np.ndarray, np.ndarray]:
    """Positions and colours of a point cloud."""
    raw = np.frombuffer(cloud.data, np.uint8).reshape(cloud.height, cloud.width, cloud.point_step)
    return np.ascontiguousarray(raw[..., :12]).view("<f4").astype(float), raw[..., [14, 13, 12]]


def info(stamp: Time) -> CameraInfo:
    k = [FOCAL, 0.0, WIDTH / 2 - 0.5, 0.0, FOCAL, HEIGHT / 2 - 0.5, 0.0, 0.0, 1.0]
    message = CameraInfo(header=messages.header(stamp), width=WIDTH, height=HEIGHT, distortion_model="plumb_bob", k=k)
    message.d = [0.0] * 5
    return message


def base_at(since: float) -> tuple[np.ndarray, np.ndarray]:
    """Pose of the robot `since` seconds after the first image: it drives to the left and turns to the right."""
    return yaw(-0.5 * since, (0.1 * since, 0.5 * since, 1.0))


def camera_at(since: float) -> np.ndarray:
    return matrix(*base_at(since)) @ matrix(np.zeros(3), OPTICAL)


def main() -> None:
    robot = Robot({"image_plane.columns": 160, "image_plane.rate": 100.0, "prompt_timeout": 10.0})
    try:
        robot.connect()
        scene = Scene()
        planes: Inbox = robot.peer.subscribe(PointCloud2, "/promptseg/image_plane", QoSProfile(depth=50))
        picture = np.asarray(scene.picture(0.0))

        def shown() -> PointCloud2 | None:
            robot.peer.publish("camera_info", info(robot.stamp()))
            stamp = robot.show(picture)
            matching = [m for m in planes.all() if m.header.stamp == stamp]
            return matching[0] if matching else None

        plane = eventually("an image plane", shown, timeout=30)
        start = plane.header.stamp
        optical = transform("base", messages.FRAME_ID, Time(), np.zeros(3), OPTICAL)
        robot.peer.publish("/tf_static", TFMessage(transforms=[optical]), STATIC_QOS)
        for i in range(-2, 30):
            stamp = later(start, i * 50)
            robot.peer.publish("/tf", TFMessage(transforms=[transform("map", "base", stamp, *base_at(i * 0.05))]), TF_QOS)
        # The camera drives on; the click is on the image plane of the first image.
        for _ in range(12):
            robot.show(picture)
        points, colours = points_of(plane)
        row, column = BALL[1] * plane.height // HEIGHT, BALL[0] * plane.width // WIDTH
        in_map = apply(camera_at(0.0), points[row, column])
        overlays = robot.overlay.mark()

        def answer() -> bool:
            robot.peer.publish("clicked_point", clicked(in_map, "map", later(start, 650)))
            return bool([m for m in robot.masks.all() if m.header.stamp == start and m.masks])

        eventually("the mask on the clicked image", lambda: answer() or None, timeout=30)
        drawn = robot.overlay.wait("the overlay", lambda m: m.header.stamp == start, overlays)
        robot.clear()
        shown_later = camera_at(0.65)
        size = 1.05 * WIDTH / FOCAL / plane.width
        placed = points.reshape(-1, 3) @ camera_at(0.0)[:3, :3].T + camera_at(0.0)[:3, 3]

        view = Viewer((-1.5, -1.3, 2.3), (0.6, 0.1, 0.95))
        view.grid()
        view.cloud(placed, colours, size)
        view.frame(camera_at(0.0), "camera, at the image")
        view.click(in_map)
        through = Image.fromarray(np.frombuffer(drawn.data, np.uint8).reshape(HEIGHT, WIDTH, 3))
        clicked_on = (view.tile, "a click with Publish Point on the image plane in rviz2")
        strip("image_plane", [clicked_on, (through, "~/overlay: the mask of the click")])

        above = Viewer((0.2, 0.1, 4.3), (0.75, 0.1, 0.0), focal=1.25)
        above.grid()
        above.cloud(placed, colours, size)
        above.frame(camera_at(0.0), "camera at the image", (8, 12))
        above.frame(shown_later, "at the click, 0.65 s later", (-150, 4))
        above.line(camera_at(0.0)[:3, 3], in_map, ACCENT, 2)
        above.click(in_map)
        driven = (above.tile, "map from above: the camera drove on before the click")
        strip("clicked_point", [driven, (through, "the click is applied to the image of its stamp")])
    finally:
        robot.close()


if __name__ == "__main__":
    main()

"""A picture of the objects in metres, from the side."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from sensor_msgs.msg import PointCloud2
from vision_msgs.msg import Detection3DArray

PAPER, GRID, INK, FAINT = (24, 26, 30), (52, 56, 62), (236, 236, 232), (150, 154, 160)
SIZE = (960, 600)
PIXELS_PER_METRE = 640
AZIMUTH, ELEVATION = math.radians(62), math.radians(14)
# Middle of the view in the frame of the table (x ahead, y to the left, z up), in metres.
MIDDLE = np.array([1.0, 0.0, 0.08])
POINT = np.dtype([("xyz", "<f4", 3), ("bgr", "u1", 4), ("label", "<u2"), ("unused", "u1", 2)])


def points_of(cloud: PointCloud2) -> np.ndarray:
    """The points of the node's cloud: xyz, bgr and label of each."""
    return np.frombuffer(bytes(cloud.data), POINT)


def from_the_side(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (x, y) and distances from the viewer, of points in the frame of the table."""
    x, y, z = (points - MIDDLE).T
    across = x * math.sin(AZIMUTH) - y * math.cos(AZIMUTH)
    away = x * math.cos(AZIMUTH) + y * math.sin(AZIMUTH)
    height = z * math.cos(ELEVATION) + away * math.sin(ELEVATION)
    pixels = np.stack([SIZE[0] / 2 + across * PIXELS_PER_METRE, SIZE[1] / 2 - height * PIXELS_PER_METRE], 1)
    return pixels, away * math.cos(ELEVATION) - z * math.sin(ELEVATION)


def corners(detection) -> np.ndarray:
    """The eight corners of a box."""
    q, centre, size = detection.bbox.center.orientation, detection.bbox.center.position, detection.bbox.size
    x, y, z, w = q.x, q.y, q.z, q.w
    turn = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    signs = np.array([[i & 1, i >> 1 & 1, i >> 2 & 1] for i in range(8)]) - 0.5
    return signs * [size.x, size.y, size.z] @ turn.T + [centre.x, centre.y, centre.z]


def lines(draw: ImageDraw.ImageDraw, ends: Iterable[np.ndarray], colour: tuple[int, int, int]) -> None:
    for pair in ends:
        pixels, _ = from_the_side(np.asarray(pair))
        draw.line([tuple(p) for p in pixels], colour)


def save_cloud(cloud: PointCloud2, detections: Detection3DArray | None, path: Path) -> None:
    """Draws the cloud and the boxes, in the frame of the table, as seen from the right of the camera."""
    picture = Image.new("RGB", SIZE, PAPER)
    draw = ImageDraw.Draw(picture)
    steps = np.arange(-6, 7) / 10
    lines(draw, [[(0.4, y, 0), (1.6, y, 0)] for y in steps], GRID)
    lines(draw, [[(x + 1.0, -0.6, 0), (x + 1.0, 0.6, 0)] for x in steps], GRID)
    points = points_of(cloud)
    pixels, distance = from_the_side(points["xyz"])
    canvas = np.array(picture)
    order = np.argsort(-distance)
    x, y = np.round(pixels[order]).astype(int).T
    colour = points["bgr"][order, 2::-1]
    for dy in (0, 1):
        for dx in (0, 1):
            seen = (x + dx >= 0) & (x + dx < SIZE[0]) & (y + dy >= 0) & (y + dy < SIZE[1])
            canvas[y[seen] + dy, x[seen] + dx] = colour[seen]
    picture = Image.fromarray(canvas)
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(14)
    for detection in detections.detections if detections else []:
        box = corners(detection)
        edges = [(a, a | 1 << axis) for a in range(8) for axis in range(3) if not a >> axis & 1]
        lines(draw, [box[list(edge)] for edge in edges], FAINT)
        size = detection.bbox.size
        position = detection.results[0].pose.pose.position if detection.results else detection.bbox.center.position
        text = f"{size.x * 100:.0f} x {size.y * 100:.0f} x {size.z * 100:.0f} cm, {position.x:.2f} m ahead"
        top = from_the_side(box[np.argmax(box[:, 2])][None])[0][0]
        draw.text((top[0] - 40, top[1] - 20), text, INK, font)
    draw.text((12, 10), "objects in metres, from the side; the camera is on the left", FAINT, font)
    picture.save(path, optimize=True)

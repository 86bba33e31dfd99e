"""Objects in metres by `promptseg segment`, from the same picture and depth as the node gets."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Picture

from cameras import Lens
from depth_camera import LENS, millimetres
from harness import find_node


def metres(folder: Path, rgb: np.ndarray, depth: np.ndarray, at: tuple[float, float], lens: Lens = LENS) -> dict[str, Any]:
    """The object of a click in metres, in the optical frame."""
    line = json.loads(_segment(folder, rgb, depth, at, lens, "json3d"))
    return dict(line["masks"][0]["metres"])


def certain_part(folder: Path, rgb: np.ndarray, at: tuple[float, float], lens: Lens = LENS) -> np.ndarray:
    """The certain part of the mask of a click: the pixels that are measured on a wall, which has no edges and no holes."""
    height, width, _ = rgb.shape
    _segment(folder, rgb, np.ones((height, width)), at, lens, "ply")
    content = (folder / "picture_cloud.ply").read_bytes()
    points = content[content.index(b"end_header\n") + len(b"end_header\n") :]
    x, y, z = np.frombuffer(points, [("position", "<f4", 3), ("rgb", "u1", 3), ("label", "<u2")])["position"].T
    certain = np.zeros((height, width), bool)
    certain[np.round(y / z * lens.fy + lens.cy).astype(int), np.round(x / z * lens.fx + lens.cx).astype(int)] = True
    return certain


def _segment(
    folder: Path, rgb: np.ndarray, depth: np.ndarray, at: tuple[float, float], lens: Lens, output_format: str
) -> str:
    """Runs `promptseg segment` on a picture and its depth; returns the standard output."""
    height, width, _ = rgb.shape
    Picture.fromarray(rgb).save(folder / "picture.png")
    Picture.fromarray(millimetres(depth)).save(folder / "depth.png")
    matrix = [lens.fx, 0, lens.cx, 0, lens.fy, lens.cy, 0, 0, 1]
    calibration = {
        "image_width": width,
        "image_height": height,
        "distortion_model": "plumb_bob",
        "camera_matrix": {"rows": 3, "cols": 3, "data": matrix},
        "distortion_coefficients": {"rows": 1, "cols": 5, "data": [0.0] * 5},
        "rectification_matrix": {"rows": 3, "cols": 3, "data": [1, 0, 0, 0, 1, 0, 0, 0, 1]},
        "projection_matrix": {"rows": 3, "cols": 4, "data": [*matrix[:3], 0, *matrix[3:6], 0, *matrix[6:], 0]},
    }
    # JSON is YAML.
    (folder / "camera.yaml").write_text(json.dumps(calibration))
    command: list[Any] = [find_node().with_name("promptseg"), "segment", "picture.png", "--point", f"{at[0]},{at[1]}"]
    command += ["--depth", "depth.png", "--camera-info", "camera.yaml", "--format", output_format, "--overwrite"]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout

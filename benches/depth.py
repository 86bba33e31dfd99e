#!/usr/bin/env python3
"""Compares the time of measuring 20 objects in metres with NumPy and with Open3D, on one thread each.

    cargo bench --no-default-features --bench depth --no-run      # prints the name of the program
    python benches/depth.py target/release/deps/depth-...

Needs NumPy and SciPy; Open3D is left out if it is not installed. The program and its peers take turns on the same depth and the
same masks, so that all run under the same load; a ratio compares the medians of all turns.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull

WIDTH, HEIGHT, FOCAL, CENTRE = 1280, 720, 920.0, (640.0, 360.0)
TURNS = 10
# From the optical frame to the frame with z up of benches/depth.rs.
UP = np.array([[1, 0, 0], [0, np.cos(-2), -np.sin(-2)], [0, np.sin(-2), np.cos(-2)]])


def points_of(depth, mask, box):
    v, u = np.nonzero(mask)
    z = depth[box][mask]
    return np.stack([(u + box[1].start - CENTRE[0]) / FOCAL * z, (v + box[0].start - CENTRE[1]) / FOCAL * z, z], -1)


def with_numpy(depth, labels, boxes):
    """Erosion, edges of depth, largest part, points, median, mean, percentiles, and the smallest rectangle of the hull."""
    found = []
    for number, box in enumerate(boxes, 1):
        z, core = depth[box], ndimage.binary_erosion(labels[box] == number, np.ones((3, 3)))
        edge = np.zeros(z.shape, bool)
        for axis in (0, 1):
            jump = np.abs(np.diff(z, axis=axis)) > 0.02 * (z[1:] if axis == 0 else z[:, 1:])
            near, far = (edge[:-1], edge[1:]) if axis == 0 else (edge[:, :-1], edge[:, 1:])
            near |= jump
            far |= jump
        parts, _ = ndimage.label(core & ~edge & np.isfinite(z))
        part = parts == np.bincount(parts[parts > 0]).argmax()
        points = points_of(depth, part, box)
        up = points @ UP.T
        hull = up[ConvexHull(up[:, :2]).vertices, :2]
        edges = np.roll(hull, -1, 0) - hull
        angles = np.unique(np.arctan2(edges[:, 1], edges[:, 0]) % (np.pi / 2))
        turns = np.stack([np.cos(angles), np.sin(angles), -np.sin(angles), np.cos(angles)], -1).reshape(-1, 2, 2)
        yaw = angles[np.ptp(turns @ hull.T, axis=-1).sum(-1).argmin()]
        turned = np.stack([up[:, 0] * np.cos(yaw) + up[:, 1] * np.sin(yaw), up[:, 1] * np.cos(yaw) - up[:, 0] * np.sin(yaw), up[:, 2]])
        found.append((points.mean(0), np.median(points[:, 2]), np.percentile(turned, (2, 98), axis=1)))
    return found


def with_open3d(depth, labels, boxes):
    """The points of each mask, without statistical outliers, and their smallest box."""
    import open3d

    found = []
    for number, box in enumerate(boxes, 1):
        cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points_of(depth, labels[box] == number, box).astype(float)))
        cloud, _ = cloud.remove_statistical_outlier(20, 2.0)
        found.append((cloud.get_center(), cloud.get_oriented_bounding_box()))
    return found


def main():
    process = subprocess.Popen([sys.argv[1], "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def request(line):
        print(line, file=process.stdin, flush=True)
        return process.stdout.readline()

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "scene"
        request(f"save {file}")
        content = file.read_bytes()
    pixels = WIDTH * HEIGHT
    depth = np.frombuffer(content[: 4 * pixels], "<f4").reshape(HEIGHT, WIDTH)
    labels = np.frombuffer(content[4 * pixels :], np.uint8).reshape(HEIGHT, WIDTH)
    boxes = ndimage.find_objects(labels)
    peers = {"NumPy and SciPy": with_numpy}
    try:
        import open3d  # noqa: F401

        peers["Open3D"] = with_open3d
    except ImportError as missing:
        print(f"without Open3D: {missing}")
    times = {"promptseg": [], **{name: [] for name in peers}}
    for turn in range(TURNS):
        times["promptseg"] += [float(t) for t in request("8").split()]
        for name, peer in peers.items():
            if name == "Open3D" and turn >= 3:  # takes seconds
                continue
            start = perf_counter()
            peer(depth, labels, boxes)
            times[name].append((perf_counter() - start) * 1e3)
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, median in medians.items():
        print(f"{name:16} {median:8.2f} ms (least {min(times[name]):.2f})  {median / medians['promptseg']:6.1f} x")


if __name__ == "__main__":
    main()

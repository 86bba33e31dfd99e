"""Writes tests/golden/camera: projections by OpenCV, and transforms by NumPy.

    python export/golden_camera.py tests/golden/camera

Needs OpenCV and NumPy. Cameras, points, trees and times are random with a fixed seed. Transforms are computed with 4x4
matrices, and rotations are interpolated by matrix logarithm and exponential (Rodrigues), independently of the quaternions
in the tested code.
"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np

POINTS = 30
COUNTS = {"plumb_bob": [0, 4, 5], "rational_polynomial": [8, 12, 14], "equidistant": [4]}
# Standard deviations of k1 k2 p1 p2 k3 k4 k5 k6 s1..s4 tau_x tau_y.
SPREAD = np.array([0.2, 0.1, 2e-3, 2e-3, 0.05, 0.2, 0.1, 0.02, 3e-3, 3e-3, 3e-3, 3e-3, 0.03, 0.03])
FISHEYE_SPREAD = np.array([0.1, 0.05, 0.02, 0.01])
# Relative distance to the end of the valid range below which points are left out, because either result would be right.
MARGIN = 0.01


def rounded(values, digits=10):
    return [round(float(v), digits) for v in np.asarray(values, float).reshape(-1)]


# Cameras


def project_raw(model, points, k, d):
    zero = np.zeros(3)
    points = np.asarray(points, float).reshape(-1, 1, 3)
    if model == "equidistant":
        return cv2.fisheye.projectPoints(points, zero, zero, k, d)[0].reshape(-1, 2)
    return cv2.projectPoints(points, zero, zero, k, d if len(d) else None)[0].reshape(-1, 2)


def folds(model, d, points):
    """Whether the radial distortion is not monotonic between the image centre and each point: 1 yes, 0 no, -1 too close.

    Computed from densely sampled projections by OpenCV along the ray.
    """
    radial = d.copy()
    if model != "equidistant":
        radial[2:4] = 0
        radial[8:] = 0
    folded = []
    for x, y, z in points:
        radius = np.hypot(x, y) / z
        radii = np.linspace(0, radius * (1 + MARGIN), 4000)
        line = np.stack([radii, np.zeros_like(radii), np.ones_like(radii)], 1)
        image = project_raw(model, line, np.eye(3), radial)[:, 0]
        falls = np.diff(image) <= 0
        if not falls.any():
            folded.append(0)
        else:
            folded.append(1 if radii[np.argmax(falls)] < radius * (1 - MARGIN) else -1)
    return np.array(folded)


def camera(rng, model, count):
    width, height = int(rng.integers(320, 2000)), int(rng.integers(240, 1500))
    wide = model == "equidistant"
    focal = width * (rng.uniform(0.25, 0.5) if wide else rng.uniform(0.5, 1.5))
    centre_x, focal_y, centre_y = width * rng.uniform(0.4, 0.6), focal * rng.uniform(0.95, 1.05), height * rng.uniform(0.4, 0.6)
    k = np.array([[focal, 0, centre_x], [0, focal_y, centre_y], [0, 0, 1]])
    d = rng.normal(size=count) * (FISHEYE_SPREAD if wide else SPREAD)[:count]
    rotation = cv2.Rodrigues(rng.normal(size=3) * 0.05)[0]
    new_k = k.copy()
    new_k[0, 0] = new_k[1, 1] = focal * rng.uniform(0.8, 1.1)
    baseline = rng.choice([0.0, -0.12]) * new_k[0, 0]
    p = np.hstack([new_k, [[baseline], [0], [0]]])
    binning = int(rng.choice([0, 1, 2, 4]))
    cut = rng.random() < 0.5
    roi = [int(width * 0.1), int(height * 0.15), int(width * 0.7), int(height * 0.6)] if cut else [0, 0, 0, 0]
    k, d, r, p = (np.array(rounded(v)).reshape(v.shape) for v in (k, d, rotation, p))

    spread = 1.6 if wide else 0.8
    z = rng.uniform(0.2, 30, POINTS)
    points = np.stack([rng.normal(size=POINTS) * spread * z, rng.normal(size=POINTS) * spread * z * 0.7, z], 1)
    points = np.array(rounded(points)).reshape(-1, 3)
    # As in image_geometry: the optical frame is the frame of the rectified image; r rotates from the sensor to it.
    folded = folds(model, d, points @ r) if count else np.zeros(POINTS, int)
    points, folded = points[folded >= 0], folded[folded >= 0]

    raw = project_raw(model, points @ r, k, d)
    shift = np.linalg.solve(p[:, :3], p[:, 3])
    rectified = cv2.projectPoints(points.reshape(-1, 1, 3), np.zeros(3), shift, p[:, :3], None)[0].reshape(-1, 2)
    scale = max(binning, 1)
    published = lambda full: (full - np.array(roi[:2])) / scale
    return {
        "model": model, "width": width, "height": height, "k": rounded(k), "d": rounded(d), "r": rounded(r), "p": rounded(p),
        "binning": binning, "roi": roi, "points": rounded(points), "folded": folded.tolist(),
        "raw": rounded(published(raw), 6), "rectified": rounded(published(rectified), 6),
    }  # fmt: skip


# Transforms


def matrix(translation, rotation):
    out = np.eye(4)
    out[:3, :3], out[:3, 3] = rotation, translation
    return out


def quaternion(vector):
    """Quaternion (x, y, z, w) of a rotation vector."""
    angle = np.linalg.norm(vector)
    return np.append(np.sin(angle / 2) * vector / angle, np.cos(angle / 2))


def rotation_of(q):
    axis, w = q[:3], q[3]
    sine = np.linalg.norm(axis)
    return cv2.Rodrigues(axis / sine * 2 * np.arctan2(sine, w))[0] if sine > 0 else np.eye(3)


def edge_at(edge, time):
    """4x4 pose of the child in its parent, or "future" or "past" if `time` is outside the samples."""
    poses = [matrix(s["translation"], rotation_of(np.array(s["rotation"]))) for s in edge["samples"]]
    if edge["static"]:
        return poses[-1]
    stamps = [s["stamp"] for s in edge["samples"]]
    if time > stamps[-1]:
        return "future"
    if time < stamps[0]:
        return "past"
    right = next(i for i, s in enumerate(stamps) if s >= time)
    if stamps[right] == time:
        return poses[right]
    a, b = poses[right - 1], poses[right]
    t = (time - stamps[right - 1]) / (stamps[right] - stamps[right - 1])
    turn = cv2.Rodrigues(a[:3, :3].T @ b[:3, :3])[0]
    return matrix(a[:3, 3] * (1 - t) + b[:3, 3] * t, a[:3, :3] @ cv2.Rodrigues(turn * t)[0])


def tree(rng, frames):
    start = 1_700_000_000_000_000_000
    edges = []
    for child in range(1, frames):
        static = bool(rng.random() < 0.3)
        count = 1 if static else int(rng.integers(2, 9))
        stamps = np.sort(rng.choice(np.arange(0, 2000, 7), count, replace=False)) * 1_000_003
        vector, samples = rng.normal(size=3), []
        for stamp in stamps:
            vector = vector + rng.normal(size=3) * 0.5
            q = quaternion(vector) * rng.choice([-1, 1])
            samples.append({"stamp": start + int(stamp), "translation": rounded(rng.normal(size=3)), "rotation": rounded(q, 15)})
        edges.append({"child": child, "parent": int(rng.integers(0, child)), "static": static, "samples": samples})

    parent = {e["child"]: e for e in edges}

    def above(frame):
        chain = [frame]
        while chain[-1] in parent:
            chain.append(parent[chain[-1]]["parent"])
        return chain

    lookups = []
    for i in range(50):
        target, source = (int(v) for v in rng.choice(frames, 2, replace=False))
        ancestor = next(f for f in above(source) if f in above(target))
        legs = [[parent[f] for f in above(end)[: above(end).index(ancestor)]] for end in (target, source)]
        stamps = [e["samples"][-1]["stamp"] for leg in legs for e in leg if not e["static"]]
        latest = min(stamps) if stamps else None
        time = None if i % 4 == 0 else start + int(rng.integers(0, 2_000_000_000))
        if i % 4 == 1 and stamps:
            time = latest - int(rng.integers(0, 400_000_000))
        at = time if time is not None else latest
        ways = [[edge_at(e, at if at is not None else start) for e in leg] for leg in legs]
        lookup = {"target": target, "source": source, "time": time, "latest": latest}
        outside = sorted({w for way in ways for w in way if isinstance(w, str)})
        if outside:
            lookup["outside"] = outside
        else:
            to_ancestor = [np.linalg.multi_dot([np.eye(4), np.eye(4), *way[::-1]]) for way in ways]
            lookup["matrix"] = rounded((np.linalg.inv(to_ancestor[0]) @ to_ancestor[1])[:3])
        lookups.append(lookup)
    return {"frames": frames, "edges": edges, "lookups": lookups}


def main():
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(4)
    cameras = [camera(rng, model, count) for model, counts in COUNTS.items() for count in counts for _ in range(4)]
    trees = [tree(rng, frames) for frames in (2, 4, 8, 12)]
    versions = {"opencv": cv2.__version__, "numpy": np.__version__}
    for name, cases in (("cameras", cameras), ("transforms", trees)):
        lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
        (out / f"{name}.json").write_text(f'{{"made_with":{json.dumps(versions)},"cases":[\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()

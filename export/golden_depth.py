"""Writes tests/golden/depth: objects in metres, by NumPy, with the definitions of docs/depth.md.

    python export/golden_depth.py tests/golden/depth

Needs NumPy. The scenes are drawn by ray casting with a fixed seed: noise, holes, flying pixels and steps of millimetres. The
measurement follows the definitions step by step on whole images in double precision, without the runs, windows, lanes and
samples of the tested code. `benches/compare` measures the same functions as "the NumPy way".
"""

import itertools
import json
import sys
from pathlib import Path

import numpy as np

WIDTH, HEIGHT, FOCAL = 160, 120, 140.0
CENTRE = (79.2, 60.3)
BORDER, EDGE_RATIO, EDGE_NOISE, STEEPEST = 1, 0.02, 6.0, 6.0
GAP, WIDEST_BAND, REACH, FIT, BORDER_OFFSET = 4, 8, 2, 5, 0.25
LIMB_RESIDUALS, LIMB_DEVIATIONS, LEAST_DEVIATION = 0.1, 1.5, 2.5e-4
SAMPLE, TAIL, TAIL_SCALE, FENCE, NOISE_TAIL = 1024, 0.02, 0.10, 2.0, 2.5
NOISE_PIXELS = 4096


# Measurement


def missing(z):
    return ~(np.isfinite(z) & (z > 0))


def eroded(mask, border):
    """Pixels whose neighbours within `border` are inside; pixels outside the image count as inside."""
    padded = np.pad(mask, border, constant_values=True)
    out = np.ones_like(mask)
    for dy in range(2 * border + 1):
        for dx in range(2 * border + 1):
            out &= padded[dy : dy + mask.shape[0], dx : dx + mask.shape[1]]
    return out


def noise_of(z, mask):
    """Standard deviation of the noise: the median of the second difference along rows."""
    rows = np.nonzero(mask.any(1))[0]
    step = mask.sum() // NOISE_PIXELS + 1
    rows = np.arange(rows[0], rows[-1] + 1, step)
    z, mask = z[rows], mask[rows]
    second = np.abs(z[:, :-2] - 2 * z[:, 1:-1] + z[:, 2:])
    inside = mask[:, :-2] & mask[:, 1:-1] & mask[:, 2:]
    second = np.sort(second[inside & np.isfinite(second)])
    return second[len(second) // 2] / 1.652 if len(second) else 0.0


def smooth_pixels(z, core, limit):
    """Pixels of the core without an edge to a neighbour."""
    padded = np.pad(z, 1, constant_values=np.nan)
    h, w = z.shape
    jump = np.zeros(z.shape, bool)
    for dy, dx in ((0, 1), (2, 1), (1, 0), (1, 2)):
        jump |= np.abs(padded[dy : dy + h, dx : dx + w] - z) > limit
    return core & ~missing(z) & ~jump


def largest_part(z, smooth, limit):
    """The largest connected part, by labels that spread until nothing changes."""
    pairs = [(smooth[:, :-1] & smooth[:, 1:], (0, 1)), (smooth[:-1] & smooth[1:], (1, 0))]
    for gap in range(2, GAP + 2):
        for axis in (0, 1):
            shift = (gap, 0) if axis == 0 else (0, gap)
            near = (slice(None, -gap), slice(None)) if axis == 0 else (slice(None), slice(None, -gap))
            far = (slice(gap, None), slice(None)) if axis == 0 else (slice(None), slice(gap, None))
            joined = smooth[near] & smooth[far] & (np.abs(z[far] - z[near]) <= limit[far])
            if axis == 1:  # the last smooth pixel of the row: nothing smooth between
                for k in range(1, gap):
                    joined &= ~smooth[:, k : k - gap]
            pairs.append((joined, shift))
    labels = np.where(smooth, np.arange(z.size).reshape(z.shape), z.size)
    while True:
        before = labels.copy()
        for joined, (dy, dx) in pairs:
            near = labels[: labels.shape[0] - dy, : labels.shape[1] - dx]
            far = labels[dy:, dx:]
            near[joined] = np.minimum(near, far)[joined]
            far[joined] = np.minimum(near, far)[joined]
        # Labels are pixels: follow them to the label of that pixel.
        follow = np.append(labels.reshape(-1), z.size)
        labels = np.where(smooth, follow[labels], z.size)
        if (labels == before).all():
            break
    values, counts = np.unique(labels[smooth], return_counts=True)
    return labels == values[np.argmax(counts)] if len(values) else smooth


def point(u, v, z, camera):
    (fx, fy), (cx, cy) = camera
    return np.stack([(u - cx) / fx * z, (v - cy) / fy * z, z], -1)


def depth_at_border(depths, first, noise):
    """The depth at the border of the mask of the surface whose depths are given from pixel `first` on."""
    inverse, t = 1 / depths, np.arange(first, first + len(depths)) + BORDER_OFFSET

    def fit(x):
        """Squared residuals of a line, its value at 0, and its slope."""
        slope, offset = np.polyfit(x, inverse, 1)
        return ((inverse - slope * x - offset) ** 2).sum(), offset, slope

    line, root = fit(t), fit(np.sqrt(t))
    deviation = max(noise, LEAST_DEVIATION * depths[0]) / depths[0] ** 2
    is_bent = line[0] > (len(t) - 2) * (LIMB_DEVIATIONS * deviation) ** 2
    is_limb = is_bent and root[2] > 0 and root[0] < LIMB_RESIDUALS * line[0]
    inverse = (root if is_limb else line)[1]
    return 1 / inverse if inverse > 0 else np.inf


def outline(z, mask, core, part, limit, camera, noise, widest_band):
    """Points where the surface meets the border of the mask, along rows and columns."""
    points = []
    h, w = mask.shape
    steps = ((1, 0), (-1, 0), (0, 1), (0, -1))
    for dx, dy in steps:
        before = np.zeros_like(mask)
        # The neighbour against the direction, outside the image counts as outside the mask.
        src = mask[max(-dy, 0) : h - max(dy, 0), max(-dx, 0) : w - max(dx, 0)]
        before[max(dy, 0) : h - max(-dy, 0), max(dx, 0) : w - max(-dx, 0)] = src
        for y, x in zip(*np.nonzero(mask & ~before)):
            line = [(y + dy * i, x + dx * i) for i in range(3 * (WIDEST_BAND + REACH))]
            line = [p for p in line if 0 <= p[0] < h and 0 <= p[1] < w]
            inside = list(itertools.takewhile(lambda p: mask[p], line))
            band = next((i for i, p in enumerate(inside[:widest_band]) if core[p]), widest_band)
            first = next((i for i, p in enumerate(inside[: band + REACH + 1]) if i >= band and part[p]), None)
            if first is None:
                continue
            count = max(FIT, first)
            fit = line[first : first + count]
            depth = nearest = z[line[first]]
            if len(fit) == count and all(part[p] for p in fit):
                most = limit[line[first]] * (first + 1)
                far = depth_at_border(np.array([z[p] for p in fit]), first, noise)
                depth = np.clip(far, nearest - most, nearest + most)
            points.append(point(x - dx * BORDER_OFFSET, y - dy * BORDER_OFFSET, depth, camera))
    return np.array(points).reshape(-1, 3)


def sampled(points):
    """At most SAMPLE points, evenly over the list: multiples of the golden ratio."""
    if len(points) <= SAMPLE:
        return points
    return points[(np.arange(SAMPLE) * 0.6180339887498949 % 1 * len(points)).astype(int)]


def extent(surface, border, direction, noise):
    sample = np.sort(sampled(surface) @ direction)
    quantile = lambda p: sample[int(p * (len(sample) - 1) + 0.5)]
    low, high = quantile(TAIL), quantile(1 - TAIL)
    fence = low + FENCE * (low - quantile(TAIL_SCALE)), high + FENCE * (high - quantile(1 - TAIL_SCALE))
    outer = np.sort(border @ direction)
    trimmed = int(TAIL * len(outer))
    values = np.concatenate([surface @ direction, outer[trimmed : len(outer) - trimmed]])
    values = np.append(values[(values >= fence[0]) & (values <= fence[1])], [low, high])
    size = values.max() - values.min() - 2 * NOISE_TAIL * abs(noise @ direction)
    return (values.min() + values.max()) / 2, max(size, 0.0)


def yaw_of(points):
    """Yaw in degrees of the box with the least sum of its sides, for points on the ground."""

    def sides(angle):
        a = np.radians(angle)
        turned = points @ np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
        return np.ptp(turned, axis=0).sum()

    coarse = min(range(90), key=sides)
    return min((coarse + i / 16 for i in range(-16, 17)), key=sides)


def measure(z, mask, camera, rotation=None, certain=None):
    """An object; `rotation` takes the optical frame to a frame with z up, None measures in the optical frame.

    `certain`: the part of the mask that the model is certain of; without it the mask is eroded.
    """
    z = np.where(missing(z), np.nan, z.astype(float))
    noise = noise_of(z, mask)
    limit = np.maximum(max(EDGE_RATIO, STEEPEST / camera[0][0]) * z, EDGE_NOISE * noise)
    core = eroded(mask, BORDER) if certain is None else certain
    part = largest_part(z, smooth_pixels(z, core, limit), limit)
    v, u = np.nonzero(part)
    surface = point(u, v, z[part], camera)
    border = outline(z, mask, core, part, limit, camera, noise, BORDER if certain is None else WIDEST_BAND)
    centroid = surface.mean(0)
    along_ray = centroid / np.linalg.norm(centroid) * noise
    target = np.eye(3) if rotation is None else rotation
    axes, yaw = target, 0.0
    if rotation is not None:
        shape = np.concatenate([sampled(surface), border]) @ rotation.T
        yaw = np.radians(yaw_of(shape[:, :2]))
        turn = np.array([[np.cos(yaw), np.sin(yaw), 0], [-np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
        axes = turn @ rotation
    extents = [extent(surface, border, axis, along_ray) for axis in axes]
    size = np.array([e[1] for e in extents])
    centre = sum(axis * e[0] for axis, e in zip(axes, extents))
    if rotation is not None and size[1] > size[0]:
        size[[0, 1]] = size[[1, 0]]
        yaw += np.pi / 2 if yaw <= 0 else -np.pi / 2
    sorted_z = np.sort(surface[:, 2])
    return {
        "points": len(surface),
        "coverage": float((~missing(z) & mask).sum() / mask.sum()),
        "noise": float(noise),
        "median_depth": float(sorted_z[len(sorted_z) // 2]),
        "centroid": (target @ centroid).tolist(),
        "centre": (target @ centre).tolist(),
        "size": size.tolist(),
        "yaw": float(yaw),
        "outline": len(border),
    }


# Scenes


def cuboid(start, rays, centre, yaw, size):
    turn = np.array([[np.cos(yaw), np.sin(yaw), 0], [-np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    o, d = turn @ (start - centre), rays @ turn.T
    with np.errstate(divide="ignore"):
        a, b = (-size / 2 - o) / d, (size / 2 - o) / d
    near, far = np.minimum(a, b).max(-1), np.maximum(a, b).min(-1)
    return np.where(near <= far, near, np.inf)


def ball(start, rays, centre, radius):
    o = start - centre
    a, b, c = (rays**2).sum(-1), rays @ o, o @ o - radius**2
    with np.errstate(invalid="ignore"):
        root = np.sqrt(b * b - a * c)
    return np.where(np.isnan(root), np.inf, (-b - root) / a)


def scene(rng, kind):
    """Depth and mask of a box or a ball on a table, and the rotation from the optical frame to the world."""
    tilt = rng.uniform(0.4, 0.8)
    forward = np.array([np.cos(tilt), 0, -np.sin(tilt)])
    right, down = np.array([0, -1.0, 0]), np.array([-np.sin(tilt), 0, -np.cos(tilt)])
    rotation = np.stack([right, down, forward], 1)
    v, u = np.mgrid[:HEIGHT, :WIDTH]
    rays = point(u, v, np.ones(u.shape), ((FOCAL, FOCAL), CENTRE)) @ rotation.T
    start = -forward * rng.uniform(0.9, 1.3)
    with np.errstate(divide="ignore"):
        table = -(start[2] + 0.05) / rays[..., 2]
    table[table <= 0] = np.inf
    if kind == "ball":
        thing = ball(start, rays, np.array([0, 0.02, 0.1]), 0.17)
    else:
        size = np.array([0.36, 0.22, 0.26]) * rng.uniform(0.8, 1.1, 3)
        thing = cuboid(start, rays, np.array([0.0, rng.uniform(-0.1, 0.1), size[2] / 2 - 0.05]), rng.uniform(-1.5, 1.5), size)
    post = cuboid(start, rays, np.array([-0.25, 0.03, 0.1]), 0.3, np.array([0.02, 0.02, 0.5])) if kind == "post" else np.inf
    depth = np.minimum(np.minimum(thing, table), post)
    return np.where(np.isfinite(depth), depth, np.nan), np.isfinite(thing) & (thing <= table) & (thing < post), rotation


def sensed(rng, depth, noise, step, holes, flying):
    depth = depth.copy()
    if flying:
        padded = np.pad(depth, 1, mode="edge")
        shifts = [padded[dy : dy + HEIGHT, dx : dx + WIDTH] for dy in range(3) for dx in range(3)]
        near, far = np.nanmin(shifts, 0), np.nanmax(shifts, 0)
        mixed = far - near > 0.03 * near
        depth[mixed] = (near + rng.uniform(size=depth.shape) * (far - near))[mixed]
    depth += rng.normal(size=depth.shape) * noise
    if step:
        depth = np.round(depth / step) * step
    depth[rng.uniform(size=depth.shape) < holes] = np.nan
    return depth.astype(np.float32)


def certain_part(mask):
    """A mask without a band along its border that is 0 to 6 pixels wide."""
    v, u = np.indices(mask.shape)
    width = np.round(2 + 2 * np.sin(u / 7) + 2 * np.cos(v / 5))
    distance = sum(eroded(mask, k) for k in range(8)) - 1
    return mask & (distance >= np.clip(width, 0, 6))


CASES = {
    "box": ("box", 0, 0, 0, False),
    "box_flying": ("box", 0, 0, 0, True),
    "box_noise": ("box", 0.003, 0.001, 0.1, True),
    "box_holes": ("box", 0.001, 0, 0.4, False),
    "ball": ("ball", 0, 0.001, 0, True),
    "post": ("post", 0.002, 0.001, 0.05, True),
    "box_certain": ("box", 0.001, 0, 0.02, True),
    "ball_certain": ("ball", 0, 0, 0, False),
}


def main():
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    camera, cases, depths, masks = ((FOCAL, FOCAL), CENTRE), [], [], []
    for seed, (name, (kind, *sensor)) in enumerate(CASES.items()):
        rng = np.random.default_rng(seed)
        depth, mask, rotation = scene(rng, kind)
        depth = sensed(rng, depth, *sensor)
        certain = certain_part(mask) if name.endswith("certain") else None
        upright = measure(depth, mask, camera, rotation, certain) if kind != "ball" else None
        optical = measure(depth, mask, camera, certain=certain)
        rotation = rotation.reshape(-1).tolist()
        cases.append({"name": name, "rotation": rotation, "optical": optical, "upright": upright})
        depths.append(np.nan_to_num(depth, nan=0.0))
        masks.append(mask if certain is None else mask.astype(np.uint8) + certain)
    # Metres (float32, little-endian) of all cases, then masks (a byte a pixel; 2 is the certain part).
    (out / "depth.f32").write_bytes(np.stack(depths).astype("<f4").tobytes())
    (out / "mask.u8").write_bytes(np.stack(masks).astype(np.uint8).tobytes())
    head = {"made_with": {"numpy": np.__version__}, "width": WIDTH, "height": HEIGHT, "focal": FOCAL, "centre": CENTRE}
    (out / "cases.json").write_text(json.dumps({**head, "cases": cases}, indent=1) + "\n")


if __name__ == "__main__":
    main()

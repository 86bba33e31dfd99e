"""A moving calibrated camera in NumPy, the reference for the pixels of the node."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PointStamped, TransformStamped
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo
from tf2_msgs.msg import TFMessage

from messages import FRAME_ID, header
from scenes import HEIGHT, WIDTH

TF_QOS = QoSProfile(depth=100)
STATIC_QOS = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
# Rotation of an optical frame (z forward, x right) in a body frame (x forward, z up), REP-103.
OPTICAL = np.array([-0.5, 0.5, -0.5, 0.5])


def nanoseconds(stamp: Time) -> int:
    return stamp.sec * 10**9 + stamp.nanosec


def time(nanosec: int) -> Time:
    return Time(sec=nanosec // 10**9, nanosec=nanosec % 10**9)


def later(stamp: Time, milliseconds: float) -> Time:
    return time(nanoseconds(stamp) + round(milliseconds * 1e6))


# ---------------------------------------------------------------- poses


def matrix(translation: np.ndarray, q: np.ndarray) -> np.ndarray:
    """4x4 matrix of a translation and a quaternion x, y, z, w."""
    x, y, z, w = q / np.linalg.norm(q)
    out = np.eye(4)
    out[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    out[:3, 3] = translation
    return out


def yaw(angle: float, translation: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    return np.array(translation, float), np.array([0, 0, np.sin(angle / 2), np.cos(angle / 2)])


def quaternion_product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Product of two quaternions: the rotation b followed by a."""
    return np.append(a[3] * b[:3] + b[3] * a[:3] + np.cross(a[:3], b[:3]), a[3] * b[3] - a[:3] @ b[:3])


def slerp(a: np.ndarray, b: np.ndarray, t: float) -> np.ndarray:
    if a @ b < 0:
        b = -b
    angle = np.arccos(np.clip(a @ b, -1, 1))
    if angle < 1e-9:
        return a
    return (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)


def transform(parent: str, child: str, stamp: Time, translation: np.ndarray, q: np.ndarray) -> TransformStamped:
    message = TransformStamped(header=header(stamp, parent), child_frame_id=child)
    t, r = message.transform.translation, message.transform.rotation
    t.x, t.y, t.z = map(float, translation)
    r.x, r.y, r.z, r.w = map(float, q)
    return message


@dataclass
class Rig:
    """Transform tree: world <- base (moving) <- mast (static) <- optical frame of the camera (static)."""

    poses: list[tuple[Time, np.ndarray, np.ndarray]] = field(default_factory=list)
    base: str = "base"
    world: str = "map"

    def mast(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array([0.2, -0.1, 1.1]), np.array([0.1, 0.05, 0.2, 0.9]) / np.linalg.norm([0.1, 0.05, 0.2, 0.9])

    def static(self) -> TFMessage:
        zero = Time()
        return TFMessage(
            transforms=[
                transform(self.base, "mast", zero, *self.mast()),
                transform("mast", FRAME_ID, zero, np.zeros(3), OPTICAL),
            ]
        )

    def move(self, stamp: Time, translation: np.ndarray, q: np.ndarray) -> TFMessage:
        self.poses.append((stamp, translation, q))
        return TFMessage(transforms=[transform(self.world, self.base, stamp, translation, q)])

    def camera_in_world(self, stamp: Time | None = None) -> np.ndarray:
        """4x4 matrix from the optical frame to the world at a stamp, interpolated. Without a stamp: the latest."""
        at = nanoseconds(stamp or self.poses[-1][0])
        for (t0, p0, q0), (t1, p1, q1) in zip(self.poses, self.poses[1:], strict=False):
            a, b = nanoseconds(t0), nanoseconds(t1)
            if a <= at <= b:
                f = (at - a) / (b - a)
                base = matrix(p0 + (p1 - p0) * f, slerp(q0, q1, f))
                break
        else:
            assert at == nanoseconds(self.poses[-1][0]), "the stamp is outside the published poses"
            base = matrix(*self.poses[-1][1:])
        return base @ matrix(*self.mast()) @ matrix(np.zeros(3), OPTICAL)


def apply(transform: np.ndarray, point: np.ndarray) -> np.ndarray:
    return transform[:3, :3] @ point + transform[:3, 3]


# ---------------------------------------------------------------- lens


@dataclass(frozen=True)
class Lens:
    """A calibration with its projection, by the formulas in OpenCV's documentation."""

    model: str = "plumb_bob"
    d: tuple[float, ...] = (-0.22, 0.06, 0.001, -0.0015, 0.01)
    fx: float = 260.0
    fy: float = 262.0
    cx: float = 163.0
    cy: float = 117.5
    rectified: bool = False
    binning: int = 1
    # Offset of the region of interest in pixels of the full image. The published image has WIDTH x HEIGHT pixels.
    offset: tuple[int, int] = (0, 0)
    # Focal length of P, and its baseline (Tx = -p_focal * baseline).
    p_focal: float = 250.0
    baseline: float = 0.0
    tilt: float = 0.0

    def rotation(self) -> np.ndarray:
        c, s = np.cos(self.tilt), np.sin(self.tilt)
        return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])

    def info(self, stamp: Time, frame_id: str = FRAME_ID) -> CameraInfo:
        message = CameraInfo(header=header(stamp, frame_id), distortion_model=self.model, d=[float(v) for v in self.d])
        b, (x, y) = self.binning, self.offset
        message.width, message.height = (WIDTH * b, HEIGHT * b)
        if self.offset != (0, 0):
            message.width, message.height = WIDTH * b + 2 * x, HEIGHT * b + 2 * y
            message.roi.x_offset, message.roi.y_offset = x, y
            message.roi.width, message.roi.height = WIDTH * b, HEIGHT * b
        message.binning_x = message.binning_y = 0 if b == 1 else b
        message.k = [self.fx, 0.0, self.cx, 0.0, self.fy, self.cy, 0.0, 0.0, 1.0]
        message.r = [float(v) for v in self.rotation().reshape(-1)]
        f = self.p_focal
        message.p = [f, 0.0, self.cx, -f * self.baseline, 0.0, f, self.cy, 0.0, 0.0, 0.0, 1.0, 0.0]
        return message

    def project(self, points: np.ndarray) -> np.ndarray:
        """Projects points [n, 3] of the optical frame to pixels [n, 2] of the published image."""
        points = np.asarray(points, float).reshape(-1, 3)
        if self.rectified:
            x, y, z = points.T
            full = np.stack([(self.p_focal * (x - self.baseline)) / z + self.cx, self.p_focal * y / z + self.cy], 1)
        else:
            # As in image_geometry: the optical frame is the frame of the rectified image; R rotates from the sensor to it.
            x, y, z = (points @ self.rotation()).T
            x, y = self._distort(x / z, y / z)
            full = np.stack([self.fx * x + self.cx, self.fy * y + self.cy], 1)
        return (full - np.array(self.offset)) / self.binning

    def _distort(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        r2 = x * x + y * y
        if self.model == "equidistant":
            k1, k2, k3, k4 = self.d
            r = np.sqrt(r2)
            theta = np.arctan(r)
            distorted = theta * (1 + k1 * theta**2 + k2 * theta**4 + k3 * theta**6 + k4 * theta**8)
            scale = np.where(r > 1e-9, distorted / np.maximum(r, 1e-9), 1.0)
            return x * scale, y * scale
        k1, k2, p1, p2, k3, k4, k5, k6 = (*self.d, *[0.0] * (8 - len(self.d)))
        radial = (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3) / (1 + k4 * r2 + k5 * r2**2 + k6 * r2**3)
        return (
            x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
            y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
        )

    def ray(self, pixel: tuple[float, float], depth: float) -> np.ndarray:
        """The point of the optical frame at z = `depth` that projects to a pixel, found by Newton's method."""
        point = np.array([0.0, 0.0, depth])
        for _ in range(50):
            error = self.project(point)[0] - np.array(pixel)
            if np.abs(error).max() < 1e-9:
                return point
            h = 1e-6
            slopes = np.stack([(self.project(point + step)[0] - self.project(point - step)[0]) / (2 * h)
                               for step in (np.array([h, 0, 0]), np.array([0, h, 0]))], 1)  # fmt: skip
            point[:2] -= np.linalg.solve(slopes, error)
        raise AssertionError(f"Newton's method found no ray for pixel {pixel}")


def clicked(point: np.ndarray, frame_id: str, stamp: Time) -> PointStamped:
    message = PointStamped(header=header(stamp, frame_id))
    message.point.x, message.point.y, message.point.z = map(float, point)
    return message

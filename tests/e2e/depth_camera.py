"""A depth camera that is registered to the image, and the reference in NumPy for what the node measures."""

from __future__ import annotations

import array
import io
import struct
from dataclasses import dataclass

import numpy as np
from builtin_interfaces.msg import Time
from PIL import Image as Picture
from sensor_msgs.msg import CompressedImage, Image, PointCloud2

from cameras import Lens
from messages import FRAME_ID, header
from scenes import HEIGHT, WIDTH

# Without distortion the points are those of depth_image_proc: x = (u - cx) z / fx.
LENS = Lens(model="", d=())
# depth_quantization and depth_max, the defaults of compressed_depth_image_transport.
QUANTIZATION, DEPTH_MAX = 100.0, 10.0


def slope(near: float = 1.2, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """The depth of a plane that is turned away to the right, float32 [height, width]."""
    v, u = np.mgrid[:height, :width]
    return (near + 0.5 * u / width + 0.1 * v / height).astype(np.float32)


def image(depth: np.ndarray, stamp: Time, encoding: str, frame_id: str = FRAME_ID, big_endian: bool = False) -> Image:
    """A depth image of metres, by REP-118."""
    values = depth if encoding == "32FC1" else millimetres(depth)
    values = values.astype(values.dtype.newbyteorder(">" if big_endian else "<"))
    height, width = depth.shape
    data = array.array("B", values.tobytes())
    step = width * values.itemsize
    return Image(header=header(stamp, frame_id), height=height, width=width, encoding=encoding, step=step, data=data,
                 is_bigendian=int(big_endian))  # fmt: skip


def millimetres(depth: np.ndarray) -> np.ndarray:
    return np.nan_to_num(np.round(depth * 1000), nan=0.0).astype(np.uint16)


def compressed(depth: np.ndarray, stamp: Time, encoding: str) -> CompressedImage:
    """What compressed_depth_image_transport makes of a depth image (codec.cpp): a header of 12 bytes, and a PNG."""
    a, b = 0.0, 0.0
    values = millimetres(depth)
    if encoding == "32FC1":
        a = QUANTIZATION * (QUANTIZATION + 1)
        b = 1 - a / DEPTH_MAX
        with np.errstate(invalid="ignore"):
            values = np.where(depth < DEPTH_MAX, a / depth + b, 0).astype(np.uint16)
    file = io.BytesIO()
    Picture.fromarray(values).save(file, "PNG")
    data = array.array("B", struct.pack("<iff", 0, a, b) + file.getvalue())
    return CompressedImage(header=header(stamp), format=f"{encoding}; compressedDepth png", data=data)


@dataclass
class Measured:
    """The measured pixels of an object: points in the optical frame [n, 3], columns and rows [n]."""

    points: np.ndarray
    u: np.ndarray
    v: np.ndarray

    @property
    def centroid(self) -> np.ndarray:
        return self.points.mean(0)


def reference(
    mask: np.ndarray, depth: np.ndarray, certain: np.ndarray | None = None, lens: Lens = LENS, border: int = 1
) -> Measured:
    """Measures an object on a smooth surface: the certain pixels of its mask, as far as they have a depth.

    Without `certain` the mask is eroded by `border` pixels.
    """
    core = mask.copy() if certain is None else mask & certain
    border = border if certain is None else 0
    padded = np.pad(mask, border, constant_values=True)
    for y in range(2 * border + 1):
        for x in range(2 * border + 1):
            core &= padded[y : y + mask.shape[0], x : x + mask.shape[1]]
    v, u = np.nonzero(core & np.isfinite(depth))
    z = depth[v, u].astype(float)
    return Measured(np.stack([(u - lens.cx) / lens.fx * z, (v - lens.cy) / lens.fy * z, z], 1), u, v)


def points_of(cloud: PointCloud2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points [n, 3], colours [n, 3] (red, green, blue) and labels [n] of a cloud."""
    fields = [(f.name, f.offset, f.datatype) for f in cloud.fields]
    assert fields == [("x", 0, 7), ("y", 4, 7), ("z", 8, 7), ("rgb", 12, 7), ("label", 16, 4)]
    assert cloud.row_step == cloud.width * cloud.point_step and len(cloud.data) == cloud.height * cloud.row_step
    raw = np.frombuffer(cloud.data, np.uint8).reshape(-1, cloud.point_step)
    points = np.ascontiguousarray(raw[:, :12]).view("<f4")
    labels = np.ascontiguousarray(raw[:, 16:18]).view("<u2")[:, 0]
    return points, raw[:, [14, 13, 12]], labels

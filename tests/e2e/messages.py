"""Converts arrays to messages and messages to arrays."""

from __future__ import annotations

import array
import io
import json
from pathlib import Path

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, PointStamped
from PIL import Image as Picture
from promptseg_msgs.msg import BoxPrompt, MaskArray, ObjectMask, ObjectPrompt, PointPrompt, PromptArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose

FRAME_ID = "camera_optical_frame"
CHANNELS = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "mono8": 1, "mono16": 1, "uyvy": 1, "yuyv": 1}
# SAM's label of a point to that of the message.
LABELS = {1: PointPrompt.FOREGROUND, 0: PointPrompt.BACKGROUND}


def header(stamp: Time, frame_id: str = FRAME_ID) -> Header:
    return Header(stamp=stamp, frame_id=frame_id)


def stamp_of(message: Image | MaskArray | CompressedImage | Detection2DArray) -> tuple[int, int]:
    return message.header.stamp.sec, message.header.stamp.nanosec


def image(
    data: np.ndarray,
    stamp: Time,
    encoding: str = "rgb8",
    padding: int = 0,
    big_endian: bool = False,
    width: int | None = None,
) -> Image:
    """An Image of an array [height, ...] with `padding` bytes after each row. `width` defaults to `data.shape[1]`."""
    rows = np.ascontiguousarray(data).reshape(data.shape[0], -1).view(np.uint8)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=0xAB)
    return Image(
        header=header(stamp),
        height=data.shape[0],
        width=data.shape[1] if width is None else width,
        encoding=encoding,
        is_bigendian=int(big_endian),
        step=rows.shape[1],
        data=array.array("B", rows.tobytes()),
    )


def compressed(rgb: np.ndarray, stamp: Time, kind: str) -> CompressedImage:
    file = io.BytesIO()
    Picture.fromarray(rgb).save(file, kind, **({"quality": 92} if kind == "JPEG" else {}))
    return CompressedImage(header=header(stamp), format=kind.lower(), data=array.array("B", file.getvalue()))


def pixels(message: Image) -> np.ndarray:
    """The pixels of a mono8, mono16 or rgb8 image as an array."""
    raw = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
    match message.encoding:
        case "mono8":
            return raw[:, : message.width]
        case "mono16":
            return raw.view(">u2" if message.is_bigendian else "<u2")[:, : message.width]
        case "rgb8":
            return raw[:, : message.width * 3].reshape(message.height, message.width, 3)
    raise AssertionError(f"unexpected encoding {message.encoding}")


def whole_mask(answer: MaskArray, mask: ObjectMask) -> np.ndarray:
    """Places a cropped mask into the whole image: bool."""
    whole = np.zeros((answer.height, answer.width), bool)
    roi = mask.roi
    if roi.width and roi.height:
        assert (mask.mask.height, mask.mask.width) == (roi.height, roi.width)
        cropped = pixels(mask.mask)
        assert set(np.unique(cropped)) <= {0, 255}
        whole[roi.y_offset : roi.y_offset + roi.height, roi.x_offset : roi.x_offset + roi.width] = cropped > 0
    return whole


def masks_by_id(answer: MaskArray) -> dict[int, np.ndarray]:
    return {m.object_id: whole_mask(answer, m) for m in answer.masks}


def ids(answer: MaskArray) -> list[int]:
    return [m.object_id for m in answer.masks]


def pixel(x: float, y: float, stamp: Time | None = None) -> PointStamped:
    return PointStamped(header=header(stamp or Time()), point=Point(x=float(x), y=float(y)))


def prompt(
    object_id: int = 0,
    points: list[tuple[float, float, int]] | None = None,
    box: tuple[float, float, float, float] | None = None,
    class_id: str = "",
    refine: bool = False,
) -> ObjectPrompt:
    """The prompt of an object. Points are (x, y, label) with SAM's labels: 1 on the object, 0 beside the object. Any other
    label is sent unchanged."""
    message = ObjectPrompt(object_id=object_id, class_id=class_id, refine=refine)
    message.points = [
        PointPrompt(x=float(x), y=float(y), label=LABELS.get(label, label)) for x, y, label in points or []
    ]
    if box is not None:
        x_min, y_min, x_max, y_max = map(float, box)
        message.box = [BoxPrompt(x_min=x_min, y_min=y_min, x_max=x_max, y_max=y_max)]
    return message


def prompts(operation: int, *objects: ObjectPrompt, stamp: Time | None = None) -> PromptArray:
    return PromptArray(header=header(stamp or Time()), operation=operation, objects=list(objects))


def detection(box: tuple[float, float, float, float], class_id: str, tag: str, score: float = 0.8) -> Detection2D:
    x_min, y_min, x_max, y_max = map(float, box)
    message = Detection2D(id=tag)
    message.bbox.center.position.x, message.bbox.center.position.y = (x_min + x_max) / 2, (y_min + y_max) / 2
    message.bbox.size_x, message.bbox.size_y = x_max - x_min, y_max - y_min
    best = ObjectHypothesisWithPose()
    best.hypothesis.class_id, best.hypothesis.score = class_id, score
    message.results = [best]
    return message


def detections(stamp: Time, *boxes: Detection2D) -> Detection2DArray:
    for box in boxes:
        box.header = header(stamp)
    return Detection2DArray(header=header(stamp), detections=list(boxes))


def tensors(file: Path) -> dict[str, np.ndarray]:
    """Reads a safetensors file of f32: length of the JSON description, the description, the values."""
    content = file.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    description = json.loads(content[8:start])
    return {
        name: np.frombuffer(content[start:][slice(*entry["data_offsets"])], np.float32).reshape(entry["shape"])
        for name, entry in description.items()
        if name != "__metadata__"
    }

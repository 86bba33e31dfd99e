"""Bags made and read by `rosbags`, and by `mcap` for Python, which share no code with promptseg."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import mcap.writer
import numpy as np
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore


ROOT = Path(__file__).parents[2]

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED = "sensor_msgs/msg/CompressedImage"
INFO = "sensor_msgs/msg/CameraInfo"
DETECTIONS = "vision_msgs/msg/Detection2DArray"
FRAME_ID = "camera_optical_frame"
START = 1_700_000_000 * 10**9


@dataclass(frozen=True)
class Recorded:
    """A message of a bag, at a time in nanoseconds."""

    topic: str
    kind: str
    time: int
    message: Any


@cache
def store() -> Any:
    """The types of Jazzy, and those of interfaces/."""
    types = get_typestore(Stores.ROS2_JAZZY)
    for package in ("vision_msgs", "yolo_msgs", "promptseg_msgs"):
        for file in sorted((ROOT / "interfaces" / package / "msg").glob("*.msg")):
            types.register(get_types_from_msg(file.read_text(), f"{package}/msg/{file.stem}"))
    return types


def make(kind: str, **fields: Any) -> Any:
    return store().types[kind](**fields)


def header(time: int) -> Any:
    stamp = make("builtin_interfaces/msg/Time", sec=time // 10**9, nanosec=time % 10**9)
    return make("std_msgs/msg/Header", stamp=stamp, frame_id=FRAME_ID)


def image(pixels: np.ndarray, time: int, encoding: str = "rgb8", big_endian: bool = False) -> Any:
    """An image of an array [height, width, channels] or [height, width]; samples of 16 bits are written in the byte order."""
    data = pixels.astype(pixels.dtype.newbyteorder(">" if big_endian else "<")).tobytes()
    return make(
        IMAGE,
        header=header(time),
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=int(big_endian),
        step=len(data) // pixels.shape[0],
        data=np.frombuffer(data, np.uint8),
    )


def compressed(content: bytes, time: int, form: str = "jpeg") -> Any:
    return make(COMPRESSED, header=header(time), format=form, data=np.frombuffer(content, np.uint8))


def camera_info(width: int, height: int, time: int) -> Any:
    roi = make("sensor_msgs/msg/RegionOfInterest", x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
    k = np.array([300.0, 0, width / 2, 0, 310.0, height / 2, 0, 0, 1])
    return make(
        INFO,
        header=header(time),
        height=height,
        width=width,
        distortion_model="plumb_bob",
        d=np.array([0.1, -0.2, 0.001, 0.002, 0.05]),
        k=k,
        r=np.eye(3).ravel(),
        p=np.concatenate([k.reshape(3, 3), np.zeros((3, 1))], 1).ravel(),
        binning_x=0,
        binning_y=0,
        roi=roi,
    )


def detections(boxes: Sequence[tuple[str, float, tuple[float, float, float, float]]], time: int) -> Any:
    """Boxes as (class, score, (x_min, y_min, x_max, y_max))."""
    zero = make("geometry_msgs/msg/Point", x=0.0, y=0.0, z=0.0)
    turn = make("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=0.0, w=1.0)
    pose = make("geometry_msgs/msg/Pose", position=zero, orientation=turn)
    pose = make("geometry_msgs/msg/PoseWithCovariance", pose=pose, covariance=np.zeros(36))
    found = []
    for name, score, (x_min, y_min, x_max, y_max) in boxes:
        best = make("vision_msgs/msg/ObjectHypothesis", class_id=name, score=score)
        other = make("vision_msgs/msg/ObjectHypothesis", class_id="other", score=score / 2)
        results = [make("vision_msgs/msg/ObjectHypothesisWithPose", hypothesis=h, pose=pose) for h in (other, best)]
        position = make("vision_msgs/msg/Point2D", x=(x_min + x_max) / 2, y=(y_min + y_max) / 2)
        centre = make("vision_msgs/msg/Pose2D", position=position, theta=0.0)
        box = make("vision_msgs/msg/BoundingBox2D", center=centre, size_x=float(x_max - x_min), size_y=float(y_max - y_min))
        found.append(make("vision_msgs/msg/Detection2D", header=header(time), results=results, bbox=box, id=""))
    return make(DETECTIONS, header=header(time), detections=found)


def write(
    folder: Path,
    messages: Sequence[Recorded],
    plugin: StoragePlugin = StoragePlugin.MCAP,
    compression: CompressionMode = CompressionMode.NONE,
    little_endian: bool = True,
) -> Path:
    """Writes a bag and returns its folder."""
    writer = Writer(folder, version=9, storage_plugin=plugin)
    writer.set_compression(compression, CompressionFormat.ZSTD)
    with writer:
        topics: dict[tuple[str, str], Any] = {}
        for recorded in messages:
            key = (recorded.topic, recorded.kind)
            if key not in topics:
                topics[key] = writer.add_connection(*key, typestore=store())
            data = store().serialize_cdr(recorded.message, recorded.kind, little_endian=little_endian)
            writer.write(topics[key], recorded.time, data)
    return folder


def write_lz4(folder: Path, messages: Sequence[Recorded]) -> Path:
    """Writes a file of MCAP with small chunks of lz4, which rosbags does not write, into a folder without metadata.yaml."""
    folder.mkdir()
    with (folder / "drive_0.mcap").open("wb") as file:
        writer = mcap.writer.Writer(file, chunk_size=300_000, compression=mcap.writer.CompressionType.LZ4)
        writer.start(profile="ros2")
        channels: dict[str, int] = {}
        for recorded in messages:
            if recorded.topic not in channels:
                schema = writer.register_schema(recorded.kind, "ros2msg", b"")
                channels[recorded.topic] = writer.register_channel(recorded.topic, "cdr", schema)
            data = bytes(store().serialize_cdr(recorded.message, recorded.kind))
            writer.add_message(channels[recorded.topic], recorded.time, data, recorded.time)
        writer.finish()
    return folder


def read(folder: Path) -> Iterator[tuple[str, int, Any]]:
    """The messages of a bag with the types that the bag embeds: topic, time, message."""
    with Reader(folder) as reader:
        types = get_typestore(Stores.EMPTY)
        for connection in reader.connections:
            types.register(get_types_from_msg(connection.msgdef.data, connection.msgtype))
        for connection, time, data in reader.messages():
            yield connection.topic, time, types.deserialize_cdr(data, connection.msgtype)

"""config/promptseg.rviz: the properties that rviz2 reads, and the topics of a real node."""

from __future__ import annotations

from collections.abc import Iterator
from math import radians, tan
from typing import Any

import yaml

from harness import ROOT, eventually

CONFIG = yaml.safe_load((ROOT / "config" / "promptseg.rviz").read_text())

TOPIC = {"Depth", "Durability Policy", "Filter size", "History Policy", "Reliability Policy", "Value"}
DISPLAY = {"Class", "Name", "Enabled", "Value"}
# The properties of rviz_default_plugins 14 (Jazzy), from its sources: rviz2 silently ignores other names.
PROPERTIES = {
    "rviz_default_plugins/Grid": DISPLAY
    | {"Alpha", "Cell Size", "Color", "Line Style", "Normal Cell Count", "Offset", "Plane", "Plane Cell Count"}
    | {"Reference Frame"},
    "rviz_default_plugins/TF": DISPLAY
    | {"Show Arrows", "Show Axes", "Show Names", "Marker Scale", "Frame Timeout", "Update Interval", "Frames", "Tree"},
    "rviz_default_plugins/PointCloud2": DISPLAY
    | {"Alpha", "Color Transformer", "Position Transformer", "Decay Time", "Selectable", "Style", "Size (m)"}
    | {"Size (Pixels)", "Topic", "Use Fixed Frame", "Use rainbow", "Invert Rainbow"},
    "rviz_default_plugins/Image": DISPLAY | {"Normalize Range", "Min Value", "Max Value", "Median window", "Topic"},
    "rviz_default_plugins/Interact": {"Class", "Hide Inactive Objects"},
    "rviz_default_plugins/MoveCamera": {"Class"},
    "rviz_default_plugins/PublishPoint": {"Class", "Single click", "Topic"},
    "rviz_default_plugins/Orbit": {"Class", "Name", "Value", "Target Frame", "Distance", "Focal Point", "Pitch", "Yaw"}
    | {"Near Clip Distance", "Focal Shape Size", "Focal Shape Fixed Size", "Invert Z Axis", "Enable Stereo Rendering"},
}
TYPES = {
    "rviz_default_plugins/PointCloud2": "sensor_msgs/msg/PointCloud2",
    "rviz_default_plugins/Image": "sensor_msgs/msg/Image",
    "rviz_default_plugins/PublishPoint": "geometry_msgs/msg/PointStamped",
}


def parts() -> Iterator[dict[str, Any]]:
    manager = CONFIG["Visualization Manager"]
    yield from manager["Displays"]
    yield from manager["Tools"]
    yield manager["Views"]["Current"]
    yield from manager["Views"]["Saved"]


def test_every_class_and_property_is_one_of_rvizs() -> None:
    for part in parts():
        assert part["Class"] in PROPERTIES
        assert set(part) <= PROPERTIES[part["Class"]], part
        assert set(part.get("Topic", {})) <= TOPIC, part
    assert {p["Class"] for p in parts()} >= set(TYPES)


def test_the_topics_are_those_of_the_node(start_robot: Any) -> None:
    robot = start_robot()
    robot.process.wait_ready()
    published = robot.peer.node.get_publisher_names_and_types_by_node
    subscribed = robot.peer.node.get_subscriber_names_and_types_by_node

    def topics(of: Any) -> dict[str, list[str]]:
        return dict(of("promptseg", "/"))

    wanted = [p for p in parts() if "Topic" in p]
    eventually("the node's topics", lambda: "promptseg" in robot.peer.node.get_node_names())
    for part in wanted:
        name, kind = part["Topic"]["Value"], TYPES[part["Class"]]
        # The node subscribes to the camera's image and to the topics that rviz publishes.
        side = subscribed if name in ("/image", "/clicked_point") else published
        eventually(f"{name} of {kind}", lambda name=name, kind=kind, side=side: kind in topics(side).get(name, []))
    # The profiles of node and rviz are compatible in both directions.
    for part in wanted:
        name, policies = part["Topic"]["Value"], part["Topic"]
        ends = robot.peer.node.get_publishers_info_by_topic(name)
        assert policies["Durability Policy"] == "Volatile"
        for end in ends:
            assert policies["Reliability Policy"] == "Best Effort" or end.qos_profile.reliability.name == "RELIABLE"


def test_the_squares_of_the_plane_leave_no_gaps_for_usual_cameras() -> None:
    plane = next(p for p in parts() if p["Name"] == "Image plane")
    for field_of_view in (55, 70, 87):
        spacing = 2 * tan(radians(field_of_view / 2)) / 320
        assert spacing <= plane["Size (m)"] < 2.5 * spacing

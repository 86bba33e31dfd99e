"""Remapping, namespaces and node names work as in every ROS 2 node."""

from __future__ import annotations

from collections.abc import Callable

from promptseg_msgs.msg import MaskArray, PromptArray
from rcl_interfaces.msg import Log
from type_description_interfaces.srv import GetTypeDescription

from harness import eventually
from messages import image, prompt, prompts, whole_mask
from robot import Robot
from scenes import Scene, iou


def test_namespace_name_and_remapping(start_robot: Callable[..., Robot], scene: Scene) -> None:
    rules = ("__ns:=/robot1", "__node:=seg", "image:=/front/image_raw", "~/masks:=/robot1/things")
    robot = start_robot(ros_args=tuple(part for rule in rules for part in ("-r", rule)), prefix="/robot1/seg")
    robot.process.wait_ready()
    things = robot.peer.subscribe(MaskArray, "/robot1/things")
    robot.image_topic = "/front/image_raw"
    topics = dict(robot.peer.node.get_topic_names_and_types())

    def visible() -> bool:
        topics.update(robot.peer.node.get_topic_names_and_types())
        return {"/robot1/pixel", "/robot1/seg/labels", "/robot1/things", "/robot1/prompts"} <= set(topics)

    eventually("the topics in the namespace", visible)
    assert ("seg", "/robot1") in robot.peer.node.get_node_names_and_namespaces()

    def send() -> None:
        stamp = robot.stamp()
        robot.publish_image(image(scene.rgb, stamp))
        robot.peer.publish("/robot1/prompts", prompts(PromptArray.SET, prompt(box=scene.shapes[0].box), stamp=stamp))

    answer = robot.until_answered(send, things)
    assert iou(whole_mask(answer, answer.masks[0]), scene.truth[0]) >= 0.75
    log: Log = robot.rosout.wait("a log", lambda m: "ready" in m.msg)
    assert log.name == "robot1.seg"


def test_types_are_described_as_by_rclcpp(robot: Robot) -> None:
    """`~/get_type_description`, since Iron: returns fields and sources for the hash that the graph shows."""
    publisher = eventually("the masks", lambda: robot.peer.node.get_publishers_info_by_topic("/promptseg/masks"))[0]
    request = GetTypeDescription.Request(
        type_name=publisher.topic_type, type_hash=str(publisher.topic_type_hash), include_type_sources=True
    )
    answer = robot.peer.call(GetTypeDescription, "/promptseg/get_type_description", request)
    assert answer.successful, answer.failure_reason
    described = answer.type_description.type_description
    assert described.type_name == "promptseg_msgs/msg/MaskArray"
    assert {"header", "masks"} <= {field.name for field in described.fields}
    assert any(source.type_name == described.type_name for source in answer.type_sources)
    request.type_hash = "RIHS01_" + "0" * 64
    unknown = robot.peer.call(GetTypeDescription, "/promptseg/get_type_description", request)
    assert not unknown.successful and unknown.failure_reason

"""Remapping, namespaces and node names do what they do in every ROS 2 node."""

from __future__ import annotations

from collections.abc import Callable

from promptseg_msgs.msg import MaskArray, PromptArray
from rcl_interfaces.msg import Log

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

    def known() -> bool:
        topics.update(robot.peer.node.get_topic_names_and_types())
        return {"/robot1/pixel", "/robot1/seg/labels", "/robot1/things", "/robot1/prompts"} <= set(topics)

    eventually("the topics in the namespace", known)
    assert ("seg", "/robot1") in robot.peer.node.get_node_names_and_namespaces()

    def send() -> None:
        stamp = robot.stamp()
        robot.publish_image(image(scene.rgb, stamp))
        robot.peer.publish("/robot1/prompts", prompts(PromptArray.SET, prompt(box=scene.shapes[0].box), stamp=stamp))

    answer = robot.until_answered(send, things)
    assert iou(whole_mask(answer, answer.masks[0]), scene.truth[0]) >= 0.75
    log: Log = robot.rosout.wait("a log", lambda m: "ready" in m.msg)
    assert log.name == "robot1.seg"

"""Masks of everything: the service and the action ~/segment_everything, and the running mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from action_msgs.srv import CancelGoal
from builtin_interfaces.msg import Time
from promptseg_msgs.action import SegmentEverything as Action
from promptseg_msgs.msg import MaskArray
from promptseg_msgs.srv import SegmentEverything
from rcl_interfaces.msg import Parameter
from rclpy.action import ActionClient
from sensor_msgs.msg import RegionOfInterest

from harness import TIMEOUT, Inbox, Peer, eventually
from messages import image, stamp_of, whole_mask
from robot import GOOD, Robot, value_message
from scenes import DISK, Scene, iou

NAME = "/promptseg/segment_everything"
FIRST_ID = 10_001
# A small grid, which finds the shapes of the drawn scene, and one that takes longer than any test needs.
QUICK: dict[str, Any] = {"points_per_side": 8, "min_iou": 0.5, "min_stability": 0.5}
LONG: dict[str, Any] = {"points_per_side": 200}


def parameter(name: str, value: Any) -> Parameter:
    return Parameter(name=name, value=value_message(value))


class Goal:
    """A goal of the action: its feedback, and its result once it has ended."""

    def __init__(self, client: Client, **goal: Any) -> None:
        self.feedback = Inbox()
        self._peer = client.peer
        sent = self._peer.run(lambda: client.actions.send_goal_async(Action.Goal(**goal), feedback_callback=self.feedback.put))
        eventually("an answer to the goal", sent.done)
        self.handle = sent.result()
        assert self.handle.accepted
        self._result = self._peer.run(self.handle.get_result_async)

    def result(self) -> tuple[int, Action.Result]:
        eventually("the result of the goal", self._result.done)
        return self._result.result().status, self._result.result().result

    def cancel(self) -> CancelGoal.Response:
        cancelled = self._peer.run(self.handle.cancel_goal_async)
        eventually("an answer to the cancellation", cancelled.done)
        return cancelled.result()


class Client:
    """A client of the action with a node of its own."""

    def __init__(self, domain: int, name: str = "action_client") -> None:
        self.peer = Peer(domain, name)
        self.actions = ActionClient(self.peer.node, Action, NAME)
        assert self.actions.wait_for_server(TIMEOUT)

    def close(self) -> None:
        self.actions.destroy()
        self.peer.close()


@pytest.fixture
def start_client(robot: Robot) -> Iterator[Callable[..., Client]]:
    clients: list[Client] = []

    def start(*args: Any) -> Client:
        clients.append(Client(robot.domain, *args))
        return clients[-1]

    yield start
    for client in clients:
        client.close()


def ask(robot: Robot, **request: Any) -> SegmentEverything.Response:
    return robot.peer.call(SegmentEverything, NAME, SegmentEverything.Request(**request))


def assert_finds(result: MaskArray, scene: Scene) -> None:
    """Checks that each shape has a mask, and that masks are numbered from the largest to the smallest."""
    masks = [whole_mask(result, m) for m in result.masks]
    for truth in scene.truth:
        assert max(iou(mask, truth) for mask in masks) >= GOOD
    assert [m.object_id for m in result.masks] == [FIRST_ID + i for i in range(len(masks))]
    areas = [m.area for m in result.masks]
    assert areas == sorted(areas, reverse=True) and areas == [int(mask.sum()) for mask in masks]


def contents(result: MaskArray) -> list[tuple[Any, ...]]:
    """What two messages of the same masks have in common; scores that a model lacks are NaN, which equals nothing."""
    return [(m.object_id, m.iou, m.stability, m.area, m.roi, m.mask) for m in result.masks]


def count(robot: Robot, key: str) -> int:
    return int(robot.diagnostic_values(robot.diagnostics.mark())[key])


def test_a_frame_by_its_stamp_is_answered_and_published(robot: Robot, scene: Scene) -> None:
    earlier = robot.show(scene.rgb)
    robot.show(Scene(shapes=(DISK,)).rgb)
    marks = {name: inbox.mark() for name, inbox in robot.outputs.items()}
    answer = ask(robot, stamp=earlier, **QUICK)
    assert answer.success and answer.message == ""
    assert answer.result.header.stamp == earlier
    assert_finds(answer.result, scene)

    def published(name: str) -> Any:
        return robot.outputs[name].wait(f"{name} of the frame", lambda m: m.header.stamp == earlier, marks[name])

    ids = [m.object_id for m in answer.result.masks]
    assert contents(published("masks")) == contents(answer.result)
    labels = np.frombuffer(published("labels").data, "<u2")
    assert set(labels) - {0} <= set(ids) and len(set(labels)) > 3
    assert len(published("detections").detections) == len(ids)
    drawn = np.frombuffer(published("overlay").data, np.uint8).reshape(scene.rgb.shape)
    assert (drawn != scene.rgb).any(axis=2).mean() > 0.05


def test_an_image_of_its_own_is_answered_and_not_published(robot: Robot, scene: Scene) -> None:
    now = robot.show(Scene(shapes=(DISK,)).rgb)
    message = image(scene.rgb, robot.stamp())
    mark = robot.masks.mark()
    answer = ask(robot, image=message, **QUICK)
    assert answer.success, answer.message
    assert answer.result.header == message.header
    assert_finds(answer.result, scene)
    assert ask(robot, stamp=Time(), **QUICK).result.header.stamp == now
    published = {stamp_of(m) for m in robot.masks.all(mark)}
    assert (message.header.stamp.sec, message.header.stamp.nanosec) not in published


def test_parameters_of_one_request(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    everything = ask(robot, stamp=stamp, **QUICK).result.masks
    few = ask(robot, stamp=stamp, parameters=[parameter("everything.max_masks", 2)], **QUICK)
    assert len(few.result.masks) == 2
    assert f"{len(everything) - 2} masks were left out" in few.message
    large = ask(robot, stamp=stamp, **QUICK | {"min_area": 3000}).result.masks
    assert [m.area for m in large] == [m.area for m in everything if m.area >= 3000]
    disjoint = ask(robot, stamp=stamp, parameters=[parameter("everything.disjoint", "certain")], **QUICK).result
    assert max(sum(whole_mask(disjoint, m).astype(int) for m in disjoint.masks).flat) == 1
    again = ask(robot, stamp=stamp, **QUICK).result.masks
    assert len(again) == len(everything), "the node's parameters are unchanged"


def test_clicks_stay_in_the_region(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    x_min, y_min, x_max, y_max = (int(v) for v in scene.shapes[0].box)
    region = RegionOfInterest(x_offset=x_min, y_offset=y_min, width=x_max - x_min, height=y_max - y_min)
    answer = ask(robot, stamp=stamp, region=region, **QUICK | {"points_per_side": 16})
    assert answer.success, answer.message
    masks = [whole_mask(answer.result, m) for m in answer.result.masks]
    assert max(iou(mask, scene.truth[0]) for mask in masks) >= GOOD
    assert all(iou(mask, truth) < 0.5 for mask in masks for truth in scene.truth[1:])


def test_a_goal_has_feedback_and_the_masks_of_the_service(
    robot: Robot, scene: Scene, start_client: Callable[..., Client]
) -> None:
    stamp = robot.show(scene.rgb)
    goal = Goal(start_client(), stamp=stamp, parameters=[parameter("everything.points_per_batch", 4)], **QUICK)
    status, result = goal.result()
    assert status == GoalStatus.STATUS_SUCCEEDED
    assert result.success and result.message == ""
    assert result.result.header.stamp == stamp
    assert_finds(result.result, scene)
    feedback = [m.feedback for m in goal.feedback.all()]
    done = [f.points_done for f in feedback]
    assert done == sorted(done) and all(f.points == 64 for f in feedback)
    assert set(done) <= set(range(4, 65, 4)) and len(done) > 1
    masks = [f.masks for f in feedback]
    assert masks == sorted(masks)


def test_a_cancelled_goal_ends_and_clicks_go_on(
    robot: Robot, scene: Scene, start_client: Callable[..., Client]
) -> None:
    stamp = robot.show(scene.rgb)
    cancelled = count(robot, "generations cancelled")
    goal = Goal(start_client(), stamp=stamp, **LONG)
    goal.feedback.wait("feedback")
    assert robot.click(*scene.shapes[0].centre, stamp).masks, "a click is answered in between"
    assert count(robot, "generations running or waiting") == 1
    answer = goal.cancel()
    assert answer.return_code == CancelGoal.Response.ERROR_NONE and len(answer.goals_canceling) == 1
    status, result = goal.result()
    assert status == GoalStatus.STATUS_CANCELED
    assert not result.success and result.result.masks == []
    eventually("the cancellation", lambda: count(robot, "generations cancelled") == cancelled + 1)
    assert count(robot, "generations running or waiting") == 0
    assert goal.feedback.all()[-1].feedback.points_done < goal.feedback.all()[-1].feedback.points == 40_000
    assert goal.cancel().return_code == CancelGoal.Response.ERROR_GOAL_TERMINATED
    robot.click_answered(scene)


def test_requests_queue_or_supersede(robot: Robot, scene: Scene, start_client: Callable[..., Client]) -> None:
    stamp = robot.show(scene.rgb)
    client = start_client()
    first = Goal(client, stamp=stamp, parameters=[parameter("everything.points_per_batch", 4)], **QUICK)
    second = Goal(client, stamp=stamp, **QUICK)
    assert {first.result()[0], second.result()[0]} == {GoalStatus.STATUS_SUCCEEDED}
    robot.set(**{"everything.when_busy": "supersede"})
    superseded = count(robot, "generations superseded")
    first = Goal(client, stamp=stamp, **LONG)
    first.feedback.wait("feedback")
    assert ask(robot, stamp=stamp, **QUICK).success
    status, result = first.result()
    assert status == GoalStatus.STATUS_ABORTED
    assert "superseded by a newer request" in result.message
    assert count(robot, "generations superseded") == superseded + 1


def test_a_vanished_client_ends_its_generation(
    robot: Robot, scene: Scene, start_client: Callable[..., Client]
) -> None:
    stamp = robot.show(scene.rgb)
    cancelled = count(robot, "generations cancelled")
    client = Client(robot.domain, "vanishing_client")
    goal = Goal(client, stamp=stamp, **LONG)
    goal.feedback.wait("feedback")
    client.close()
    eventually("the end of the generation", lambda: count(robot, "generations cancelled") == cancelled + 1)
    assert count(robot, "generations running or waiting") == 0
    status, result = Goal(start_client(), stamp=stamp, **QUICK).result()
    assert status == GoalStatus.STATUS_SUCCEEDED, result.message


def test_a_vanished_client_of_the_service_ends_its_generation(
    start_robot: Callable[..., Robot], scene: Scene
) -> None:
    # A node of its own, because the other tests keep a client of the service.
    robot = start_robot().connect()
    stamp = robot.show(scene.rgb)
    cancelled = count(robot, "generations cancelled")
    client = Peer(robot.domain, "vanishing_caller")
    client.start_call(SegmentEverything, NAME, SegmentEverything.Request(stamp=stamp, **LONG))
    eventually("the generation", lambda: count(robot, "generations running or waiting") == 1)
    client.close()
    eventually("the end of the generation", lambda: count(robot, "generations cancelled") == cancelled + 1)
    assert ask(robot, stamp=stamp, **QUICK).success


def test_the_running_mode_segments_frames_until_it_is_switched_off(robot: Robot, scene: Scene) -> None:
    settings = {"points_per_side": 8, "pred_iou_thresh": 0.5, "stability_score_thresh": 0.5}
    robot.set(**{f"everything.{name}": value for name, value in settings.items()})
    robot.set(**{"everything.rate": 10.0})
    for _ in range(2):
        mark = robot.masks.mark()
        stamp = robot.show(scene.rgb)
        masks = robot.masks.wait("masks of everything", lambda m: m.masks and m.header.stamp == stamp, mark)
        assert_finds(masks, scene)
    robot.click_answered(scene)
    robot.set(**{"everything.rate": 0.0})
    eventually("the last generation", lambda: count(robot, "generations running or waiting") == 0)
    requested = count(robot, "generations requested")
    robot.show(scene.rgb)
    assert count(robot, "generations requested") == requested


def test_refusals_say_why_and_are_counted(robot: Robot, scene: Scene, start_client: Callable[..., Client]) -> None:
    stamp = robot.show(scene.rgb)
    robot.set(prompt_timeout=0.1)
    pixel = image(scene.rgb[:1, :1], robot.stamp())
    for request, kind, words in [
        ({"stamp": stamp, "points_per_side": 1000}, "bad_settings", "1000000 clicks"),
        ({"stamp": stamp, "parameters": [parameter("everything.points_per_side", 300)]}, "bad_settings", "0 to 256"),
        ({"stamp": stamp, "parameters": [parameter("everything.rate", 1.0)]}, "bad_settings", "for one request"),
        ({"stamp": stamp, "min_iou": 1.5}, "bad_settings", "pred_iou_thresh is 1.5"),
        ({"stamp": stamp, "min_stability": float("nan")}, "bad_settings", "stability_score_thresh is NaN"),
        (
            {"stamp": stamp, "region": RegionOfInterest(x_offset=400, width=50, height=50)},
            "outside_image",
            "320",
        ),
        ({"image": pixel}, "bad_image", "pixels"),
        ({"stamp": Time(sec=5)}, "frame_gone", "5.000000000 is gone"),
    ]:
        counted = robot.refused(kind)
        answer = ask(robot, **request)
        assert not answer.success and answer.result.masks == []
        assert words in answer.message, answer.message
        eventually(f"'refused: {kind}' above {counted}", lambda: robot.refused(kind) > counted)
    status, result = Goal(start_client(), stamp=stamp, points_per_side=1000).result()
    assert status == GoalStatus.STATUS_ABORTED and "1000000 clicks" in result.message
    assert ask(robot, stamp=stamp, **QUICK).success
    robot.click_answered(scene)

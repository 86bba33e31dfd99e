"""Boxes in metres: the node must prompt with the same box in the image as the reference in NumPy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from promptseg_msgs.msg import MaskArray
from vision_msgs.msg import Detection3D, Detection3DArray, ObjectHypothesisWithPose

from cameras import Lens, Rig, apply, later
from harness import eventually
from messages import FRAME_ID, header, prompt, whole_mask
from pointing import calibrate, drive
from robot import GOOD, Robot
from scenes import Scene, Shape, iou

LENS = Lens(model="", d=())
PARAMETERS = {
    "projection": "raw",
    "qos_overrides./prompts_3d.subscription.reliability": "reliable",
}


def box(centre: np.ndarray, size: tuple[float, float, float], name: str, class_id: str = "") -> Detection3D:
    message = Detection3D(id=name)
    p, s = message.bbox.center.position, message.bbox.size
    p.x, p.y, p.z = map(float, centre)
    s.x, s.y, s.z = map(float, size)
    message.bbox.center.orientation.w = 1.0
    best = ObjectHypothesisWithPose()
    best.hypothesis.class_id, best.hypothesis.score = class_id, 0.9
    message.results = [best]
    return message


def boxes(frame_id: str, stamp: Time, *all_boxes: Detection3D) -> Detection3DArray:
    return Detection3DArray(header=header(stamp, frame_id), detections=list(all_boxes))


def around(shape: Shape, depth: float, name: str, lens: Lens = LENS) -> Detection3D:
    """The thin box in the optical frame whose image is the box of a shape."""
    x0, y0, x1, y1 = shape.box
    near, far = lens.ray((x0 - 0.5, y0 - 0.5), depth), lens.ray((x1 - 0.5, y1 - 0.5), depth)
    return box((near + far) / 2, (far[0] - near[0], far[1] - near[1], 1e-3), name, shape.kind)


def send(robot: Robot, message: Detection3DArray) -> None:
    robot.peer.publish("prompts_3d", message)


def prompted(robot: Robot, scene: Scene, make: Callable[[Time], Detection3DArray]) -> MaskArray:
    """The answer to boxes on a new image. Again until the node has the calibration, which no message confirms."""

    def tried() -> MaskArray | None:
        calibrate(robot, LENS)
        before, stamp = robot.masks.mark(), robot.show(scene.rgb)
        send(robot, make(stamp))
        refused = robot.rosout.mark()

        def answered() -> list[MaskArray | None]:
            if [m for m in robot.rosout.all(refused) if "prompts_3d refused" in m.msg]:
                return [None]
            return [m for m in robot.masks.all(before) if m.header.stamp == stamp and m.masks]

        return eventually("masks or a refusal", answered)[0]

    return eventually("masks of boxes in metres", tried, timeout=60)


def test_a_box_in_the_optical_frame(robot: Robot, scene: Scene) -> None:
    robot.set(projection="raw")
    answer = prompted(
        robot, scene, lambda s: boxes(FRAME_ID, s, around(scene.shapes[0], 2.0, "7"), around(scene.shapes[1], 1.0, "8"))
    )
    assert [(m.object_id, m.class_id) for m in answer.masks] == [(7, "ellipse"), (8, "rectangle")]
    for mask, truth in zip(answer.masks, scene.truth, strict=False):
        assert iou(whole_mask(answer, mask), truth) >= GOOD
    # The same prompt in pixels has the same mask.
    x0, y0, x1, y1 = scene.shapes[0].box
    stamp = robot.show(scene.rgb)
    same = robot.add(prompt(9, box=(x0, y0, x1, y1)), stamp=stamp)
    (mask,) = [whole_mask(same, m) for m in same.masks if m.object_id == 9]
    assert iou(mask, whole_mask(answer, answer.masks[0])) > 0.99


def test_a_tracker_names_its_objects_in_its_own_words(robot: Robot, scene: Scene) -> None:
    robot.set(projection="raw")

    def make(names: tuple[str, str]) -> Callable[[Time], Detection3DArray]:
        return lambda s: boxes(FRAME_ID, s, *(around(t, 1.5, n) for t, n in zip(scene.shapes, names, strict=False)))

    first = prompted(robot, scene, make(("cup-a", "cup-b")))
    before = robot.detections.mark()
    again = prompted(robot, scene, make(("cup-b", "cup-a")))
    ids = {m.class_id: m.object_id for m in first.masks}
    assert {m.class_id: m.object_id for m in again.masks} == {"ellipse": ids["rectangle"], "rectangle": ids["ellipse"]}
    found = robot.detections.wait("detections", lambda m: m.header.stamp == again.header.stamp and len(m.detections) == 2, before)
    assert {d.id for d in found.detections} == {"cup-a", "cup-b"}


def test_a_box_in_the_map_of_a_camera_that_moves(robot: Robot, scene: Scene) -> None:
    robot.set(projection="raw", prompt_timeout=20.0)
    prompted(robot, scene, lambda s: boxes(FRAME_ID, s, around(scene.shapes[0], 1.0, "1")))
    robot.clear()
    rig = Rig(base="base_boxes", world="map_boxes")
    stamps = [robot.show(scene.rgb)]
    drive(robot, rig, stamps[0], steps=12)
    stamps += [robot.show(scene.rgb) for _ in range(4)]
    for i, shape in enumerate(scene.shapes):
        # The box belongs to image i + 1; newer images were taken from other poses.
        stamp = stamps[i + 1]
        local = around(shape, 1.5 + i, "3")
        p, s = local.bbox.center.position, local.bbox.size
        world = rig.camera_in_world(stamp)
        in_map = box(apply(world, np.array([p.x, p.y, p.z])), (s.x, s.y, s.z), "3", "thing")
        q = quaternion(world[:3, :3])
        o = in_map.bbox.center.orientation
        o.x, o.y, o.z, o.w = q
        answer = robot.ask(lambda m=in_map, t=stamp: send(robot, boxes(rig.world, t, m)), stamp, lambda m: bool(m.masks))
        assert [m.class_id for m in answer.masks] == ["thing"]
        assert iou(whole_mask(answer, answer.masks[0]), scene.truth[i]) >= GOOD


def quaternion(r: np.ndarray) -> tuple[float, float, float, float]:
    """x, y, z, w of a rotation matrix: the eigenvector of the largest eigenvalue (Bar-Itzhack)."""
    k = np.array([
        [r[0, 0] - r[1, 1] - r[2, 2], r[1, 0] + r[0, 1], r[2, 0] + r[0, 2], r[2, 1] - r[1, 2]],
        [r[1, 0] + r[0, 1], r[1, 1] - r[0, 0] - r[2, 2], r[2, 1] + r[1, 2], r[0, 2] - r[2, 0]],
        [r[2, 0] + r[0, 2], r[2, 1] + r[1, 2], r[2, 2] - r[0, 0] - r[1, 1], r[1, 0] - r[0, 1]],
        [r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], r[0, 0] + r[1, 1] + r[2, 2]],
    ])  # fmt: skip
    x, y, z, w = np.linalg.eigh(k)[1][:, -1]
    return float(x), float(y), float(z), float(w)


def test_a_box_whose_transform_is_missing_does_not_delay_clicks(robot: Robot, scene: Scene) -> None:
    robot.set(projection="raw")
    prompted(robot, scene, lambda s: boxes(FRAME_ID, s, around(scene.shapes[0], 1.0, "1")))
    robot.clear()
    robot.set(prompt_timeout=20.0)
    rig = Rig(base="base_late_boxes", world="map_late_boxes")
    stamp = robot.show(scene.rgb)
    send(robot, boxes(rig.world, stamp, box(np.array([0, 0, 1.0]), (9.0, 9.0, 9.0), "5", "late")))
    # The first clicks may overtake the box on the way to the node.
    for _ in range(5):
        assert [m.class_id for m in robot.click(*scene.shapes[1].centre, stamp).masks] == [""]
    # The camera is inside the box, which covers the image.
    before = robot.masks.mark()
    drive(robot, rig, later(stamp, -100), steps=4)
    robot.masks.wait("the late box", lambda m: "late" in [o.class_id for o in m.masks], before)


def test_boxes_that_the_camera_does_not_see_are_left_out(robot: Robot, scene: Scene) -> None:
    robot.set(projection="raw", prompt_timeout=0.5)
    behind = box(np.array([0, 0, -2.0]), (0.2, 0.2, 0.2), "behind")
    beside = box(np.array([9.0, 0, 2.0]), (0.2, 0.2, 0.2), "beside")
    answer = prompted(robot, scene, lambda s: boxes(FRAME_ID, s, around(scene.shapes[0], 2.0, "1")))
    robot.clear()

    def mixed() -> None:
        stamp = robot.show(scene.rgb)
        before = robot.masks.mark()
        send(robot, boxes(FRAME_ID, stamp, behind, around(scene.shapes[0], 2.0, "1")))
        answer = robot.masks.wait("the box in view", lambda m: m.header.stamp == stamp and m.masks, before)
        assert [m.object_id for m in answer.masks] == [1]

    assert answer
    robot.expect_refusal("behind_camera", "box 'behind'", mixed)
    for kind, words, hidden in [("behind_camera", "box 'behind'", behind), ("outside_image", "box 'beside'", beside)]:
        robot.expect_refusal(kind, words, lambda h=hidden: send(robot, boxes(FRAME_ID, robot.show(scene.rgb), h)))


BAD: dict[str, tuple[str, str, Callable[[Time], Detection3DArray]]] = {
    "no frame": ("bad_prompt", "header.frame_id is empty", lambda s: boxes("", s, box(np.ones(3), (1, 1, 1), "1"))),
    "nan": ("bad_prompt", "not finite", lambda s: boxes(FRAME_ID, s, box(np.array([0, 0, np.nan]), (1, 1, 1), "1"))),
    "no size": ("bad_prompt", "expected lengths in metres", lambda s: boxes(FRAME_ID, s, box(np.ones(3), (0, 0, 0), "1"))),
    "twice": ("bad_prompt", "the id 'a' is given twice",
              lambda s: boxes(FRAME_ID, s, *(box(np.ones(3), (1, 1, 1), "a") for _ in range(2)))),
    "an unknown frame": ("no_transform", 'boxes in "nowhere": ', lambda s: boxes("nowhere", s, box(np.ones(3), (1, 1, 1), "1"))),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_boxes_are_refused(robot: Robot, scene: Scene, name: str) -> None:
    kind, words, make = BAD[name]
    robot.set(projection="raw", prompt_timeout=0.2)
    robot.expect_refusal(kind, words, lambda: send(robot, make(robot.show(scene.rgb))))


def test_an_orientation_that_was_not_filled_in_is_refused(robot: Robot, scene: Scene) -> None:
    message = box(np.ones(3), (1, 1, 1), "1")
    message.bbox.center.orientation.w = 0.0
    robot.expect_refusal(
        "bad_prompt", "orientation of length 0.000", lambda: send(robot, boxes(FRAME_ID, robot.show(scene.rgb), message))
    )

"""Images of classes: what the costmap layer of kiwicampus/semantic_segmentation_layer takes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from sensor_msgs.msg import Image
from vision_msgs.msg import LabelInfo

from harness import LATCHED, Inbox, eventually
from messages import detection, pixels, whole_mask
from robot import Robot
from scenes import Scene


class ClassCamera:
    """A subscriber of the classes of one camera."""

    def __init__(self, robot: Robot) -> None:
        self.robot = robot
        self.classes: Inbox = robot.peer.subscribe(Image, "/promptseg/classes", 50)
        self.confidence: Inbox = robot.peer.subscribe(Image, "/promptseg/confidence", 50)
        self.labels: Inbox = robot.peer.subscribe(LabelInfo, "/promptseg/label_info", LATCHED)

    def of(self, stamp: Time, since: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """The images of the stamp, as exact synchronisation by stamp pairs them."""
        inboxes = (self.classes, self.confidence)
        found = [i.wait("an image of classes", lambda m: m.header.stamp == stamp, n) for i, n in zip(inboxes, since, strict=True)]
        assert all((m.encoding, m.step) == ("mono8", m.width) for m in found)
        return pixels(found[0]), pixels(found[1])

    def mark(self) -> tuple[int, int]:
        return self.classes.mark(), self.confidence.mark()

    def table(self) -> dict[str, int]:
        return {c.class_name: c.class_id for c in self.labels.all()[-1].class_map}

    def connect(self, scene: Scene) -> ClassCamera:
        """Waits until both images arrive: DDS discovers each topic at a different time."""

        def arrived() -> bool:
            stamp = self.robot.show(scene.rgb)
            self.robot.detect(stamp, detection(scene.shapes[0].box, "disk", "a"))
            return bool(self.classes.mark() and self.confidence.mark())

        eventually("images of classes", arrived)
        return self


@pytest.fixture(scope="module")
def classes(shared_robot: Robot, scene: Scene) -> ClassCamera:
    return ClassCamera(shared_robot).connect(scene)


def test_each_pixel_has_the_class_and_the_confidence_of_its_object(robot: Robot, classes: ClassCamera, scene: Scene) -> None:
    stamp, before = robot.show(scene.rgb), classes.mark()
    boxes = [detection(s.box, name, name) for s, name in zip(scene.shapes, ("disk", "card", "disk"), strict=True)]
    masks = robot.detect(stamp, *boxes)
    found, confidence = classes.of(stamp, before)
    eventually("the table", lambda: {"disk", "card"} <= set(classes.table()))
    expected, certain = np.zeros_like(found), np.zeros_like(found)
    for mask in masks.masks:
        inside = whole_mask(masks, mask)
        expected[inside] = classes.table()[mask.class_id]
        certain[inside] = round(mask.iou * 255)
    assert np.array_equal(found, expected)
    assert np.abs(confidence.astype(int) - certain).max() <= 1 and (confidence[found == 0] == 0).all()
    assert classes.table()["disk"] == 1, "the first that appeared"


def test_a_late_subscriber_has_the_table(robot: Robot, classes: ClassCamera) -> None:
    late = robot.peer.subscribe(LabelInfo, "/promptseg/label_info", LATCHED)
    found = late.wait("the table")
    assert {c.class_name: c.class_id for c in found.class_map} == classes.table()


def test_the_table_of_the_parameter_is_stable_and_other_classes_are_refused(
    robot: Robot, classes: ClassCamera, scene: Scene
) -> None:
    robot.set(**{"classes.names": ["egg", "card"]})
    stamp, before = robot.show(scene.rgb), classes.mark()
    robot.detect(stamp, detection(scene.shapes[1].box, "card", "a"), detection(scene.shapes[2].box, "egg", "b"))
    found, _ = classes.of(stamp, before)
    eventually("the table", lambda: classes.table() == {"egg": 1, "card": 2})
    assert (found[75, 235], found[182, 215], found[100, 80]) == (2, 1, 0)

    def other() -> None:
        stamp, before = robot.show(scene.rgb), classes.mark()
        robot.detect(stamp, detection(scene.shapes[0].box, "disk", "c"))
        assert not classes.of(stamp, before)[0].any()

    robot.expect_refusal("unknown_class", "class 'disk' is not in classes.names (egg, card)", other)
    # Clicks are of the class `object`, which is not in the table either.
    robot.set(**{"classes.unnamed": "egg"})
    stamp, before = robot.show(scene.rgb), classes.mark()
    robot.click(*scene.shapes[0].centre, stamp)
    assert classes.of(stamp, before)[0][100, 80] == 1


def test_the_table_is_checked(robot: Robot) -> None:
    for names, words in [
        ([f"class {i}" for i in range(256)], "'classes.names' is a list of 256 names, expected at most 255"),
        (["a", "b", "a"], "'classes.names' is 'a', expected different names"),
        (["a", ""], "'classes.names' is '', expected different names, none of them empty"),
    ]:
        result = robot.set_parameter("classes.names", names)
        assert not result.successful and words in result.reason, result.reason


def test_overlapping_objects_share_no_pixel(robot: Robot, classes: ClassCamera, scene: Scene) -> None:
    # The box around everything is answered with a mask that overlaps the one of the card, or with none of its pixels.
    stamp = robot.show(scene.rgb)
    x0, y0, x1, y1 = scene.shapes[1].box
    boxes = detection((x0, y0, x1, y1), "card", "a"), detection((x0, y0, (x0 + x1) // 2, y1), "half", "b")
    for on_top in ("smaller", "certain"):
        robot.set(**{"classes.on_top": on_top})
        before = classes.mark()
        masks = robot.detect(stamp, *boxes)
        found, _ = classes.of(stamp, before)
        order = sorted(masks.masks, key=lambda m: -m.area if on_top == "smaller" else round(m.iou * 255))
        expected = np.zeros_like(found)
        for mask in order:
            expected[whole_mask(masks, mask)] = classes.table()[mask.class_id]
        assert np.array_equal(found, expected)


def test_the_table_is_there_before_the_first_image(start_robot: Callable[..., Robot]) -> None:
    robot = start_robot({"classes.names": "[road, grass]"})
    robot.process.wait_ready()
    found = robot.peer.subscribe(LabelInfo, "/promptseg/label_info", LATCHED).wait("the table")
    assert [(c.class_id, c.class_name) for c in found.class_map] == [(1, "road"), (2, "grass")]

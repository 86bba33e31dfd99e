"""A click or a box gives the mask of the shape at that place, and all outputs agree."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from geometry_msgs.msg import Point
from promptseg_msgs.msg import MaskArray
from sensor_msgs.msg import RegionOfInterest

from messages import ids, masks_by_id, pixels, prompt, stamp_of, whole_mask
from robot import Robot
from scenes import Scene, iou

# Lowest IoU that the small bundled model must reach on plain shapes.
GOOD = 0.75
SHAPES = range(3)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_click_gives_the_mask_of_the_thing_under_it(robot: Robot, scene: Scene, shape: int) -> None:
    stamp = robot.show(scene.rgb)
    answer = robot.click(*scene.shapes[shape].centre, stamp)
    assert ids(answer) == [1]
    assert iou(whole_mask(answer, answer.masks[0]), scene.truth[shape]) >= GOOD


@pytest.mark.parametrize("shape", SHAPES)
def test_a_box_gives_the_mask_of_the_thing_in_it(robot: Robot, scene: Scene, shape: int) -> None:
    stamp = robot.show(scene.rgb)
    answer = robot.add(prompt(box=scene.shapes[shape].box, class_id="thing"), stamp=stamp)
    assert answer.masks[0].class_id == "thing"
    assert iou(whole_mask(answer, answer.masks[0]), scene.truth[shape]) >= GOOD


def test_a_point_without_stamp_is_for_the_newest_frame(robot: Robot, scene: Scene) -> None:
    robot.show(Scene(shapes=()).rgb)
    stamp = robot.show(scene.rgb)
    x, y = scene.shapes[0].centre
    answer = robot.ask(lambda: robot.peer.publish("point", Point(x=x, y=y)), stamp)
    assert iou(whole_mask(answer, answer.masks[0]), scene.truth[0]) >= GOOD


def test_a_region_is_a_box(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    x0, y0, x1, y1 = scene.shapes[1].box
    region = RegionOfInterest(x_offset=x0, y_offset=y0, width=x1 - x0, height=y1 - y0)
    by_region = robot.ask(lambda: robot.peer.publish("region", region), stamp)
    assert iou(whole_mask(by_region, by_region.masks[0]), scene.truth[1]) >= GOOD
    robot.clear()
    stamp = robot.show(scene.rgb)
    by_box = robot.add(prompt(box=scene.shapes[1].box), stamp=stamp)
    assert np.array_equal(whole_mask(by_region, by_region.masks[0]), whole_mask(by_box, by_box.masks[0]))


def test_every_output_has_the_header_of_its_image(robot: Robot, scene: Scene) -> None:
    marks = {name: inbox.mark() for name, inbox in robot.outputs.items()}
    stamp = robot.show(scene.rgb)
    answer = robot.click(*scene.shapes[0].centre, stamp)
    for name, inbox in robot.outputs.items():
        message = inbox.wait(f"{name} of {stamp}", lambda m: m.header.stamp == stamp, marks[name])
        assert message.header == answer.header, name
        assert message.header.frame_id == "camera_optical_frame", name
    assert answer.masks[0].mask.header == answer.header
    detection = robot.detections.all(marks["detections"])[-1].detections[0]
    assert detection.header == answer.header


def test_mask_labels_and_masks_agree(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    objects = [prompt(object_id=number, box=shape.box) for number, shape in zip((3, 7, 300), scene.shapes)]
    before = {name: inbox.mark() for name, inbox in robot.outputs.items()}
    answer = robot.add(*objects, stamp=stamp)
    assert ids(answer) == [3, 7, 300]
    assert (answer.width, answer.height) == (scene.width, scene.height)

    mask = robot.mask.wait("the mask", lambda m: m.header.stamp == stamp, before["mask"])
    labels = robot.labels.wait("the labels", lambda m: m.header.stamp == stamp, before["labels"])
    assert (mask.encoding, mask.width, mask.height, mask.step) == ("mono8", scene.width, scene.height, scene.width)
    assert (labels.encoding, labels.width, labels.height) == ("mono16", scene.width, scene.height)
    by_id = masks_by_id(answer)
    assert set(np.unique(pixels(mask))) <= {0, 255}
    assert np.array_equal(pixels(mask) == 255, np.any(list(by_id.values()), axis=0))
    assert np.array_equal(pixels(labels) > 0, pixels(mask) == 255)
    claimed = np.sum(list(by_id.values()), axis=0)
    for number, one in by_id.items():
        # Where two masks meet, the label is that of one mask.
        assert (pixels(labels)[one & (claimed == 1)] == number).all()


def test_what_is_said_about_an_object_fits_its_mask(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    result = robot.click(*scene.shapes[2].centre, stamp)
    one = result.masks[0]
    mask = whole_mask(result, one)
    ys, xs = np.nonzero(mask)
    roi = one.roi
    assert one.area == np.count_nonzero(mask) > 0
    assert (roi.x_offset, roi.y_offset) == (xs.min(), ys.min())
    assert (roi.x_offset + roi.width, roi.y_offset + roi.height) == (xs.max() + 1, ys.max() + 1)
    assert 0 <= one.iou <= 1
    assert 0 <= one.stability <= 1
    assert one.iou == pytest.approx(max(one.candidate_ious), abs=1e-6) or len(one.candidate_ious) == 1
    assert np.isnan(one.object_score)
    assert result.model
    assert 0 < result.encode_s < 10 and 0 < result.decode_s < 10, "in seconds"


def test_detections_are_the_tight_boxes_of_the_masks(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    before = robot.detections.mark()
    answer = robot.add(prompt(object_id=4, box=scene.shapes[0].box, class_id="disk"), stamp=stamp)
    detected = robot.detections.wait("detections", lambda m: m.header.stamp == stamp, before).detections
    one, roi = answer.masks[0], answer.masks[0].roi
    assert len(detected) == 1
    assert detected[0].id == "4"
    assert detected[0].results[0].hypothesis.class_id == "disk"
    assert detected[0].results[0].hypothesis.score == pytest.approx(one.iou, abs=1e-6)
    box = detected[0].bbox
    assert (box.size_x, box.size_y, box.center.theta) == (roi.width, roi.height, 0)
    assert box.center.position.x == roi.x_offset + roi.width / 2
    assert box.center.position.y == roi.y_offset + roi.height / 2


def test_the_overlay_shows_the_picture_and_colours_the_object(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    before = robot.overlay.mark(), robot.overlay_compressed.mark()
    answer = robot.click(*scene.shapes[0].centre, stamp)
    overlay = robot.overlay.wait("the overlay", lambda m: m.header.stamp == stamp, before[0])
    assert (overlay.encoding, overlay.width, overlay.height) == ("rgb8", scene.width, scene.height)
    changed = (pixels(overlay).astype(int) != scene.rgb).any(axis=-1)
    mask = whole_mask(answer, answer.masks[0])
    assert changed[mask].mean() > 0.9
    # Away from the object, its contour and its caption, the image is unchanged.
    assert not changed[-60:, -60:].any()
    jpeg = robot.overlay_compressed.wait("the JPEG", lambda m: m.header.stamp == stamp, before[1])
    # image_transport needs this to distinguish red and blue.
    assert jpeg.format == "rgb8; jpeg compressed bgr8" and bytes(jpeg.data[:3]) == b"\xff\xd8\xff"
    assert stamp_of(jpeg) == stamp_of(answer)


ABOUT_OBJECTS = ("mask", "labels", "masks", "detections")


def test_a_frame_without_objects_has_an_overlay_only(robot: Robot, scene: Scene) -> None:
    before = {name: robot.outputs[name].mark() for name in ABOUT_OBJECTS}
    stamp = robot.show(scene.rgb)
    # The overlay is the last output of a frame; the overlay of the next frame follows all outputs of this frame.
    robot.show(scene.rgb)
    for name, mark in before.items():
        assert [m for m in robot.outputs[name].all(mark) if m.header.stamp == stamp] == [], name


def test_a_frame_without_objects_is_published_empty_on_request(robot: Robot, scene: Scene) -> None:
    robot.set({"output.publish_empty": True})
    before = {name: robot.outputs[name].mark() for name in ABOUT_OBJECTS}
    stamps = [robot.show(scene.rgb) for _ in range(3)]
    for stamp in stamps:
        empty = {
            name: robot.outputs[name].wait(f"an empty {name}", lambda m: m.header.stamp == stamp, mark)
            for name, mark in before.items()
        }
        assert len({str(m.header) for m in empty.values()}) == 1
        assert (empty["mask"].encoding, empty["labels"].encoding) == ("mono8", "mono16")
        for name in ("mask", "labels"):
            assert pixels(empty[name]).shape == (scene.height, scene.width) and not pixels(empty[name]).any()
        assert (empty["masks"].height, empty["masks"].width) == (scene.height, scene.width)
        assert empty["masks"].masks == [] and empty["masks"].model and empty["masks"].encode_s > 0
        assert empty["detections"].detections == []
    answer = robot.click(*scene.shapes[0].centre, stamps[-1])
    assert ids(answer) == [1], "a click on a frame that was published empty is answered on it"


# ------------------------------------------------------------------------------------------------- run lengths

PAGE = Path(__file__).resolve().parents[2] / "docs" / "interfaces.md"


def decoded_as_documented(message: MaskArray) -> dict[int, np.ndarray]:
    """Decodes a message as the Python code in docs/interfaces.md does."""
    [snippet] = [code for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S) if "pycocotools" in code]
    names = {"message": message}
    exec(snippet, names)
    return names["masks"]


def test_masks_as_run_lengths_are_the_raw_ones(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    objects = [prompt(object_id=n, box=shape.box) for n, shape in enumerate(scene.shapes, 1)]
    raw = robot.add(*objects, stamp=stamp)
    assert [m.rle_counts for m in raw.masks] == ["", "", ""]
    robot.set({"output.mask_encoding": "rle"})
    packed = robot.add(*objects, stamp=stamp)
    assert all((m.mask.height, m.mask.width, len(m.mask.data)) == (0, 0, 0) for m in packed.masks)
    assert [m.mask.header for m in packed.masks] == [packed.header] * 3
    masks, expected = decoded_as_documented(packed), masks_by_id(raw)
    assert list(masks) == list(expected) == [1, 2, 3]
    for number, mask in masks.items():
        assert mask.shape == (scene.height, scene.width) and np.array_equal(mask > 0, expected[number])
    assert [(m.roi, m.area, m.iou) for m in packed.masks] == [(m.roi, m.area, m.iou) for m in raw.masks]
    reply = robot.segment(stamp=stamp, objects=objects[:1]).result
    assert reply.masks[0].rle_counts == "" and np.array_equal(whole_mask(reply, reply.masks[0]), expected[1])

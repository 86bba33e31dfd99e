"""Points of objects in metres against NumPy: clouds, what a costmap takes, and the service."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from promptseg_msgs.srv import GetCloud
from sensor_msgs.msg import Image, PointCloud2
from vision_msgs.msg import LabelInfo

from depth_camera import LENS, points_of, reference
from depth_robot import PARAMETERS, SLOPE, certain, detections, of_click, robot, send
from harness import LATCHED, Inbox, eventually
from messages import detection, whole_mask
from pointing import calibrate
from robot import Robot
from scenes import HEIGHT, WIDTH, Scene


def test_the_cloud_has_the_points_of_depth_image_proc(
    robot: Robot, detections: Inbox, scene: Scene, certain: np.ndarray
) -> None:
    clouds = robot.peer.subscribe(PointCloud2, "/promptseg/cloud", 50)
    of_click(robot, detections, scene)

    def cloud() -> tuple[PointCloud2, dict[int, np.ndarray]]:
        before, masks, stamp = clouds.mark(), robot.masks.mark(), robot.show(scene.rgb)
        send(robot, stamp)
        answer = robot.masks.wait("masks", lambda m: m.header.stamp == stamp, masks)
        found = clouds.wait("a cloud", lambda m: m.header.stamp == stamp, before)
        return found, {m.object_id: whole_mask(answer, m) for m in answer.masks}

    dense, masks = cloud()
    points, colours, labels = points_of(dense)
    (object_id, mask), = masks.items()
    expected = reference(mask, SLOPE, certain)
    assert (dense.height, dense.width, dense.is_dense) == (1, len(expected.points), True)
    assert np.abs(points - expected.points).max() < 1e-5
    assert np.array_equal(colours, scene.rgb[expected.v, expected.u]) and set(labels) == {object_id}

    robot.set(**{"depth.cloud": "organised"})
    organised, masks = cloud()
    assert (organised.height, organised.width, organised.is_dense) == (HEIGHT, WIDTH, False)
    points, colours, labels = points_of(organised)
    there = np.zeros((HEIGHT, WIDTH), bool)
    there[expected.v, expected.u] = True
    assert np.array_equal(np.isfinite(points).all(1), there.ravel())
    assert np.array_equal(labels, np.where(there, object_id, 0).ravel())
    assert np.abs(points[there.ravel()] - expected.points).max() < 1e-5

    robot.set(**{"depth.cloud": "dense", "depth.voxel_size": 0.02})
    points = points_of(cloud()[0])[0]
    cubes = {tuple(c) for c in np.floor(expected.points / 0.02).astype(int)}
    assert 0.98 * len(cubes) <= len(points) <= 1.02 * len(cubes)


def test_classes_and_cloud_are_what_the_costmap_layer_takes(robot: Robot, detections: Inbox, scene: Scene) -> None:
    """The steps of SegmentationBuffer::bufferSegmentation in kiwicampus/semantic_segmentation_layer, in the optical frame."""
    clouds = robot.peer.subscribe(PointCloud2, "/promptseg/cloud", 50)
    classes = robot.peer.subscribe(Image, "/promptseg/classes", 50)
    confidences = robot.peer.subscribe(Image, "/promptseg/confidence", 50)
    labels = robot.peer.subscribe(LabelInfo, "/promptseg/label_info", LATCHED)
    robot.set(**{"depth.cloud": "organised"})
    of_click(robot, detections, scene)
    robot.clear()

    def synchronised() -> tuple[PointCloud2, Image, Image] | None:
        marks = [i.mark() for i in (clouds, classes, confidences)]
        stamp = robot.show(scene.rgb)
        send(robot, stamp)
        robot.detect(stamp, *(detection(s.box, s.kind, s.kind) for s in scene.shapes[:2]))
        found = [
            i.wait("a message of the stamp", lambda m: m.header.stamp == stamp, n)
            for i, n in zip((clouds, classes, confidences), marks, strict=True)
        ]
        return (found[0], found[1], found[2]) if np.isfinite(points_of(found[0])[0]).any() else None

    cloud, segmentation, confidence = eventually("a cloud with its classes", synchronised, timeout=60)
    # What the layer checks first.
    assert segmentation.width * segmentation.height == cloud.width * cloud.height
    assert len(segmentation.data) == len(confidence.data) == cloud.width * cloud.height
    kinds = {s.kind for s in scene.shapes[:2]}
    # The table grows with the classes that appear; the layer takes each one.
    table = labels.wait("the table", lambda m: kinds <= {c.class_name for c in m.class_map})
    names = {c.class_id: c.class_name for c in table.class_map}
    best: dict[tuple[int, int], int] = {}
    for i, point in enumerate(points_of(cloud)[0]):
        if np.isfinite(point[2]):
            tile = (int(point[0] // 0.05), int(point[1] // 0.05))
            if tile not in best or confidence.data[i] > confidence.data[best[tile]]:
                best[tile] = i
    marked = {tile: names.get(segmentation.data[i]) for tile, i in best.items()}
    # Every cell with a point has a class of the table, and both objects have cells.
    assert set(marked.values()) == kinds
    for shape in scene.shapes[:2]:
        u, v = map(round, shape.centre)
        x, y = (u - LENS.cx) / LENS.fx * SLOPE[v, u], (v - LENS.cy) / LENS.fy * SLOPE[v, u]
        assert marked[int(x // 0.05), int(y // 0.05)] == shape.kind


def test_the_service_has_the_points_of_an_object(start_robot: Callable[..., Robot], scene: Scene) -> None:
    robot = start_robot(PARAMETERS).connect()

    def call(object_id: int) -> Any:
        return robot.peer.start_call(GetCloud, "/promptseg/get_cloud", GetCloud.Request(object_id=object_id))

    def answer(object_id: int) -> GetCloud.Response:
        future = call(object_id)
        eventually("an answer of get_cloud", future.done)
        return future.result()

    stamp = robot.show(scene.rgb)
    robot.click(*scene.shapes[0].centre, stamp)
    robot.trigger("new_object")
    masks = robot.click(*scene.shapes[1].centre, stamp)
    refused = answer(7)
    assert not refused.success and "there is no object 7 on the newest image" in refused.message
    assert "its objects are [1, 2]" in refused.message
    # Nobody subscribes: the request itself makes the node subscribe to depth.
    late = answer(2)
    assert not late.success and "object 2 not measured: no depth image has arrived on '/depth'" in late.message

    def answered(object_id: int) -> GetCloud.Response | None:
        calibrate(robot, LENS)
        future = call(object_id)
        send(robot, stamp)
        eventually("an answer of get_cloud", future.done)
        return future.result() if future.result().success else None

    # The masks were decoded before anybody asked for metres, without their certain parts: they are eroded.
    expected = {m.object_id: reference(whole_mask(masks, m), SLOPE) for m in masks.masks}
    one = eventually("the cloud of the card", lambda: answered(2), timeout=60)
    points, colours, labels = points_of(one.cloud)
    assert np.abs(points - expected[2].points).max() < 1e-5 and set(labels) == {2}
    assert np.array_equal(one.pixels, expected[2].v * WIDTH + expected[2].u) and (one.width, one.height) == (WIDTH, HEIGHT)
    assert np.array_equal(colours, scene.rgb[expected[2].v, expected[2].u])
    both = eventually("the cloud of both", lambda: answered(0))
    points = points_of(both.cloud)[0]
    assert [o.object_id for o in both.objects] == [1, 2]
    for o in both.objects:
        assert np.abs(points[np.array(o.indices)] - expected[o.object_id].points).max() < 1e-5

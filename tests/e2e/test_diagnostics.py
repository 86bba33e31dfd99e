"""/diagnostics by its documented keys and levels, and the same numbers for Prometheus."""

from __future__ import annotations

import json
import re
import shutil
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus

from harness import NodeProcess, Peer, eventually
from messages import detection, image, pixel
from robot import Robot
from scenes import Scene

BUNDLE = Path(__file__).resolve().parents[1] / "golden" / "sam"
KEYS = """model, model hash, encoder provider, decoder provider, better providers, provider notes, images in (1/s), images encoded (1/s),
images lost by the middleware (1/s), images superseded by a newer one (1/s), results (1/s), masks (1/s), images in,
images lost by the middleware, images encoded, images superseded by a newer one, images nobody needed,
images late, encoder, results, masks,
prompts waiting, detections and questions waiting, images to encode for prompts, generations running or waiting,
generations requested, generations finished, generations refused, generations cancelled, generations superseded,
masks left out of generations,
detections not taken (score, class, number), objects, objects lost, objects (MB), kept frames, kept frames (MB), most kept frames,
most kept frames (MB),
kept images, kept images (MB), resident memory (MB), panics"""
STAGES = "image wait, convert, preprocess, encode, prompt wait, decode, postprocess, publish, depth, image to masks, prompt to masks, generation, text search"
PARAMETERS = {"metrics_address": "127.0.0.1:0"}
OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


def listed(keys: str) -> list[str]:
    # A comma within brackets is part of the key.
    return [" ".join(key.split()) for key in re.split(r",\s+(?![^(]*\))", keys)]


def wait_level(robot: Robot, level: bytes, words: str, send: Callable[[], object]) -> None:
    """Sends input until the diagnostics have the level and the words."""

    def reached() -> bool:
        before = robot.diagnostics.mark()
        end = time.monotonic() + 1.6
        while time.monotonic() < end:
            send()
            if any(m.status[0].level == level and words in m.status[0].message for m in robot.diagnostics.all(before)):
                return True
            time.sleep(0.05)
        return False

    eventually(f"level {level!r} with '{words}'", reached, 30)


def test_the_documented_keys_are_there(robot: Robot, scene: Scene) -> None:
    stamp = robot.show(scene.rgb)
    robot.click(60, 60, stamp)
    robot.detect(stamp, detection((20, 20, 60, 60), "disk", "1"))
    robot.show(scene.rgb)
    values = robot.diagnostic_values(robot.diagnostics.mark() + 1)
    assert set(listed(KEYS)) <= set(values), set(listed(KEYS)) - set(values)
    assert re.fullmatch("[0-9a-f]{16}", values["model hash"])
    assert values["objects"] == "1"
    assert float(values["resident memory (MB)"]) > 20
    for stage in listed(STAGES):
        p50, p95, most = (float(values[f"{stage} {statistic} (ms)"]) for statistic in ("p50", "p95", "max"))
        assert 0 <= p50 <= p95 <= most, stage
    for stage in ("encode", "decode", "image to masks"):
        assert float(values[f"{stage} max (ms)"]) > 0, stage
    words = {"model", "model hash", "encoder provider", "decoder provider", "tracking", "encoder", "better providers", "provider notes"}
    for key in values.keys() - words:
        float(values[key])  # one plain number for each key, its unit in the key


def test_the_machine_is_named(robot: Robot) -> None:
    robot.diagnostic_values(robot.diagnostics.mark())
    assert all(socket.gethostname() in status.hardware_id for status in robot.diagnostics.all()[-1].status)


def test_levels(robot: Robot, scene: Scene) -> None:
    def show() -> None:
        robot.publish_image(image(scene.rgb, robot.stamp()))

    wait_level(robot, OK, "images/s", show)
    wait_level(robot, WARN, "no images: does the camera publish on '/image'?", lambda: None)

    def bad() -> None:
        show()
        robot.send_click(-500, 10)

    wait_level(robot, WARN, "inputs refused", bad)
    wait_level(robot, OK, "images/s", show)


def test_a_late_image_is_counted_and_warned_about(robot: Robot, scene: Scene) -> None:
    before, later = robot.stamp(), robot.stamp()
    robot.show_message(image(scene.rgb, later))
    late = int(robot.diagnostic_values(robot.diagnostics.mark())["images late"])
    robot.publish_image(image(scene.rgb, before))
    eventually("the late image", lambda: int(robot.diagnostic_values()["images late"]) == late + 1)
    # A click with the stamp of the late image is answered on it.
    assert robot.click(60, 60, before).header.stamp == before


def test_a_model_that_fails_is_an_error(start_robot: Callable[..., Robot], tmp_path: Path) -> None:
    # The bundle claims that it takes no masks, which is only checked when the decoder runs.
    bundle = tmp_path / "bundle"
    shutil.copytree(BUNDLE, bundle)
    description = json.loads((bundle / "bundle.json").read_text())
    description["prompts"].remove("mask")
    (bundle / "bundle.json").write_text(json.dumps(description))
    robot = start_robot({"model": str(bundle)}).connect()
    rgb = np.full((48, 64, 3), 90, np.uint8)
    stamp = robot.show(rgb)
    mask = image(np.full((48, 64), 255, np.uint8), stamp, "mono8")

    def ask() -> None:
        robot.publish_image(image(rgb, robot.stamp()))
        robot.peer.publish("mask_prompt", mask)

    wait_level(robot, ERROR, "the model fails", ask)


def metrics(robot: Robot) -> dict[str, float]:
    match = re.search(r"metrics at (http://127.0.0.1:\d+/metrics)", robot.process.log())
    assert match
    with urllib.request.urlopen(match[1], timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        page = answer.read().decode()
    lines = [line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


def test_prometheus_gets_the_same_numbers(robot: Robot, scene: Scene) -> None:
    robot.click(60, 60, robot.show(scene.rgb))
    robot.diagnostic_values(robot.diagnostics.mark() + 1)
    exported, values = metrics(robot), robot.diagnostic_values()
    for name, key in [
        ('promptseg_images_total{outcome="received"}', "images in"),
        ('promptseg_images_total{outcome="encoded"}', "images encoded"),
        ("promptseg_masks_total", "masks"),
        ('promptseg_held{kind="frames"}', "kept frames"),
        ("promptseg_panics_total", "panics"),
    ]:
        # Nothing happens in the meantime.
        assert exported[name] == float(values[key]), name
    assert exported['promptseg_stage_seconds{stage="decode",quantile="0.5"}'] > 0
    assert exported['promptseg_stage_seconds_count{stage="encode"}'] > 0
    url = re.search(r"metrics at (http://\S+)/metrics", robot.process.log())
    assert url
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{url[1]}/", timeout=10)
    assert refused.value.code == 404


def test_a_wrong_metrics_address_ends_the_start(peer: Peer, start_node: Callable[..., NodeProcess]) -> None:
    node = start_node(peer.domain, "-p", "metrics_address:=everywhere")
    assert node.exit_status() == 1
    assert "'everywhere' is not an address" in node.log()


def test_no_frame_is_encoded_before_it_is_needed(start_robot: Callable[..., Robot], scene: Scene) -> None:
    robot = start_robot({"encode.mode": "on_demand"})
    robot.process.wait_ready()
    for _ in range(20):
        robot.publish_image(image(scene.rgb, robot.stamp()))
        time.sleep(0.02)
    eventually("images", lambda: int(robot.diagnostic_values().get("images in", 0)) > 0)
    assert robot.diagnostic_values()["images encoded"] == "0"

    def click() -> None:
        robot.publish_image(image(scene.rgb, robot.stamp()))
        robot.peer.publish("pixel", pixel(60, 60))

    answer = robot.until_answered(click, robot.masks)
    assert answer.masks


def test_the_log_level_changes_while_it_runs(robot: Robot) -> None:
    assert robot.set_parameter("log_level", "error").successful
    before = len(robot.process.log())
    kind = int(robot.diagnostic_values().get("refused: bad_prompt", 0))
    robot.send_click(-500, 10)
    eventually("the refusal", lambda: robot.refused("bad_prompt") > kind)
    assert "refused" not in robot.process.log()[before:]
    assert robot.set_parameter("log_level", "").successful
    robot.expect_refusal("bad_prompt", "outside the image", lambda: robot.send_click(-500, 10))
    refused = robot.set_parameter("log_level", "loud")
    assert not refused.successful and "one of" in refused.reason

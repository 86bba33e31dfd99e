"""A trace of every stage that is whole after Ctrl-C, and warnings that do not repeat themselves for ever."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

from builtin_interfaces.msg import Time
from promptseg_msgs.msg import MaskArray

from harness import NodeProcess, Peer, eventually
from messages import image, pixel
from robot import Robot
from scenes import Scene


def test_the_trace_has_every_stage_and_is_whole_after_an_interrupt(
    peer: Peer, start_node: Callable[..., NodeProcess], scene: Scene, tmp_path: Path
) -> None:
    trace = tmp_path / "trace.json"
    node = start_node(peer.domain, env={"PROMPTSEG_TRACE": str(trace)})
    node.wait_ready()
    masks = peer.subscribe(MaskArray, "/promptseg/masks")
    seconds = iter(range(1, 1000))

    def ask() -> bool:
        peer.publish("image", image(scene.rgb, Time(sec=next(seconds), nanosec=0)))
        peer.publish("pixel", pixel(60, 60))
        return any(m.masks for m in masks.all())

    eventually("a mask", ask, 60)
    node.send(signal.SIGINT)
    assert node.exit_status() == 0
    events = json.loads(trace.read_text())
    names = {e["name"] for e in events if e["ph"] == "B"}
    stages = {"convert", "encode", "preprocess", "run encoder", "prompt", "decode", "run decoder", "postprocess", "publish"}
    assert stages <= names, stages - names
    # What begins ends, thread by thread, but for what the end of the process cut off.
    assert abs(sum(e["ph"] == "B" for e in events) - sum(e["ph"] == "E" for e in events)) <= 3
    assert all(e["ts"] >= 0 for e in events if e["ph"] in "BE")


def test_a_trace_that_cannot_be_written_ends_the_start(peer: Peer, start_node: Callable[..., NodeProcess]) -> None:
    node = start_node(peer.domain, env={"PROMPTSEG_TRACE": "/nowhere/trace.json"})
    assert node.exit_status() == 1
    assert "PROMPTSEG_TRACE=/nowhere/trace.json: No such file or directory" in node.log()


def test_a_warning_that_repeats_itself_is_counted(start_robot: Callable[..., Robot], scene: Scene) -> None:
    robot = start_robot({"prompt_timeout": 0.0}).connect()
    robot.show(scene.rgb)
    # One refusal of a kind is said in a second; after five of them in ten seconds they are only counted.
    for _ in range(9):
        robot.send_click(-500, 10)
        time.sleep(1.2)
    said = [m.msg for m in robot.rosout.all() if "outside the image" in m.msg and "more like this" not in m.msg]
    assert 1 <= len(said) <= 6, said
    robot.rosout.wait("the count of the others", lambda m: "more like this in the last 10 s" in m.msg, timeout=30)

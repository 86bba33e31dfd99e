"""The trace of every stage is complete after Ctrl-C, and repeated warnings are suppressed."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from builtin_interfaces.msg import Time
from promptseg_msgs.msg import MaskArray
from rcl_interfaces.msg import Log

from harness import LATCHED, NodeProcess, Peer, eventually
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
    # Every stage that begins also ends on its thread, except stages cut off by the end of the process.
    assert abs(sum(e["ph"] == "B" for e in events) - sum(e["ph"] == "E" for e in events)) <= 3
    assert all(e["ts"] >= 0 for e in events if e["ph"] in "BE")


def test_a_trace_that_cannot_be_written_ends_the_start(peer: Peer, start_node: Callable[..., NodeProcess]) -> None:
    node = start_node(peer.domain, env={"PROMPTSEG_TRACE": "/nowhere/trace.json"})
    assert node.exit_status() == 1
    assert "PROMPTSEG_TRACE=/nowhere/trace.json: No such file or directory" in node.log()


def test_a_warning_that_repeats_itself_is_counted(start_robot: Callable[..., Robot], scene: Scene) -> None:
    robot = start_robot({"prompt_timeout": 0.0}).connect()
    robot.show(scene.rgb)
    # A refusal of a kind is logged once a second; after five of them in ten seconds refusals are only counted.
    for _ in range(9):
        robot.send_click(-500, 10)
        time.sleep(1.2)
    warnings = [m.msg for m in robot.rosout.all() if "outside the image" in m.msg and "more like this" not in m.msg]
    assert 1 <= len(warnings) <= 6, warnings
    robot.rosout.wait("the count of the others", lambda m: "more like this in the last 10 s" in m.msg, timeout=30)


def log_file(folder: Path) -> str:
    """The content of the only log file. Its name has rclcpp's form: program, process id, milliseconds."""
    files = list(folder.glob("*.log"))
    assert len(files) == 1 and re.fullmatch(r"promptseg_node_\d+_\d+\.log", files[0].name), files
    return files[0].read_text()


def test_the_log_is_that_of_an_rclcpp_node(
    peer: Peer, start_node: Callable[..., NodeProcess], tmp_path: Path
) -> None:
    """Console, file in $ROS_LOG_DIR and /rosout have the same lines, with the name of the logger."""
    rosout = peer.subscribe(Log, "/rosout", LATCHED)
    node = start_node(peer.domain, "-r", "__ns:=/robot", env={"ROS_LOG_DIR": str(tmp_path)})
    node.wait_ready()
    rosout.wait("the line", lambda m: m.name == "robot.promptseg" and m.msg == "/robot/promptseg: ready")
    node.send(signal.SIGINT)
    assert node.exit_status() == 0
    ready = r"^\[INFO\] \[\d+\.\d{9}\] \[robot\.promptseg\]: /robot/promptseg: ready$"
    assert re.search(ready, node.log(), re.MULTILINE), node.log()
    kept = log_file(tmp_path)
    assert re.search(ready, kept, re.MULTILINE), kept
    assert "/robot/promptseg: stopping" in kept, "the last lines are in the file too"


def test_the_log_is_in_ros_home_without_a_folder_of_its_own(
    peer: Peer, start_node: Callable[..., NodeProcess], tmp_path: Path
) -> None:
    node = start_node(peer.domain, env={"ROS_LOG_DIR": "", "ROS_HOME": str(tmp_path)})
    node.wait_ready()
    node.send(signal.SIGTERM)
    assert node.exit_status() == 0
    assert "ready" in log_file(tmp_path / "log")


def test_the_console_has_the_format_that_the_environment_gives(
    peer: Peer, start_node: Callable[..., NodeProcess], tmp_path: Path
) -> None:
    form = "{severity}|{name}|{message}|{function_name}|{file_name}|{line_number}|{time_as_nanoseconds}|{date_time_with_ms}"
    env = {"RCUTILS_CONSOLE_OUTPUT_FORMAT": form, "RCUTILS_COLORIZED_OUTPUT": "1", "ROS_LOG_DIR": str(tmp_path)}
    node = start_node(peer.domain, env=env)
    node.wait_ready()
    line = next(line for line in node.log().splitlines() if "ready" in line)
    assert line.startswith("\x1b["), "coloured, as asked for"
    severity, name, message, function, file, number, nanoseconds, date = re.sub(r"\x1b\[\d*m", "", line).split("|")
    assert (severity, name, message) == ("INFO", "promptseg", "/promptseg: ready")
    assert function.startswith("promptseg::node") and file.endswith("src/node/run.rs") and int(number) > 0
    assert int(nanoseconds) > 10**18 and re.match(r"\d{4}-\d\d-\d\d ", date)


@pytest.mark.parametrize(
    ("arguments", "console", "file", "rosout"),
    [
        (("--disable-external-lib-logs",), True, False, True),
        (("--disable-stdout-logs",), False, True, True),
        (("--disable-rosout-logs",), True, True, False),
    ],
)
def test_each_output_can_be_turned_off(
    peer: Peer,
    start_node: Callable[..., NodeProcess],
    tmp_path: Path,
    arguments: tuple[str, ...],
    console: bool,
    file: bool,
    rosout: bool,
) -> None:
    node = start_node(peer.domain, *arguments, env={"ROS_LOG_DIR": str(tmp_path)})
    rosout_log = peer.subscribe(Log, "/rosout", LATCHED)
    eventually("the masks", lambda: peer.node.count_publishers("/promptseg/masks"), 60)
    time.sleep(1.0)
    assert bool(peer.node.count_publishers("/rosout") > 1) == rosout  # one is the peer's own
    assert bool([m for m in rosout_log.all() if m.name == "promptseg"]) == rosout
    node.send(signal.SIGINT)
    assert node.exit_status() == 0
    assert ("ready" in node.log()) == console
    assert any("ready" in f.read_text() for f in tmp_path.glob("*.log")) == file


@pytest.mark.parametrize(
    ("arguments", "is_debug"),
    [
        (("--log-level", "promptseg:=debug"), True),
        (("--log-level", "debug"), True),
        (("--log-level", "DEBUG", "--log-level", "promptseg:=warn"), False),
        (("--log-level", "other:=debug"), False),
    ],
)
def test_the_log_level_of_the_nodes_logger(
    peer: Peer, start_node: Callable[..., NodeProcess], tmp_path: Path, arguments: tuple[str, ...], is_debug: bool
) -> None:
    node = start_node(peer.domain, *arguments, log_level=None, env={"ROS_LOG_DIR": str(tmp_path)})
    eventually("the masks", lambda: peer.node.count_publishers("/promptseg/masks"), 60)
    time.sleep(0.5)
    node.send(signal.SIGINT)
    assert node.exit_status() == 0
    for log in (node.log(), log_file(tmp_path)):
        lines = re.findall(r"^\[DEBUG\] \[[\d.]+\] \[promptseg\]: (.*)$", log, re.MULTILINE)
        assert bool(lines) == is_debug, lines

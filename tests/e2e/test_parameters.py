"""Parameters by service, by file and by command line, as in every ROS 2 node."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from rcl_interfaces.msg import Parameter, ParameterEvent
from rcl_interfaces.srv import (
    DescribeParameters,
    GetParameters,
    GetParameterTypes,
    ListParameters,
    SetParametersAtomically,
)

from harness import NodeProcess, Peer, eventually
from robot import Robot, get_parameters, value_message

NODE = "/promptseg"


def test_list_get_and_types(robot: Robot) -> None:
    listed = robot.peer.call(ListParameters, f"{NODE}/list_parameters", ListParameters.Request()).result.names
    assert {"model", "persistence", "keep_frames", "providers", "use_sim_time"} <= set(listed)
    names = ["persistence", "keep_frames", "prompt_timeout", "nothing"]
    assert get_parameters(robot.peer, *names) == ["hold", 30, 1.0, None]
    request = GetParameterTypes.Request(names=["persistence", "keep_frames", "providers", "nothing"])
    assert list(robot.peer.call(GetParameterTypes, f"{NODE}/get_parameter_types", request).types) == [4, 2, 9, 0]


def test_describe(robot: Robot) -> None:
    request = DescribeParameters.Request(names=["keep_frames", "persistence", "model"])
    frames, persistence, model = robot.peer.call(DescribeParameters, f"{NODE}/describe_parameters", request).descriptors
    assert (frames.integer_range[0].from_value, frames.integer_range[0].to_value) == (1, 10_000)
    assert "track" in persistence.additional_constraints
    assert not model.read_only and not frames.read_only
    assert all(d.description for d in (frames, persistence, model))


def test_a_change_takes_effect_and_is_announced(robot: Robot) -> None:
    events = robot.peer.subscribe(ParameterEvent, "/parameter_events")
    eventually("the publisher of /parameter_events", lambda: robot.peer.node.count_publishers("/parameter_events"))

    def announced() -> bool:
        # Discovery may not be complete.
        robot.set(keep_frames=7)
        return any(e.node == NODE and e.changed_parameters[0].name == "keep_frames" for e in events.all())

    eventually("the parameter event", announced)
    assert get_parameters(robot.peer, "keep_frames") == [7]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("persistence", "for ever", "one of once, hold, track"),
        ("keep_frames", 0, "1 to 10000"),
        ("keep_frames", "many", "found a string"),
        ("track_min_iou", 1.5, "0 to 1"),
        ("autostart", False, "start the node again"),
        ("cameras", ["front"], "start the node again"),
        ("persistance", "hold", "did you mean 'persistence'"),
    ],
)
def test_what_is_wrong_is_refused_with_the_reason(robot: Robot, name: str, value: object, words: str) -> None:
    before = get_parameters(robot.peer, name)
    result = robot.set_parameter(name, value)
    assert not result.successful
    assert words in result.reason
    assert get_parameters(robot.peer, name) == before


def test_a_whole_number_is_taken_for_a_float(robot: Robot) -> None:
    robot.set(prompt_timeout=2)
    assert get_parameters(robot.peer, "prompt_timeout") == [2.0]


def test_atomically_means_all_or_nothing(robot: Robot) -> None:
    good, bad = (
        Parameter(name="keep_frames", value=value_message(9)),
        Parameter(name="persistence", value=value_message("x")),
    )
    request = SetParametersAtomically.Request(parameters=[good, bad])
    result = robot.peer.call(SetParametersAtomically, f"{NODE}/set_parameters_atomically", request).result
    assert not result.successful and "one of once" in result.reason
    assert get_parameters(robot.peer, "keep_frames") == [30]


@pytest.mark.parametrize("section", ["promptseg", "/**"])
def test_a_parameter_file(peer: Peer, start_node: Callable[..., NodeProcess], tmp_path: Path, section: str) -> None:
    """Values take effect; an unknown name causes a warning and has no other effect."""
    file = tmp_path / "promptseg.yaml"
    file.write_text(
        f"{section}:\n  ros__parameters:\n    persistence: once\n    keep_frames: 12\n    prompt_timeout: 3\n"
        "    providers: [cpu]\n    keep_frame: 3\n"
    )
    node = start_node(peer.domain, "--params-file", str(file))
    node.wait_ready()
    names = ("persistence", "keep_frames", "prompt_timeout", "providers")
    assert get_parameters(peer, *names) == ["once", 12, 3.0, ["cpu"]]
    assert "there is no parameter 'keep_frame'; did you mean 'keep_frames'?" in node.log()


def test_a_parameter_file_for_a_namespace(peer: Peer, start_node: Callable[..., NodeProcess], tmp_path: Path) -> None:
    """A parameter file as Nav2's launch files write it: a section for each namespace, which contains the node."""
    file = tmp_path / "promptseg.yaml"
    front = {"promptseg": {"ros__parameters": {"keep_frames": 12}}, "*": {"ros__parameters": {"persistence": "once"}}}
    file.write_text(yaml.safe_dump({"front": front, "/rear/promptseg": {"ros__parameters": {"keep_frames": 13}}}))
    start_node(peer.domain, "--params-file", str(file), "-r", "__ns:=/front").wait_ready()
    request = GetParameters.Request(names=["keep_frames", "persistence"])
    frames, persistence = peer.call(GetParameters, "/front/promptseg/get_parameters", request).values
    assert (frames.integer_value, persistence.string_value) == (12, "once")
    # None of the sections applies to this node; a node's name alone refers to a node without namespace.
    other = start_node(peer.domain, "--params-file", str(file), "-r", "__ns:=/side")
    other.wait_ready()
    assert "parameters: none is for /side/promptseg, only for " in other.log()


def test_the_shipped_parameter_file_starts_the_node(peer: Peer, start_node: Callable[..., NodeProcess]) -> None:
    file = Path(__file__).resolve().parents[2] / "config" / "promptseg.yaml"
    node = start_node(peer.domain, "--params-file", str(file))
    node.wait_ready()
    assert "there is no parameter" not in node.log()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("persistence:=always", "one of once, hold, track"),
        ("keep_frames:=0", "1 to 10000"),
        ("providers:=[rocm]", "'rocm'"),
        ("metrics_address:=9090", """text needs quotes: -p metrics_address:="'9090'\""""),
        ("detection_classes:=[0, 41]", """brackets and quotes: -p detection_classes:="['0', '41']\""""),
    ],
)
def test_a_wrong_value_at_the_start_ends_it(
    peer: Peer, start_node: Callable[..., NodeProcess], given: str, words: str
) -> None:
    node = start_node(peer.domain, "-p", given)
    assert node.exit_status() == 1
    assert words in node.log()


def test_a_section_of_another_namespace_is_not_for_this_node(
    peer: Peer, start_node: Callable[..., NodeProcess], tmp_path: Path
) -> None:
    """As in rclcpp, `promptseg` means `/promptseg`, and in a file of several nodes each node gets its own values only."""
    file = tmp_path / "shared.yaml"
    values = {"promptseg": {"ros__parameters": {"keep_frames": 12}}, "/**": {"ros__parameters": {"persistence": "once"}}}
    file.write_text(yaml.safe_dump(values))
    start_node(peer.domain, "--params-file", str(file), "-r", "__ns:=/front").wait_ready()
    request = GetParameters.Request(names=["keep_frames", "persistence"])
    frames, persistence = peer.call(GetParameters, "/front/promptseg/get_parameters", request).values
    assert (frames.integer_value, persistence.string_value) == (30, "once")


@pytest.mark.parametrize(
    ("arguments", "env", "words"),
    [
        (("--params-file", "/nowhere/x.yaml"), {}, "/nowhere/x.yaml"),
        (("--params-file", "BROKEN"), {}, "broken.yaml"),
        (("-r", "image:=two words"), {}, "image:=two words"),
        (("-r", "image"), {}, "'-r image'"),
        (("--remap-all", "a:=b"), {}, "unknown ROS arguments: '--remap-all'"),
        (("--log-config-file", "/nowhere/log.conf"), {}, "config"),
        ((), {"ROS_DOMAIN_ID": "many"}, "ROS_DOMAIN_ID"),
    ],
)
def test_a_wrong_command_line_ends_the_start_with_one_line(
    peer: Peer,
    start_node: Callable[..., NodeProcess],
    tmp_path: Path,
    arguments: tuple[str, ...],
    env: dict[str, str],
    words: str,
) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("promptseg:\n  ros__parameters:\n   - [unfinished\n")
    node = start_node(peer.domain, *(str(broken) if a == "BROKEN" else a for a in arguments), env=env)
    assert node.exit_status() == 1
    log = node.log()
    assert "panicked" not in log and len(log.strip().splitlines()) == 1, log
    assert log.startswith("[ERROR]") and words in log and ".c:" not in log, log

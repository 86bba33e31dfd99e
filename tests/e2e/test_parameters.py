"""Parameters by service, by file and by command line, as in every ROS 2 node."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from rcl_interfaces.msg import Parameter, ParameterEvent, SetParametersResult
from rcl_interfaces.srv import (
    DescribeParameters,
    GetParameters,
    GetParameterTypes,
    ListParameters,
    SetParameters,
    SetParametersAtomically,
)

from harness import NodeProcess, Peer, eventually
from robot import Robot, get_parameters, value_message

NODE = "/promptseg"


def test_list_get_and_types(robot: Robot) -> None:
    listed = robot.peer.call(ListParameters, f"{NODE}/list_parameters", ListParameters.Request()).result.names
    assert {"model", "persistence.default", "keep.frames", "providers", "use_sim_time"} <= set(listed)
    names = ["persistence.default", "keep.frames", "prompt_timeout", "nothing"]
    assert get_parameters(robot.peer, *names) == ["hold", 30, 1.0, None]
    request = GetParameterTypes.Request(names=["persistence.default", "keep.frames", "providers", "nothing"])
    assert list(robot.peer.call(GetParameterTypes, f"{NODE}/get_parameter_types", request).types) == [4, 2, 9, 0]


def test_describe(robot: Robot) -> None:
    request = DescribeParameters.Request(names=["keep.frames", "persistence.default", "model"])
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
        robot.set({"keep.frames": 7})
        return any(e.node == NODE and e.changed_parameters[0].name == "keep.frames" for e in events.all())

    eventually("the parameter event", announced)
    assert get_parameters(robot.peer, "keep.frames") == [7]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("persistence.default", "for ever", "one of once, hold, track"),
        ("keep.frames", 0, "1 to 10000"),
        ("keep.frames", "many", "found a string"),
        ("track.min_iou", 1.5, "0 to 1"),
        ("autostart", False, "start the node again"),
        ("cameras", ["front"], "start the node again"),
        ("persistance", "hold", "did you mean 'persistence.default'"),
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
        Parameter(name="keep.frames", value=value_message(9)),
        Parameter(name="persistence.default", value=value_message("x")),
    )
    request = SetParametersAtomically.Request(parameters=[good, bad])
    result = robot.peer.call(SetParametersAtomically, f"{NODE}/set_parameters_atomically", request).result
    assert not result.successful and "one of once" in result.reason
    assert get_parameters(robot.peer, "keep.frames") == [30]


@pytest.mark.parametrize("section", ["promptseg", "/**"])
def test_a_parameter_file(peer: Peer, start_node: Callable[..., NodeProcess], tmp_path: Path, section: str) -> None:
    """Values take effect; an unknown name causes a warning and has no other effect."""
    file = tmp_path / "promptseg.yaml"
    file.write_text(
        f"{section}:\n  ros__parameters:\n    persistence.default: once\n    keep:\n      frames: 12\n    prompt_timeout: 3\n"
        "    providers: [cpu]\n    keep_frame: 3\n"
    )
    node = start_node(peer.domain, "--params-file", str(file))
    node.wait_ready()
    names = ("persistence.default", "keep.frames", "prompt_timeout", "providers")
    assert get_parameters(peer, *names) == ["once", 12, 3.0, ["cpu"]]
    assert "there is no parameter 'keep_frame'; did you mean 'keep.frames'?" in node.log()


def test_former_names_at_the_start(peer: Peer, start_node: Callable[..., NodeProcess], tmp_path: Path) -> None:
    """A file and a command line with names before the groups start the node, and the log has the new names."""
    file = tmp_path / "promptseg.yaml"
    lines = ["persistence: once", "keep_frames: 12", "track_max_objects: 2", "max_objects: 4", "opt_tokens: 3"]
    file.write_text("promptseg:\n  ros__parameters:\n" + "".join(f"    {line}\n" for line in [*lines, "keep: {frames: 9}"]))
    node = start_node(peer.domain, "--params-file", str(file), "-p", "click_mode:=box")
    node.wait_ready()
    names = ("persistence.default", "keep.frames", "track.max_objects", "session.max_objects", "click.mode")
    assert get_parameters(peer, *names) == ["once", 9, 2, 4, "box"]
    log = node.log()
    for former, name in [
        ("persistence", "persistence.default"),
        ("track_max_objects", "track.max_objects"),
        ("max_objects", "session.max_objects"),
        ("click_mode", "click.mode"),
    ]:
        assert f"'{former}' is now called '{name}'" in log, log
    assert "'keep_frames' is ignored, because its new name 'keep.frames' is given too" in log
    assert "the parameter 'opt_tokens' does not exist any more: " in log


def test_former_names_in_the_services(peer: Peer, start_node: Callable[..., NodeProcess]) -> None:
    node = start_node(peer.domain)
    node.wait_ready()
    events = peer.subscribe(ParameterEvent, "/parameter_events")
    eventually("the publisher of /parameter_events", lambda: peer.node.count_publishers("/parameter_events"))

    def set_parameters(**values: object) -> list[SetParametersResult]:
        parameters = [Parameter(name=n.replace("__", "."), value=value_message(v)) for n, v in values.items()]
        request = SetParameters.Request(parameters=parameters)
        return peer.call(SetParameters, f"{NODE}/set_parameters", request).results

    def announced() -> bool:
        # Discovery may not be complete.
        (result,) = set_parameters(track_max_objects=2)
        assert result.successful and "'track_max_objects' is now called 'track.max_objects'" in result.reason
        return any(e.node == NODE and e.changed_parameters[0].name == "track.max_objects" for e in events.all())

    eventually("the parameter event with the new name", announced)
    assert get_parameters(peer, "track.max_objects", "track_max_objects") == [2, 2]
    assert "'track_max_objects' is now called 'track.max_objects'" in node.log()
    # Both at once, in either order: the new name counts.
    for values in ({"keep_frames": 5, "keep__frames": 6}, {"keep__frames": 7, "keep_frames": 5}):
        results = dict(zip(values, set_parameters(**values), strict=True))
        assert results["keep_frames"].successful and "is ignored" in results["keep_frames"].reason
        assert get_parameters(peer, "keep.frames") == [values["keep__frames"]]
    (result,) = set_parameters(keep_frames=0)
    assert not result.successful and result.reason == "'keep.frames' is 0, expected 1 to 10000"
    (result,) = set_parameters(timing_cache=True)
    assert not result.successful and "does not exist any more" in result.reason
    listed = peer.call(ListParameters, f"{NODE}/list_parameters", ListParameters.Request(prefixes=["track"])).result
    assert "track.max_objects" in listed.names and not any(name.startswith("track_") for name in listed.names)
    assert listed.prefixes == ["track"]
    request = DescribeParameters.Request(names=["track_max_objects", "track.max_objects"])
    former, current = peer.call(DescribeParameters, f"{NODE}/describe_parameters", request).descriptors
    assert former.description == f"Former name of 'track.max_objects'. {current.description}"


def test_a_parameter_file_for_a_namespace(peer: Peer, start_node: Callable[..., NodeProcess], tmp_path: Path) -> None:
    """A parameter file as Nav2's launch files write it: a section for each namespace, which contains the node."""
    file = tmp_path / "promptseg.yaml"
    front = {"promptseg": {"ros__parameters": {"keep.frames": 12}}, "*": {"ros__parameters": {"persistence.default": "once"}}}
    file.write_text(yaml.safe_dump({"front": front, "/rear/promptseg": {"ros__parameters": {"keep.frames": 13}}}))
    start_node(peer.domain, "--params-file", str(file), "-r", "__ns:=/front").wait_ready()
    request = GetParameters.Request(names=["keep.frames", "persistence.default"])
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
    assert "[WARN]" not in node.log(), node.log()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("persistence.default:=always", "one of once, hold, track"),
        ("keep.frames:=0", "1 to 10000"),
        ("providers:=[rocm]", "'rocm'"),
        ("metrics_address:=9090", """text needs quotes: -p metrics_address:="'9090'\""""),
        ("detections.classes:=[0, 41]", """brackets and quotes: -p detections.classes:="['0', '41']\""""),
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
    values = {"promptseg": {"ros__parameters": {"keep.frames": 12}}, "/**": {"ros__parameters": {"persistence.default": "once"}}}
    file.write_text(yaml.safe_dump(values))
    start_node(peer.domain, "--params-file", str(file), "-r", "__ns:=/front").wait_ready()
    request = GetParameters.Request(names=["keep.frames", "persistence.default"])
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

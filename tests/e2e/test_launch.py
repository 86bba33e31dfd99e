"""The launch files: their declared arguments, and the processes that they start.

launch and launch_ros are on no package index and come with a sourced ROS 2. With the wheels of ./dev the launch files run
on the stand-in in launch_stand_in, which starts the same processes. The names of the tests show which of the two ran.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from geometry_msgs.msg import Point
from lifecycle_msgs.srv import GetState
from promptseg_msgs.msg import MaskArray
from rclpy.node import NodeNameNonExistentError

from harness import ROOT, START_TIMEOUT, Peer, eventually, find_node
from lifecycle import Manager
from messages import image, whole_mask
from robot import get_parameters
from scenes import Scene

LAUNCH = ROOT / "launch"
PYTHON = sorted(LAUNCH.glob("*.py"))
XML = sorted(LAUNCH.glob("*.xml"))
REQUIRED = {"namespace", "params_file", "model", "image", "use_sim_time", "log_level"}
IS_HERE = all(importlib.util.find_spec(module) for module in ("launch", "launch_ros"))
LAUNCH_ROS = "with launch_ros" if IS_HERE else "with a stand-in for launch_ros"
STAND_IN = Path(__file__).with_name("launch_stand_in")
starts = pytest.mark.parametrize("start", [LAUNCH_ROS], indirect=True)


def arguments_of(file: Path) -> dict[str, str]:
    """The arguments that a launch file declares, with their descriptions."""
    if file.suffix == ".xml":
        arguments = ElementTree.parse(file).getroot().findall("arg")
        return {a.get("name", ""): a.get("description", "") for a in arguments}
    lists = [
        node.value
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.List)
    ]
    rows = [row.elts for rows in lists for row in rows.elts if isinstance(row, ast.Tuple)]
    return {name.value: description.value for name, _, description in rows}


@pytest.mark.parametrize("file", PYTHON + XML, ids=lambda f: f.name)
def test_every_argument_is_described(file: Path) -> None:
    arguments = arguments_of(file)
    assert REQUIRED <= set(arguments)
    if file.name.startswith("promptseg_cameras"):
        assert {"detections", "yolo_detections", "lifecycle_manager", "camera_info", "point"} <= set(arguments)
    assert all(len(description) > 10 for description in arguments.values())


@pytest.mark.parametrize("file", XML, ids=lambda f: f.name)
def test_what_is_included_knows_its_arguments(file: Path) -> None:
    for include in ElementTree.parse(file).getroot().findall("include"):
        target = LAUNCH / Path(include.get("file", "")).name
        given = {a.get("name") for a in include.findall("arg")}
        assert given <= set(arguments_of(target))


@pytest.mark.parametrize("name", ["promptseg", "promptseg_cameras"])
def test_the_xml_file_has_the_arguments_of_the_python_file(name: str) -> None:
    xml = ElementTree.parse(LAUNCH / f"{name}.launch.xml").getroot()
    declared = arguments_of(LAUNCH / f"{name}.launch.xml").keys()
    assert declared == arguments_of(LAUNCH / f"{name}.launch.py").keys()
    handed_on = {a.get("name"): a.get("value") for a in xml.findall("include/arg")}
    assert handed_on == {argument: f"$(var {argument})" for argument in declared}


# ------------------------------------------------------------------------------------ started processes


@pytest.fixture(scope="module")
def prefix() -> Iterator[Path]:
    """A prefix with the files that colcon would install."""
    with tempfile.TemporaryDirectory() as folder:
        prefix = Path(folder)
        share = prefix / "share" / "promptseg"
        marker = prefix / "share" / "ament_index" / "resource_index" / "packages" / "promptseg"
        (prefix / "lib" / "promptseg").mkdir(parents=True)
        share.mkdir(parents=True)
        marker.parent.mkdir(parents=True)
        marker.touch()
        (prefix / "lib" / "promptseg" / "promptseg_node").symlink_to(find_node().resolve())
        for name in ("package.xml", "config", "launch"):
            (share / name).symlink_to(ROOT / name)
        yield prefix


RECORDER = """#!/bin/sh
printf '%s\\n' "$@" >"{record}.new"
mv "{record}.new" "{record}"
trap 'exit 0' INT TERM
while :; do sleep 0.1; done
"""


class Launched:
    """A running launch file."""

    def __init__(self, command: list[str], environment: dict[str, str], output: Path) -> None:
        self.output_path = output
        with output.open("w") as file:
            # A separate process group, for Ctrl-C.
            self.process = subprocess.Popen(
                command, env=environment, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
            )

    def output(self) -> str:
        return self.output_path.read_text()

    def interrupt(self) -> int:
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(20)

    def processes(self) -> dict[int, str]:
        """Process ids and names of the process group, without the launch process."""
        names = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                name, rest = stat.read_text().rsplit(")", 1)
            except OSError:
                # The process has just ended.
                continue
            state, _, group = rest.split()[:3]
            if int(group) == self.process.pid and int(stat.parent.name) != self.process.pid and state != "Z":
                names[int(stat.parent.name)] = name.split("(", 1)[1]
        return names

    def node(self) -> int | None:
        return next((pid for pid, name in self.processes().items() if name.startswith("promptseg_node")), None)

    def close(self) -> None:
        if self.process.poll() is None:
            self.interrupt()
        if left := self.processes():
            os.killpg(self.process.pid, signal.SIGKILL)
            raise AssertionError(f"the launch file has left {left} behind:\n{self.output()}")


class Workspace:
    """A prefix with promptseg, and with packages that a test adds."""

    def __init__(self, peer: Peer, prefix: Path, folder: Path) -> None:
        self.peer, self.prefix, self.folder = peer, prefix, folder
        self.launched: list[Launched] = []
        self.own = folder / "install"

    def add_program(self, package: str, executable: str) -> Path:
        """Installs a program that writes its command line to the returned file and runs until Ctrl-C."""
        record = self.folder / f"{package}.arguments"
        program = self._package(package) / "lib" / package / executable
        program.parent.mkdir(parents=True)
        program.write_text(RECORDER.format(record=record))
        program.chmod(0o755)
        return record

    def hide(self, package: str) -> None:
        """Installs a package without its program, which hides an installed package of that name."""
        self._package(package)

    def add_launch_file(self, package: str, name: str, text: str) -> None:
        file = self._package(package) / "share" / package / "launch" / name
        file.parent.mkdir(parents=True)
        file.write_text(text)

    def _package(self, package: str) -> Path:
        marker = self.own / "share" / "ament_index" / "resource_index" / "packages" / package
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()
        return self.own

    def __call__(self, file: Path | str, *arguments: str) -> Launched:
        command = [sys.executable, str(Path(__file__).with_name("run_launch_file.py")), str(LAUNCH / file), *arguments]
        environment = os.environ | {
            "ROS_DOMAIN_ID": str(self.peer.domain),
            "AMENT_PREFIX_PATH": f"{self.own}:{self.prefix}:{os.environ['AMENT_PREFIX_PATH']}",
            "ROS_LOG_DIR": str(self.folder / "log"),
        }
        if not IS_HERE:
            environment["PYTHONPATH"] = f"{STAND_IN}:{os.environ.get('PYTHONPATH', '')}"
        self.launched.append(Launched(command, environment, self.folder / f"launch-{len(self.launched)}.log"))
        return self.launched[-1]


@pytest.fixture
def start(peer: Peer, prefix: Path, tmp_path: Path) -> Iterator[Workspace]:
    workspace = Workspace(peer, prefix, tmp_path)
    yield workspace
    for launched in workspace.launched:
        launched.close()


def wait_for(peer: Peer, node: str, state: str = "active") -> Manager:
    manager = Manager(peer, node)
    eventually(f"the services of {node}", lambda: peer.node.count_publishers(f"{node}/transition_event"), START_TIMEOUT)
    manager.wait_for(state)
    return manager


def topics_of(peer: Peer, node: str) -> set[str]:
    """Subscriptions of a node; none while the graph does not have its name, which may come after its topics."""
    namespace, name = node.rsplit("/", 1)
    try:
        return {t for t, _ in peer.node.get_subscriber_names_and_types_by_node(name, namespace or "/")}
    except NodeNameNonExistentError:
        return set()


def wait_for_topics(peer: Peer, node: str, *topics: str) -> None:
    eventually(f"{topics} of {node}", lambda: set(topics) <= topics_of(peer, node))


@starts
@pytest.mark.parametrize("own", ["", "FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_BUILTIN_TRANSPORTS"])
def test_fast_dds_gets_shared_memory_for_images(peer: Peer, start: Workspace, own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE", "FASTDDS_BUILTIN_TRANSPORTS"):
        monkeypatch.delenv(name, raising=False)
    values = {"FASTRTPS_DEFAULT_PROFILES_FILE": str(ROOT / "config/fastdds.xml"), "FASTDDS_BUILTIN_TRANSPORTS": "SHM"}
    if own:
        monkeypatch.setenv(own, values[own])
    launched = start("promptseg.launch.py")
    wait_for(peer, "/promptseg")
    pid = launched.node()
    assert pid is not None
    variables = dict(v.split("=", 1) for v in Path(f"/proc/{pid}/environ").read_text().split("\0") if "=" in v)
    profile = variables.get("FASTRTPS_DEFAULT_PROFILES_FILE")
    if own == "FASTDDS_BUILTIN_TRANSPORTS":
        assert profile is None
    else:
        assert profile and Path(profile).samefile(ROOT / "config/fastdds.xml")
    assert (profile == values["FASTRTPS_DEFAULT_PROFILES_FILE"]) == (own == "FASTRTPS_DEFAULT_PROFILES_FILE")
    # Fast DDS reads its profile when the node is made, and reports errors there.
    assert "XMLPARSER" not in launched.output()


@starts
@pytest.mark.parametrize("file", ["promptseg.launch.py", "promptseg.launch.xml"])
def test_one_camera(peer: Peer, start: Workspace, file: str) -> None:
    launched = start(
        file,
        "namespace:=robot",
        "name:=seg",
        "image:=/camera/image_raw",
        f"params_file:={ROOT}/config/cpu.yaml",
        "use_sim_time:=true",
        "model:=tiny",
        "detections:=/boxes",
    )
    wait_for(peer, "/robot/seg")
    values = get_parameters(peer, "providers", "prompt_timeout", "use_sim_time", "model", node="/robot/seg")
    assert values == [["cpu"], 5.0, True, "tiny"]
    inputs = ("/camera/image_raw", "/camera/image_raw_mouse_left", "/robot/point", "/robot/prompts", "/boxes")
    wait_for_topics(peer, "/robot/seg", *inputs)
    assert launched.interrupt() == 0


@starts
@pytest.mark.parametrize("file", ["promptseg.launch.py", "promptseg.launch.xml"])
@pytest.mark.parametrize("topic", ["/point", "/camera/image_raw_mouse_left", "/promptseg/overlay_mouse_left"])
def test_a_click_in_pixels(peer: Peer, start: Workspace, scene: Scene, file: str, topic: str) -> None:
    """The clicks of README: by hand on /point, with rqt_image_view on the camera's image or on the overlay."""
    start(file, "image:=/camera/image_raw")
    wait_for(peer, "/promptseg")
    masks = peer.subscribe(MaskArray, "/promptseg/masks")
    eventually("the subscription to the camera", lambda: peer.node.count_subscribers("/camera/image_raw"))
    end = time.monotonic() + START_TIMEOUT
    while not (answers := [m for m in masks.all() if m.masks]):
        assert time.monotonic() < end, f"no mask for a click on {topic}"
        peer.publish("/camera/image_raw", image(scene.rgb, peer.node.get_clock().now().to_msg()))
        x, y = scene.shapes[0].centre
        peer.publish(topic, Point(x=float(x), y=float(y)))
        time.sleep(0.3)
    assert whole_mask(answers[0], answers[0].masks[0])[scene.truth[0]].mean() > 0.5


@starts
@pytest.mark.parametrize("file", ["promptseg_cameras.launch.py", "promptseg_cameras.launch.xml"])
@pytest.mark.parametrize(
    ("shared", "nodes"), [("false", ["/robot/front/promptseg", "/robot/rear/promptseg"]), ("true", ["/robot/promptseg"])]
)
def test_several_cameras(peer: Peer, start: Workspace, file: str, shared: str, nodes: list[str]) -> None:
    start(file, "cameras:=front rear", f"shared:={shared}", "namespace:=robot", "detections:=boxes", "model:=tiny")
    for node in nodes:
        wait_for(peer, node)
    for camera in ("front", "rear"):
        node = nodes[0] if shared == "true" else f"/robot/{camera}/promptseg"
        topics = ("image_raw", "image_raw_mouse_left", "point", "boxes", "prompts")
        wait_for_topics(peer, node, *(f"/robot/{camera}/{topic}" for topic in topics))


@starts
@pytest.mark.parametrize("shared", ["false", "true"])
def test_cameras_with_a_lifecycle_manager(peer: Peer, start: Workspace, shared: str) -> None:
    record = start.add_program("nav2_lifecycle_manager", "lifecycle_manager")
    start("promptseg_cameras.launch.py", "cameras:=front", f"shared:={shared}", "lifecycle_manager:=true")
    wait_for(peer, "/promptseg" if shared == "true" else "/front/promptseg", "unconfigured")
    arguments = eventually("the manager", lambda: record.is_file() and record.read_text().split("\n"))
    assert "__node:=lifecycle_manager_promptseg" in arguments
    assert f"__ns:=/{'' if shared == 'true' else 'front'}" in arguments
    # launch_ros writes lists as `!!python/tuple`.
    (parameters,) = yaml.full_load(Path(arguments[arguments.index("--params-file") + 1]).read_text()).values()
    assert list(parameters["ros__parameters"]["node_names"]) == ["promptseg"]


@starts
@pytest.mark.parametrize("file", ["promptseg.launch.py", "promptseg_rviz.launch.xml"])
def test_without_rviz2_the_node_runs_and_the_log_says_what_is_missing(peer: Peer, start: Workspace, file: str) -> None:
    start.hide("rviz2")
    launched = start(file, *(["rviz:=true"] if file.endswith(".py") else []))
    wait_for(peer, "/promptseg")
    assert "starting without rviz2, which is not installed: apt install ros-" in launched.output()
    assert launched.process.poll() is None
    assert launched.interrupt() == 0


@starts
def test_with_rviz2_it_shows_the_topics_of_the_node(peer: Peer, start: Workspace) -> None:
    record = start.add_program("rviz2", "rviz2")
    start("promptseg.launch.py", "rviz:=true", "namespace:=robot", "image:=/camera/image_raw", "fixed_frame:=odom")
    arguments = eventually("rviz2", lambda: record.is_file() and record.read_text().split("\n"))
    assert arguments[2:4] == ["-f", "odom"] and Path(arguments[1]).is_file()
    assert {"/image:=/camera/image_raw", "/promptseg/overlay:=/robot/promptseg/overlay"} <= set(arguments)


DETECTOR = """
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch_ros.actions import Node


def generate_launch_description():
    return LaunchDescription([
        DeclareLaunchArgument('topic', default_value='', description='the camera'),
        Node(package='detector', executable='detect', name='detector'),
    ])
"""


@starts
@pytest.mark.parametrize(
    ("file", "arguments", "reason"),
    [
        ("promptseg.launch.py", ["lifecycle_manager:=true"], "needs the package nav2_lifecycle_manager"),
        ("promptseg.launch.xml", ["lifecycle_manager:=true"], "needs the package nav2_lifecycle_manager"),
        ("promptseg.launch.py", ["params_file:=/typo.yaml"], "there is no file /typo.yaml"),
        ("promptseg_cameras.launch.py", ["lifecycle_manager:=true"], "needs the package nav2_lifecycle_manager"),
        ("promptseg_cameras.launch.py", ["shared:=true", "lifecycle_manager:=true"], "needs the package nav2_lifecycle_manager"),
        ("promptseg_cameras.launch.xml", ["cameras:="], "cameras is empty"),
        ("promptseg_detector.launch.py", ["detector_package:=nobody"], "the package nobody is not installed"),
        ("promptseg_detector.launch.py", ["detector_package:=promptseg"], "there is no file"),
        (
            "promptseg_detector.launch.py",
            ["detector_package:=detector", "detector_launch:=detector.launch.py", "params_file:=/typo.yaml"],
            "there is no file /typo.yaml",
        ),
        (
            "promptseg_detector.launch.py",
            ["detector_package:=detector", "detector_launch:=detector.launch.py", "lifecycle_manager:=true"],
            "needs the package nav2_lifecycle_manager",
        ),
    ],
)
def test_what_cannot_work_ends_before_the_first_process(
    start: Workspace, file: str, arguments: list[str], reason: str
) -> None:
    start.hide("nav2_lifecycle_manager")
    start.add_program("detector", "detect")
    start.add_launch_file("detector", "detector.launch.py", DETECTOR)
    launched = start(file, *arguments)
    assert launched.process.wait(START_TIMEOUT) == 1
    assert reason in launched.output()
    assert launched.processes() == {}


@starts
def test_a_detector_and_the_node(peer: Peer, start: Workspace) -> None:
    record = start.add_program("detector", "detect")
    start.add_launch_file("detector", "detector.launch.py", DETECTOR)
    start(
        "promptseg_detector.launch.py",
        "detector_package:=detector",
        "detector_launch:=detector.launch.py",
        "detector_arguments:=topic:=IMAGE",
        "image:=/camera/image_raw",
        "detections:=/boxes",
    )
    wait_for(peer, "/promptseg")
    wait_for_topics(peer, "/promptseg", "/camera/image_raw", "/boxes", "/yolo/tracking")
    assert record.is_file()


@starts
def test_a_node_that_dies_is_started_again(peer: Peer, start: Workspace) -> None:
    launched = start("promptseg.launch.py", "respawn:=true")
    wait_for(peer, "/promptseg")
    first = launched.node()
    assert first
    os.kill(first, signal.SIGKILL)
    eventually("another process", lambda: launched.node() not in (None, first), START_TIMEOUT)
    # For a while DDS considers the dead node alive, and a request may reach only the dead node.
    client = peer.node.create_client(GetState, "/promptseg/get_state")

    def is_active() -> bool:
        request = client.call_async(GetState.Request())
        end = time.monotonic() + 1.0
        while not request.done() and time.monotonic() < end:
            time.sleep(0.01)
        return request.done() and request.result().current_state.label == "active"

    eventually("the new one to be active", is_active, START_TIMEOUT)


@starts
def test_a_lifecycle_node_of_launch_ros(peer: Peer, start: Workspace, tmp_path: Path) -> None:
    """A launch file requests transitions and receives their events: the second request follows the first transition."""
    file = tmp_path / "managed.launch.py"
    file.write_text(
        """
from launch import LaunchDescription
from launch.actions import EmitEvent, RegisterEventHandler
from launch.events import matches_action
from launch_ros.actions import LifecycleNode
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from lifecycle_msgs.msg import Transition


def generate_launch_description():
    node = LifecycleNode(
        package='promptseg', executable='promptseg_node', name='promptseg', namespace='', parameters=[{'autostart': False}]
    )

    def change(transition):
        return EmitEvent(event=ChangeState(lifecycle_node_matcher=matches_action(node), transition_id=transition))

    configured = OnStateTransition(
        target_lifecycle_node=node, start_state='configuring', goal_state='inactive',
        entities=[change(Transition.TRANSITION_ACTIVATE)],
    )
    return LaunchDescription([RegisterEventHandler(configured), node, change(Transition.TRANSITION_CONFIGURE)])
"""
    )
    start(file)
    wait_for(peer, "/promptseg")

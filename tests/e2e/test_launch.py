"""The launch files: what can be read of them, and, where launch and launch_ros are, what they start.

Those two are on no package index: with a sourced ROS 2 they are there, with the wheels of ./dev they are not.
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
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lifecycle_msgs.srv import GetState

from harness import ROOT, START_TIMEOUT, Peer, eventually, find_node
from lifecycle import Manager
from robot import get_parameters

LAUNCH = ROOT / "launch"
PYTHON = sorted(LAUNCH.glob("*.py"))
XML = sorted(LAUNCH.glob("*.xml"))
REQUIRED = {"namespace", "params_file", "model", "image", "use_sim_time", "log_level"}
IS_HERE = all(importlib.util.find_spec(module) for module in ("launch", "launch_ros"))
needs_launch = pytest.mark.skipif(not IS_HERE, reason="launch and launch_ros are not installed: source a ROS 2")


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
    required = {"model", "image"} if file.name == "promptseg_cameras.launch.xml" else REQUIRED
    if "cameras" in arguments:
        # The cameras are the namespaces.
        required = required - {"namespace"}
    assert required <= set(arguments)
    assert all(len(description) > 10 for description in arguments.values())


@pytest.mark.parametrize("file", XML, ids=lambda f: f.name)
def test_what_is_included_knows_its_arguments(file: Path) -> None:
    for include in ElementTree.parse(file).getroot().findall("include"):
        target = LAUNCH / Path(include.get("file", "")).name
        given = {a.get("name") for a in include.findall("arg")}
        assert given <= set(arguments_of(target))


def test_the_xml_file_has_the_arguments_of_the_python_file() -> None:
    assert arguments_of(LAUNCH / "promptseg.launch.xml").keys() == arguments_of(LAUNCH / "promptseg.launch.py").keys()


# ------------------------------------------------------------------------------------ with launch and launch_ros


@pytest.fixture(scope="module")
def prefix() -> Iterator[Path]:
    """What colcon would install."""
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


Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(peer: Peer, prefix: Path, tmp_path: Path) -> Iterator[Start]:
    processes: list[subprocess.Popen[bytes]] = []
    environment = os.environ | {
        "ROS_DOMAIN_ID": str(peer.domain),
        "AMENT_PREFIX_PATH": f"{prefix}:{os.environ['AMENT_PREFIX_PATH']}",
        "ROS_LOG_DIR": str(tmp_path / "log"),
    }

    def start(file: Path, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(Path(__file__).with_name("run_launch_file.py")), str(file), *arguments]
        # A group of its own, for Ctrl-C.
        processes.append(subprocess.Popen(command, env=environment, start_new_session=True))
        return processes[-1]

    yield start
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise


def wait_for(peer: Peer, node: str, state: str = "active") -> Manager:
    manager = Manager(peer, node)
    eventually(f"the services of {node}", lambda: peer.node.count_publishers(f"{node}/transition_event"), START_TIMEOUT)
    manager.wait_for(state)
    return manager


def topics_of(peer: Peer, node: str) -> set[str]:
    namespace, name = node.rsplit("/", 1)
    return {t for t, _ in peer.node.get_subscriber_names_and_types_by_node(name, namespace or "/")}


@needs_launch
@pytest.mark.parametrize("file", ["promptseg.launch.py", "promptseg.launch.xml"])
def test_one_camera(peer: Peer, start: Start, file: str) -> None:
    launched = start(
        LAUNCH / file,
        "namespace:=robot",
        "name:=seg",
        "image:=/camera/image_raw",
        f"params_file:={ROOT}/config/cpu.yaml",
        "use_sim_time:=true",
        "model:=tiny",
    )
    wait_for(peer, "/robot/seg")
    values = get_parameters(peer, "providers", "prompt_timeout", "use_sim_time", "model", node="/robot/seg")
    assert values == [["cpu"], 5.0, True, "tiny"]
    topics = eventually("the subscriptions", lambda: topics_of(peer, "/robot/seg"))
    eventually("the image", lambda: "/camera/image_raw" in topics_of(peer, "/robot/seg"))
    assert {"/camera/image_raw_mouse_left", "/robot/prompts"} <= topics_of(peer, "/robot/seg"), topics
    os.killpg(launched.pid, signal.SIGINT)
    assert launched.wait(20) == 0


@needs_launch
@pytest.mark.parametrize(("shared", "nodes"), [("false", ["/front/promptseg", "/rear/promptseg"]), ("true", ["/promptseg"])])
def test_several_cameras(peer: Peer, start: Start, shared: str, nodes: list[str]) -> None:
    start(LAUNCH / "promptseg_cameras.launch.py", "cameras:=front rear", f"shared:={shared}")
    for node in nodes:
        wait_for(peer, node)
    for camera in ("front", "rear"):
        eventually("its image", lambda c=camera: peer.node.count_subscribers(f"/{c}/image_raw"))


@needs_launch
def test_a_node_that_dies_is_started_again(peer: Peer, start: Start) -> None:
    launched = start(LAUNCH / "promptseg.launch.py", "respawn:=true")
    wait_for(peer, "/promptseg")
    first = child_of(launched.pid)
    os.kill(first, signal.SIGKILL)
    eventually("another process", lambda: child_of(launched.pid) not in (None, first), START_TIMEOUT)
    # DDS takes the dead one for alive for a while: a question may go to it only.
    client = peer.node.create_client(GetState, "/promptseg/get_state")

    def is_active() -> bool:
        asked = client.call_async(GetState.Request())
        end = time.monotonic() + 1.0
        while not asked.done() and time.monotonic() < end:
            time.sleep(0.01)
        return asked.done() and asked.result().current_state.label == "active"

    eventually("the new one to be active", is_active, START_TIMEOUT)


def child_of(pid: int) -> int | None:
    """The node that a launch file has started."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, rest = stat.read_text().rsplit(")", 1)
        except OSError:
            # It has just ended.
            continue
        if "promptseg_node" in name and int(rest.split()[1]) == pid:
            return int(stat.parent.name)
    return None


@needs_launch
def test_a_lifecycle_node_of_launch_ros(peer: Peer, start: Start, tmp_path: Path) -> None:
    """It asks for transitions, and hears of them: the second is asked for when the first is over."""
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

"""The package promptseg in stock tools: catkin_pkg, rosdep, bloom and colcon from PyPI, in a workspace with a package that uses the messages.

A program that copies the binaries of PROMPTSEG_NODE and PROMPTSEG_CLI stands in for cargo; `./dev test --colcon` runs the
real cargo, without a network. A small local index, whose names are in the public index, stands in for the index of ROS.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = Path(os.environ["PROMPTSEG_COLCON"])
OURS = ["AMENT_PREFIX_PATH", "CMAKE_PREFIX_PATH", "LD_LIBRARY_PATH", "PYTHONPATH"]
# Packages in the distribution.yaml of Jazzy, and keys of rosdep/base.yaml, as in the public index.
RELEASED = """
action_msgs ament_cmake ament_index_python bond builtin_interfaces diagnostic_msgs geometry_msgs launch launch_ros launch_xml
lifecycle_msgs nav2_lifecycle_manager rcl rcl_action rcl_interfaces rcl_logging_spdlog rcl_yaml_param_parser rclpy rcutils rmw
rmw_implementation ros2launch rosgraph_msgs rosidl_default_generators rosidl_default_runtime rosidl_runtime_c
rosidl_typesupport_c rqt_image_view rviz2 sensor_msgs std_msgs std_srvs tf2_msgs unique_identifier_msgs vision_msgs
""".split()
SYSTEM = ["clang", "cmake", "libclang-dev", "nasm", "python3-numpy", "python3-pil", "python3-pytest"]


def run(*command: str | Path, cwd: Path, env: dict[str, str], status: int = 0) -> str:
    done = subprocess.run([*map(str, command)], cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == status, f"{command} ended with {done.returncode}:\n{done.stdout[-6000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a robot, with ROS and without promptseg_msgs, and a local index for rosdep and bloom."""
    folder = tmp_path_factory.mktemp("ros")
    env = dict(os.environ)
    for name in OURS:
        parts = [part for part in env.get(name, "").split(":") if "/messages/promptseg_msgs" not in part]
        env[name] = ":".join(parts)
    env.pop("IDL_PACKAGE_FILTER", None)
    repository = {"tags": {"release": "r"}, "url": "https://localhost/r.git", "version": "1.0.0-1"}
    distribution = {
        "release_platforms": {"ubuntu": ["noble"]},
        "repositories": {name: {"release": {"packages": [name], **repository}} for name in RELEASED},
        "type": "distribution",
        "version": 2,
    }
    cache = {"distribution_file": [distribution], "name": "jazzy", "release_package_xmls": {}, "type": "cache", "version": 2}
    index = {
        "distribution": ["distribution.yaml"],
        "distribution_cache": "cache.yaml.gz",
        "distribution_status": "active",
        "distribution_type": "ros2",
        "python_version": 3,
    }
    # JSON is YAML.
    header = "%YAML 1.1\n---\n"
    (folder / "distribution.yaml").write_text(header + json.dumps(distribution))
    (folder / "cache.yaml.gz").write_bytes(gzip.compress(json.dumps(cache).encode()))
    (folder / "index-v4.yaml").write_text(
        header + json.dumps({"type": "index", "version": 4, "distributions": {"jazzy": index}})
    )
    (folder / "base.yaml").write_text(json.dumps({key: {"ubuntu": [key]} for key in SYSTEM}))
    (folder / "sources").mkdir()
    (folder / "sources" / "20-default.list").write_text(f"yaml file://{folder}/base.yaml\n")
    rosdep = {
        "HOME": str(folder),
        "ROSDISTRO_INDEX_URL": f"file://{folder}/index-v4.yaml",
        "ROSDEP_SOURCE_PATH": str(folder / "sources"),
    }
    run(TOOLS / "rosdep", "update", cwd=folder, env=env | rosdep)
    return env | {f"INDEX_{name}": value for name, value in rosdep.items()}


def with_index(environment: dict[str, str]) -> dict[str, str]:
    return environment | {name.removeprefix("INDEX_"): value for name, value in environment.items() if "INDEX_" in name}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace: src/ has this repository and mask_listener, which depends on promptseg only."""
    folder = tmp_path_factory.mktemp("workspace")
    (folder / "src").mkdir()
    (folder / "src" / "promptseg").symlink_to(ROOT)
    (folder / "src" / "mask_listener").symlink_to(ROOT / "tests" / "package" / "mask_listener")
    return folder


def test_every_dependency_is_released_or_in_the_workspace(workspace: Path, environment: dict[str, str]) -> None:
    """Simulates `rosdep install --from-paths src --ignore-src -y` with nothing installed."""
    empty = with_index(environment) | {"AMENT_PREFIX_PATH": str(workspace), "ROS_DISTRO": "jazzy"}
    command = ["install", "--from-paths", "src", "--ignore-src", "-y", "--simulate", "--os=ubuntu:noble"]
    plain = run(TOOLS / "rosdep", *command, cwd=workspace, env=empty)
    assert "ros-jazzy-vision-msgs" in plain and "libclang-dev" in plain and "ros-jazzy-rosidl-default-generators" in plain
    assert "rviz2" not in plain and "nav2" not in plain
    wanted = {"PROMPTSEG_DESKTOP": "yes", "PROMPTSEG_NAV2": "yes"}
    everything = run(TOOLS / "rosdep", *command, cwd=workspace, env=empty | wanted)
    assert all(f"ros-jazzy-{name}" in everything for name in ("rviz2", "rqt-image-view", "nav2-lifecycle-manager"))


def test_catkin_pkg_finds_what_a_dependent_package_names(workspace: Path, environment: dict[str, str]) -> None:
    program = "from catkin_pkg.packages import find_packages; print(sorted(p.name for p in find_packages('src').values()))"
    names = run(TOOLS / "python", "-c", program, cwd=workspace, env=environment)
    assert names.strip() == "['mask_listener', 'promptseg']"


def test_bloom_makes_one_debian_package_with_the_messages(tmp_path: Path, environment: dict[str, str]) -> None:
    for name in ("package.xml", "CMakeLists.txt", "CHANGELOG.rst", "LICENSE"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    system = ["--os-name", "ubuntu", "--os-version", "noble", "--ros-distro", "jazzy"]
    run(TOOLS / "bloom-generate", "rosdebian", *system, cwd=tmp_path, env=with_index(environment))
    control = (tmp_path / "debian" / "control").read_text()
    assert "Package: ros-jazzy-promptseg\n" in control
    depends = next(line for line in control.splitlines() if line.startswith("Depends:"))
    assert "ros-jazzy-rosidl-default-runtime" in depends and "promptseg-msgs" not in control
    # catkin_pkg parses the changelog.
    assert "0.1.0" in (tmp_path / "debian" / "changelog").read_text()
    rules = (tmp_path / "debian" / "rules").read_text()
    assert "DESTDIR" in rules or "dh_auto_install" in rules


def test_the_messages_need_what_promptseg_declares() -> None:
    """promptseg builds promptseg_msgs, so every dependency of promptseg_msgs is a dependency of promptseg too."""

    def dependencies(file: Path) -> set[tuple[str, str]]:
        return {(e.tag, e.text or "") for e in ElementTree.parse(file).getroot() if e.tag.endswith("depend")}

    messages = dependencies(ROOT / "interfaces" / "promptseg_msgs" / "package.xml")
    assert messages <= dependencies(ROOT / "package.xml")
    group = [e.text for e in ElementTree.parse(ROOT / "package.xml").getroot().iter("member_of_group")]
    assert group == ["rosidl_interface_packages"]


CARGO = """#!{python}
import os, shutil, sys
from pathlib import Path
Path({log!r}).write_text("\\n".join(sys.argv[1:]) + "\\nAMENT_PREFIX_PATH=" + os.environ["AMENT_PREFIX_PATH"])
release = Path(os.environ["CARGO_TARGET_DIR"]) / "release"
release.mkdir(parents=True, exist_ok=True)
for name in ("PROMPTSEG_NODE", "PROMPTSEG_CLI"):
    shutil.copy(os.environ[name], release)
"""


@pytest.fixture(scope="module")
def built(workspace: Path, environment: dict[str, str]) -> Iterator[tuple[Path, str]]:
    """The install folder after `colcon build` (with a compiler cache and a stand-in for cargo), and the arguments that cargo got."""
    cargo, log = workspace / "cargo", workspace / "cargo.log"
    cargo.write_text(CARGO.format(python=sys.executable, log=str(log)))
    cargo.chmod(0o755)
    arguments = ["--cmake-args", f"-DCARGO={cargo}", f"-DPython3_EXECUTABLE={sys.executable}"]
    output = run(TOOLS / "colcon", "build", *arguments, cwd=workspace, env=environment)
    assert "2 packages finished" in output
    yield workspace / "install", log.read_text()


def test_colcon_builds_a_package_that_uses_the_messages(built: tuple[Path, str], environment: dict[str, str]) -> None:
    install, _ = built
    share = install / "promptseg" / "share"
    for file in ("promptseg_msgs/msg/MaskArray.msg", "promptseg_msgs/package.xml", "promptseg_msgs/cmake/promptseg_msgsConfig.cmake"):
        assert (share / file).is_file(), file
    for package in ("promptseg", "promptseg_msgs"):
        assert (share / "ament_index" / "resource_index" / "packages" / package).is_file()
    programs = "count_masks && listen.py && promptseg --version && promptseg_node --help"
    path = "install/mask_listener/lib/mask_listener:install/promptseg/lib/promptseg"
    output = run(
        "bash", "-c", f"source install/setup.bash && PATH={path}:$PATH && {programs.replace('&&', '&& ')}",
        cwd=install.parent, env=environment,
    )
    assert "3 masks\n7\npromptseg 0.1.0" in output


def test_installed_files_name_the_final_prefix(built: tuple[Path, str]) -> None:
    """No installed script and no CMake file names the folder where the messages were staged."""
    install, _ = built
    for file in (install / "promptseg" / "share" / "promptseg_msgs").rglob("*"):
        if file.is_file():
            assert b"/stage/" not in file.read_bytes(), file
    script = (install / "promptseg" / "share" / "promptseg_msgs" / "local_setup.sh").read_text()
    assert str(install / "promptseg") in script


def test_everything_that_the_docs_name_is_installed(built: tuple[Path, str]) -> None:
    share = built[0] / "promptseg" / "share" / "promptseg"
    for folder in ("config", "launch", "systemd"):
        for file in (ROOT / folder).iterdir():
            assert file.is_dir() or (share / folder / file.name).is_file(), file
    for file in ("package.xml", "models/tiny/bundle.json", "LICENSE"):
        assert (share / file).is_file()


def test_cargo_sees_the_messages_and_the_lock_file(built: tuple[Path, str]) -> None:
    arguments = built[1].splitlines()
    assert arguments[:4] == ["build", "--release", "--bins", "--locked"]
    assert "/promptseg_msgs/stage/" in arguments[-1].split(":")[0]
    assert ("--offline" in arguments) == (ROOT / "vendor").exists()


def test_the_messages_as_a_package_of_their_own(workspace: Path, environment: dict[str, str]) -> None:
    """A workstation that only subscribes needs no Rust: interfaces/ has promptseg_msgs as its own package. In one workspace with
    promptseg it is built first."""
    (tmp := workspace / "alone").mkdir()
    listed = run(TOOLS / "colcon", "list", "--base-paths", ROOT / "interfaces", "--names-only", cwd=tmp, env=environment)
    assert listed.split() == ["promptseg_msgs"]
    paths = ["--base-paths", ROOT, ROOT / "interfaces"]
    order = run(TOOLS / "colcon", "list", "--topological-order", "--names-only", *paths, cwd=tmp, env=environment)
    assert order.split() == ["promptseg_msgs", "promptseg"]

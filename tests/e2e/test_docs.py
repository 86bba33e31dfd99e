"""Runs every command of README.md and the other pages, or checks it as far as possible if one of its tools is missing.

Commands are the lines of fenced `sh` blocks, and texts in backquotes that begin with one of PROGRAMS. ros2cli is on no package
index: the effects of `ros2 topic pub`, `ros2 service call`, `ros2 param set` and `ros2 run` are produced through rclpy, on a real
node. The end of the output has the counts, and the reason of each exemption.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from geometry_msgs.msg import Point
from lifecycle_msgs.msg import Transition
from PIL import Image as Picture
from promptseg_msgs.msg import BoxPrompt, MaskArray, ObjectMask, ObjectPrompt, PointPrompt, PromptArray
from promptseg_msgs.srv import Segment
from rcl_interfaces.msg import Parameter
from rcl_interfaces.srv import SetParameters
from rclpy.action import ActionClient
from sensor_msgs.msg import Image
from std_msgs.msg import Header

import bags
import summary
from harness import ROOT, START_TIMEOUT, NodeProcess, Peer, eventually, find_node, free_domain
from messages import image
from robot import value_message
from scenes import Scene
from test_launch import LAUNCH, arguments_of

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "cluster/README.md", "export/README.md", "train/README.md", "fuzz/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
PROGRAMS = ("./dev", "ros2", "promptseg", "promptseg-cluster", "promptseg-export", "cargo", "colcon", "rosdep")
# Reasons not to run a command, by program, or by program and first argument.
EXEMPT = {
    "apt": "installs packages of the system",
    "curl": "downloads the Rust tool chain",
    "docker": "needs docker and a GPU; the launch file in its command line is checked",
    "export": "sets a variable of the reader's shell",
    "git clone": "the address of the repository is the reader's",
    "git commit": "commits",
    "jetson_clocks": "needs a Jetson",
    "journalctl": "needs the service",
    "kubectl": "needs Kubernetes; tests/cluster reads the job",
    "nvpmodel": "needs a Jetson",
    "pip install": "downloads gigabytes, or onnxruntime; the folder and its extras are checked",
    "promptseg console": "serves until it is interrupted; tests/cli_console.rs",
    "python3 -m": "makes an environment in the reader's home",
    "rosdep init": "writes into /etc",
    "rosdep update": "needs the index of ROS; tests/package has a local one",
    "rustup": "downloads a tool chain",
    "source": "changes the reader's shell",
    "systemctl": "needs systemd",
    "tar": "unpacks what `./dev vendor` made: `./dev test --colcon`",
    "usermod": "changes a user",
    "xdg-open": "needs a desktop",
}
# Commands that CI or the tests of tests/package run in exactly these words.
ELSEWHERE = {
    "./dev test": ".ci/run",
    "./dev demo": ".ci/run",
    "colcon build": "tests/package",
    "rosdep install --from-paths src --ignore-src -y": "tests/package",
    "colcon build --base-paths src/promptseg/interfaces": "tests/package",
    "colcon build --cmake-args -DCMAKE_BUILD_TYPE=Release": "tests/package, with other arguments for CMake",
    "colcon test --packages-select promptseg": "tools/colcon-check",
    "colcon test-result --verbose": "tools/colcon-check",
    "cargo fmt": "./dev test",
    "cargo test": "./dev test",
    "cargo clippy --all-targets -- -D warnings": "./dev test",
}
COLOURS = ROOT / "tests" / "fixtures" / "colour_text"
FILES_OF_THE_READER = ("photo.jpg", "shots", "models/sam_b", "models/sam2.1_tiny", "sam_vit_b_01ec64.pth")
COUNTS: Counter[str] = Counter()
EXEMPTED: Counter[str] = Counter()


@dataclass(frozen=True)
class Command:
    page: Path
    line: int
    text: str
    fenced: bool

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line} {self.text[:60]}"

    def words(self) -> list[str]:
        words = shlex.split(re.sub(r"\$\([^)]*\)", "SUBSTITUTED", self.text), comments=self.fenced)
        if words and words[0].endswith("/bin/pip"):
            words[0] = "pip"
        while words and (words[0] in ("sudo", "exec") or re.fullmatch(r"[A-Z][A-Z0-9_]*=.*", words[0])):
            words = words[1:]
        return words

    def is_pattern(self) -> bool:
        """Whether the text is a pattern for many commands, as `promptseg segment IMAGE... [--all]`."""
        return bool(re.search(r"\[[-A-Z]|\.\.\.| [A-Z_]{3,}\b(?!=)|\b(MODEL|FILE|PATH|TOPIC)\b", self.text.split("{")[0]))


def commands() -> Iterator[Command]:
    for page in PAGES:
        fence, continued = None, ""
        for number, line in enumerate(page.read_text().splitlines(), 1):
            if match := re.match(r"\s*```(\w*)", line):
                fence = None if fence is not None else match[1]
            elif fence == "sh":
                if line.endswith("\\"):
                    continued += line[:-1]
                    continue
                for text in split(continued + line):
                    yield Command(page, number, text, fenced=True)
                continued = ""
            elif fence is None:
                for text in re.findall(r"`([^`]+)`", line):
                    if text.split()[0] in PROGRAMS and len(text.split()) > 1:
                        yield Command(page, number, text, fenced=False)


def split(line: str) -> list[str]:
    """Splits a line of a shell into its simple commands."""
    line = re.sub(r"(^|\s)#.*$", "", line).strip()
    if match := re.fullmatch(r"for (\w+) in ([^;]+); do (.+); done", line):
        return [match[3].replace(f"${match[1]}", value) for value in match[2].split()]
    outside = re.split(r"""\s*(?:&&|;|\s\|\s)\s*(?=(?:[^"']*["'][^"']*["'])*[^"']*$)""", line)
    return [part for part in outside if part and not part.startswith("sh -s")]


ALL = list(commands())


class Bench:
    """A node with one camera, a node with two cameras, and a peer of each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[NodeProcess] = []
        self.peers: dict[bool, Peer] = {}
        (folder / "models").mkdir()
        for name in ("sam_b", "sam2.1_tiny"):
            (folder / "models" / name).symlink_to(ROOT / "models" / "tiny")
        photo = Picture.fromarray(Scene().rgb).resize((640, 480))
        photo.save(folder / "photo.jpg")
        (folder / "shots").mkdir()
        photo.save(folder / "shots" / "one.png")
        found = bags.detections([("disk", 0.9, (40, 60, 120, 140))], bags.START)
        recorded = [
            bags.Recorded("/camera/image_raw", bags.IMAGE, bags.START, bags.image(Scene().rgb, bags.START)),
            bags.Recorded("/detections", bags.DETECTIONS, bags.START, found),
        ]
        bags.write(folder / "drive", recorded)
        (folder / "clicks").mkdir()
        prompts = [{"frame": 0, "object": 1, "points": [[80, 100]]}]
        (folder / "clicks" / "prompts.json").write_text(json.dumps(prompts))
        # Text models of both kinds that know colours, and the robot's copy without a text tower, with its bank.
        (folder / "owlv2").symlink_to(COLOURS)
        (folder / "sam3").symlink_to(COLOURS.with_name("colour_masks"))
        shutil.copytree(COLOURS, folder / "robot", ignore=shutil.ignore_patterns("text_tower.onnx", "tokenizer.json"))
        self.program("text-bank", "owlv2/", "red cup", "-o", "bank.safetensors")
        for several, arguments in {
            False: ["-r", "image:=/camera/image_raw", "-r", "camera_info:=/camera/camera_info"],
            True: ["-p", "cameras:=[front, rear]", "-r", "front/image:=/front/image_raw", "-r", "rear/image:=/rear/image_raw"],
        }.items():
            domain = free_domain()
            self.processes.append(NodeProcess(domain, *arguments))
            self.peers[several] = Peer(domain)
        for several in (False, True):
            self.processes[several].wait_ready()
            eventually("the node", lambda s=several: "promptseg" in self.peers[s].node.get_node_names())

    def peer_of(self, words: list[str]) -> Peer:
        return self.peers[any(part in word for word in words for part in ("/front", "/rear"))]

    def program(self, *arguments: str) -> str:
        done = subprocess.run(
            [str(Path(os.environ.get("PROMPTSEG_CLI", find_node().with_name("promptseg")))), *arguments],
            cwd=self.folder,
            env=os.environ | {"HOME": str(self.folder)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"promptseg {arguments} ended with {done.returncode}:\n{done.stderr}"
        return done.stdout

    def close(self) -> None:
        for peer in self.peers.values():
            peer.close()
        for process in self.processes:
            process.close()


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    bench = Bench(tmp_path_factory.mktemp("reader"))
    try:
        yield bench
    finally:
        bench.close()


@pytest.fixture(scope="module", autouse=True)
def count_commands(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    lines = [", ".join(f"{n} {how}" for how, n in sorted(COUNTS.items())) or "none was selected"]
    lines += [f"  not run: {name} ({n}): {EXEMPT[name]}" for name, n in sorted(EXEMPTED.items())]
    summary.add(request.config, lines)


def kind(name: str) -> type:
    package, group, kind = name.split("/")
    return getattr(import_module(f"{package}.{group}"), kind)


def fill(message: Any, values: dict[str, Any]) -> Any:
    fields = message.get_fields_and_field_types()
    for name, value in values.items():
        assert name in fields, f"{type(message).__name__} has no field {name}"
        current = getattr(message, name)
        if isinstance(value, dict):
            fill(current, value)
        else:
            setattr(message, name, type(current)(value))
    return message


@pytest.mark.parametrize("command", ALL, ids=str)
def test_a_command_of_the_docs(command: Command, bench: Bench) -> None:
    words = command.words()
    text = " ".join(words)
    if command.text in ELSEWHERE:
        COUNTS["run elsewhere (CI, tests/package)"] += 1
        return
    for name in (" ".join(words[:2]), words[0]):
        if name in EXEMPT:
            check_exempt(words)
            COUNTS["not run"] += 1
            EXEMPTED[name] += 1
            return
    match words:
        case ["cd" | "mkdir", *_]:
            how = "checked"
        case ["cp", source, target]:
            how = check_copy(source, target)
        case ["./dev", *rest]:
            how = check_dev(rest, bench)
        case ["promptseg", *rest]:
            how = check_promptseg(command, rest, bench)
        case ["promptseg-cluster", *rest]:
            how = check_cluster(rest, bench)
        case ["promptseg-export", *rest]:
            how = check_export(rest)
        case ["cargo", *rest]:
            how = check_cargo(rest)
        case ["ros2", verb, *rest]:
            how = check_ros2(verb, rest, bench)
        case ["colcon" | "rosdep", *_] if not command.fenced or "PROMPTSEG_DESKTOP" in command.text:
            assert any(text.split(" (")[0].startswith(" ".join(command_line.split()[:2])) for command_line in ELSEWHERE), text
            how = "checked"
        case _:
            pytest.fail(f"no test knows {command.text!r}: teach tests/e2e/test_docs.py to run it, or exempt it with the reason")
    COUNTS[how] += 1


def check_exempt(words: list[str]) -> None:
    if "ros2" in words:
        check_launch(words[words.index("ros2") + 2 :])
    for word in words:
        if word.startswith("./") and words[0] == "pip":
            project, _, extras = word.rstrip("]").partition("[")
            described = tomllib.loads((ROOT / project / "pyproject.toml").read_text())
            assert not extras or extras in described["project"]["optional-dependencies"]
        if word.startswith("promptseg:"):
            tag = word.partition(":")[2]
            assert any(tag in file.name for file in (ROOT / "docker").glob("*.Dockerfile")), word


def check_copy(source: str, target: str) -> str:
    assert (ROOT / source.removeprefix("src/promptseg/")).is_file(), source
    if "/default" in target:
        unit = (ROOT / "systemd" / "promptseg.service").read_text()
        assert f"\nEnvironmentFile={target}\n" in unit
    return "checked"


OPTIONS_OF = {
    "bench": ["benches/compare/__main__.py", "benches/node.py", "dev"],
    "demo": ["demo/options.py"],
    "gpu-proof": ["benches/gpu_proof/__main__.py"],
    "models": ["export/promptseg_export/table.py"],
    "soak": ["tests/soak/options.py"],
    "test": ["dev"],
    "train": ["train/options.py"],
}


def check_dev(words: list[str], bench: Bench) -> str:
    if words in (["help"], ["bench", "--list"]):
        subprocess.run([str(ROOT / "dev"), *words], check=True, stdout=subprocess.DEVNULL)
        return "run"
    if words[:3] == ["shell", "--", "python"]:
        program = [sys.executable, str(ROOT / words[3]), *words[4:]]
        done = subprocess.run(program, cwd=bench.folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return "run"
    if words[0] == "shell" and words[1:2] == ["--"]:
        assert words[2] == "cargo", words
        return check_cargo(words[3:])
    usage = subprocess.run([str(ROOT / "dev"), "help"], check=True, capture_output=True, text=True).stdout
    assert re.search(rf"^  {words[0]}\b", usage, re.MULTILINE), f"./dev help does not know {words[0]}"
    if words[0] == "fuzz" and len(words) > 1 and words[1] != "TARGET":
        assert (ROOT / "fuzz" / "seeds" / words[1]).is_dir()
    own = words[: words.index("--")] if "--" in words else words
    for option in (word for word in own[1:] if word.startswith("--")):
        sources = "".join((ROOT / file).read_text() for file in OPTIONS_OF[words[0]])
        assert re.search(rf"""["' ]{option}["' )|]""", sources), f"./dev {words[0]} does not know {option}"
    for file in (word for word in own[1:] if "/" in word and not word.startswith(("~", "-", "track/", "text/", "levels/"))):
        assert (ROOT / file).exists(), file
    return "checked"


def check_promptseg(command: Command, words: list[str], bench: Bench) -> str:
    if "|" in words:
        usage = bench.program("--help")
        assert all(re.search(rf"^  {name}\b", usage, re.MULTILINE) for name in words if name != "|"), words
        return "checked"
    if words == ["--version"]:
        bench.program(*words)
        return "run"
    usage = bench.program(words[0], "--help")
    for option in re.findall(r"--[a-z][a-z-]+", command.text):
        assert re.search(rf"(^|\s){option}\b", usage), f"promptseg {words[0]} does not know {option}"
    # This needs a model with memory, or a GPU with TensorRT.
    if command.is_pattern() or len(words) == 1 or words[0] in ("track", "build-engines"):
        return "checked"
    shutil.rmtree(bench.folder / "out", ignore_errors=True)
    # Files of an earlier command are not replaced.
    for file in [*bench.folder.glob("photo_*"), *([bench.folder / "bank.safetensors"] if words[0] == "text-bank" else [])]:
        file.unlink()
    bench.program(*(word.replace("~", str(bench.folder)) for word in words))
    return "run"


def check_cluster(words: list[str], bench: Bench) -> str:
    """The bags need no cluster to be planned; what follows -- are options of promptseg label."""
    program = "import sys; from promptseg_cluster.plan import parse, plan; print(*plan(*parse(sys.argv[1:])), sep='\\n')"
    model = (str(bench.folder / "models" / "sam_b") if word.startswith("~/models") else word for word in words)
    environment = os.environ | {"PYTHONPATH": str(ROOT / "cluster")}
    subprocess.run([sys.executable, "-c", program, *model], env=environment, check=True)
    usage = bench.program("label", "--help")
    behind = words[words.index("--") + 1 :] if "--" in words else []
    for option in (word for word in behind if word.startswith("--")):
        assert re.search(rf"(^|\s){option}\b", usage), f"promptseg label does not know {option}"
    return "checked"


def check_export(words: list[str]) -> str:
    program = "import sys; from promptseg_export.cli import parser; parser().parse_args(sys.argv[1:])"
    # The name of a command alone is not run, and its arguments are required.
    words = [*words, "--help"] if len(words) == 1 else words
    environment = os.environ | {"PYTHONPATH": str(ROOT / "export")}
    subprocess.run([sys.executable, "-c", program, *words], env=environment, check=True, stdout=subprocess.DEVNULL)
    return "checked"


def check_cargo(words: list[str]) -> str:
    manifest = tomllib.loads((ROOT / "Cargo.toml").read_text())
    benches = {entry["name"] for entry in manifest["bench"]}
    accepted = {
        "--test": {file.stem for file in (ROOT / "tests").glob("*.rs")}
        | {file.parent.name for file in (ROOT / "tests").glob("*/main.rs")},
        "--bench": benches,
        "--bin": {"promptseg", "promptseg_node"},
        "--features": set(manifest["features"]),
    }
    for option, value in zip(words, words[1:], strict=False):
        assert option not in accepted or value in accepted[option], f"{option} {value}"
    if words[:2] == ["+nightly", "fuzz"] and len(words) > 3:
        assert (ROOT / "fuzz" / "seeds" / words[3]).is_dir()
    return "checked"


def check_launch(words: list[str]) -> str:
    if words[0] != "promptseg":
        # A launch file of another package.
        return "checked"
    if words[1] == "FILE":
        return "checked"
    declared = arguments_of(LAUNCH / words[1])
    for name, value in (word.split(":=", 1) for word in words[2:]):
        assert name in declared, f"{words[1]} has no argument {name}"
        if match := re.search(r"SUBSTITUTED/(\S+)", value):
            assert (ROOT / match[1]).is_file(), value
    return "checked"


def check_ros2(verb: str, words: list[str], bench: Bench) -> str:
    options = {"--once", "--field", "--truncate-length", "--no-arr", "-v", "--show-args"}
    peer = bench.peer_of(words)
    match [verb, *words]:
        case ["topic", "pub", "--once", topic, name, values]:
            eventually(f"a subscriber of {topic}", lambda: dict(subscribed(peer)).get(topic) == [name])
            peer.publish(topic, fill(kind(name)(), yaml.safe_load(values)))
            return "run"
        case ["topic", "echo", *rest]:
            topic = next(word for word in rest if word.startswith("/"))
            types = eventually(f"a publisher of {topic}", lambda: dict(published(peer)).get(topic))
            assert {word for word in rest if word.startswith("-")} <= options
            message = kind(types[0])()
            if "--field" in rest:
                # ros2 topic accepts field names separated by dots, and no index.
                for field in rest[rest.index("--field") + 1].split("."):
                    assert hasattr(message, field), f"{types[0]} has no field {field}"
                    message = getattr(message, field)
            return "checked"
        case ["service", "call", service, name, *values]:
            request = fill(kind(name).Request(), yaml.safe_load(values[0]) if values else {})
            peer.call(kind(name), service, request)
            return "run"
        case ["action", "send_goal", "--feedback", action, name, values]:
            client = ActionClient(peer.node, kind(name), action)
            assert client.wait_for_server(START_TIMEOUT)
            goal = fill(kind(name).Goal(), yaml.safe_load(values))
            sent = peer.run(lambda: client.send_goal_async(goal))
            eventually("an answer to the goal", sent.done)
            assert sent.result().accepted
            client.destroy()
            return "run"
        case ["param", "set", node, name, value]:
            value = value.replace("$HOME", str(bench.folder))
            parameter = Parameter(name=name, value=value_message(yaml.safe_load(value)))
            answer = peer.call(SetParameters, f"{node}/set_parameters", SetParameters.Request(parameters=[parameter]))
            assert answer.results[0].successful, answer.results[0].reason
            return "run"
        case ["lifecycle", "set", node, label]:
            assert f"TRANSITION_{label.upper()}" in dir(Transition)
            assert peer.node.count_publishers(f"{node}/transition_event")
            return "checked"
        case ["launch", *rest]:
            return check_launch([word for word in rest if word not in options])
        case ["run", "promptseg", "promptseg_node", "--ros-args", *arguments]:
            process = NodeProcess(free_domain(), *arguments)
            try:
                process.wait_ready()
            finally:
                process.close()
            return "run"
        case ["run", "rqt_image_view", "rqt_image_view", topic]:
            assert dict(published(peer)).get(topic) == ["sensor_msgs/msg/Image"], topic
            return "checked"
        case ["lifecycle", "get" | "set" | "list", *_] | ["topic", "info" | "echo", *_] | ["param", "set" | "list" | "get", *_]:
            return "checked"
        case ["lifecycle"] | ["launch"]:
            return "checked"
    pytest.fail(f"no test knows ros2 {verb} {words}")


def subscribed(peer: Peer) -> list[tuple[str, list[str]]]:
    return peer.node.get_subscriber_names_and_types_by_node("promptseg", "/")


def published(peer: Peer) -> list[tuple[str, list[str]]]:
    return peer.node.get_publisher_names_and_types_by_node("promptseg", "/")


def blocks(language: str) -> list[tuple[str, str]]:
    collected = []
    for page in PAGES:
        for block in re.finditer(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
            collected.append((page.name, block[1]))
    return collected


@pytest.mark.parametrize(("page", "block"), blocks("python"))
def test_a_python_block_of_the_docs(page: str, block: str, bench: Bench) -> None:
    peer = bench.peers[False]
    frame = image(Scene().rgb, peer.node.get_clock().now().to_msg())
    names = {
        "node": peer.node,
        "publisher": peer.node.create_publisher(PromptArray, "prompts", 10),
        "header_of_the_image": Header(),
        "image": frame,
        "drawn": np.zeros((240, 320), np.uint8),
        "h": 240,
        "w": 320,
        # The string that pycocotools writes for a mask without pixels.
        "message": MaskArray(height=240, width=320, masks=[ObjectMask(object_id=1, rle_counts="PP[2")]),
    }
    messages = (Image, Point, PromptArray, ObjectPrompt, PointPrompt, BoxPrompt, Segment)
    client = peer.node.create_client(Segment, "promptseg/segment")
    assert client.wait_for_service(START_TIMEOUT)
    exec(block, names | {message.__name__: message for message in messages})


@pytest.mark.parametrize(("page", "block"), blocks("yaml"))
def test_a_parameter_file_of_the_docs(page: str, block: str, tmp_path: Path) -> None:
    (file := tmp_path / "parameters.yaml").write_text(block)
    process = NodeProcess(free_domain(), "--params-file", str(file))
    try:
        process.wait_ready()
    finally:
        process.close()


def test_every_command_is_counted() -> None:
    """This module finds the commands of all pages, not only a few lines of the README."""
    assert len(ALL) > 100
    assert sum(command.fenced for command in ALL) > 50


def test_every_encoding_is_listed() -> None:
    source = (ROOT / "src" / "pixels" / "encoding.rs").read_text()
    encodings = re.findall(r'"(\w+)"', source[source.index("SUPPORTED_ENCODINGS") : source.index("];")])
    assert len(encodings) > 20
    row = next(line for line in (ROOT / "docs" / "interfaces.md").read_text().splitlines() if line.startswith("| `image` |"))
    listed = re.findall(r"`([^`]+)`", row)
    assert [name for name in encodings if not any(fnmatch.fnmatch(name, pattern) for pattern in listed)] == []


def test_the_distributions_are_those_of_r2r() -> None:
    """r2r_common panics on any other distribution. README omits Foxy, Galactic and Iron, which are no longer supported."""
    metadata = yaml.safe_load(
        subprocess.run(
            ["cargo", "metadata", "--format-version", "1", "--locked", "--offline"],
            cwd=ROOT, check=True, capture_output=True, text=True,
        ).stdout
    )
    manifest = next(p["manifest_path"] for p in metadata["packages"] if p["name"] == "r2r_common")
    source = (Path(manifest).parent / "src" / "lib.rs").read_text()
    supported = re.search(r"SUPPORTED_ROS_DISTROS: [^=]*= &\[(.*?)\]", source)
    assert supported, "r2r_common has no list of distributions any more"
    names = set(re.findall(r'"(\w+)"', supported[1]))
    sentence = re.search(r"ROS 2 ((?:\w+, )+\w+ or \w+)", (ROOT / "README.md").read_text())
    assert sentence, "README names no distributions"
    named = set(sentence[1].lower().replace(" or ", ", ").split(", "))
    assert named == names - {"foxy", "galactic", "iron"}
    assert "kilted" not in names


def test_every_module_is_in_the_tables() -> None:
    """README lists the folders of src/, and src/lib.rs the modules."""
    modules = {path.stem for path in (ROOT / "src").iterdir() if path.name not in ("lib.rs", "bin")}
    assert len(modules) > 15
    table = next(part for part in (ROOT / "README.md").read_text().split("\n\n") if part.startswith("| folder of `src/`"))
    assert {Path(name).stem for name in re.findall(r"`([\w/]+?)/?(?:\.rs)?`", table)} >= modules
    assert set(re.findall(r"^//! \* \[?`(\w+)`", (ROOT / "src/lib.rs").read_text(), re.MULTILINE)) == modules


def test_versions_agree() -> None:
    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]
    assert f"<version>{version}</version>" in (ROOT / "package.xml").read_text()
    assert re.search(rf"^{re.escape(version)} \(\d{{4}}-\d\d-\d\d\)$", (ROOT / "CHANGELOG.rst").read_text(), re.MULTILINE)


def test_the_service_finds_what_the_steps_install(tmp_path: Path) -> None:
    """Runs the command line of the unit, with its environment file, in a home folder set up as in docs/deploy.md."""
    steps = [re.search(r"^export ORT_DYLIB_PATH=\$\(echo (\S+)\)", (ROOT / page).read_text(), re.MULTILINE) for page in PATHS_OF_ORT]
    (path,) = {match[1] for match in steps if match}
    pairs = [line.split("=", 1) for line in (ROOT / "systemd" / "promptseg.default").read_text().splitlines() if "=" in line]
    given = {name: value.replace("/home/robot", str(tmp_path)) for name, value in pairs}
    assert given["WORKSPACE"] == str(tmp_path / "ros_ws")
    file = re.search(r"params_file:=\S+/share/promptseg/(\S+)", given["ARGUMENTS"])
    assert file and (ROOT / file[1]).is_file()
    library = Path(path.replace("~", str(tmp_path)).replace("*", "", 1).replace("python3", "python3.12").rstrip("*") + ".1.31.1")
    for made in (library, tmp_path / "ros_ws" / "install" / "setup.bash", tmp_path / "ros" / given["ROS_DISTRO"] / "setup.bash"):
        made.parent.mkdir(parents=True)
        made.touch()
    (tmp_path / "bin").mkdir()
    (program := tmp_path / "bin" / "ros2").write_text('#!/bin/sh\necho "$ORT_DYLIB_PATH"; echo "$@"\n')
    program.chmod(0o755)
    unit = (ROOT / "systemd" / "promptseg.service").read_text()
    start = shlex.split(re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE)[1].replace("/opt/ros", str(tmp_path / "ros")))  # type: ignore[index]
    environment = given | {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"}
    printed = subprocess.run(start, env=environment, check=True, capture_output=True, text=True).stdout.splitlines()
    assert printed == [str(library), f"launch promptseg promptseg.launch.py {given['ARGUMENTS']}"]


PATHS_OF_ORT = ("README.md", "docs/deploy.md")


def measured(start: str) -> dict[str, float]:
    """The milliseconds of promptseg in docs/performance.md at fp32, by model, for the cases that begin with `start`."""
    rows = re.findall(rf"^\| {start}/([\w.]+)/1280x720 \| ([\d.]+) \|", (ROOT / "docs" / "performance.md").read_text(), re.MULTILINE)
    return {model: float(ms) for model, ms in rows}


def test_the_times_of_the_readme_are_those_of_the_table() -> None:
    text = " ".join((ROOT / "README.md").read_text().split())
    sentence = re.search(r"([\d.]+) s with the built-in `tiny` and ([\d.]+) to ([\d.]+) s with EdgeTAM, MobileSAM .*? click (\d+) to (\d+) ms", text)
    assert sentence
    images, clicks = measured("image_to_mask"), measured("second_click")
    others = [images[model] / 1000 for model in ("edgetam", "mobilesam", "sam2.1_tiny")]
    expected = [images["tiny"] / 1000, min(others), max(others), min(clicks.values()), max(clicks.values())]
    assert [float(number) for number in sentence.groups()] == pytest.approx(expected, rel=0.15)


PROOFS = ("compiler: ", "emulation: ", "device: ", "not yet")
PROVEN = "## Where each claim was proven"


def test_every_claim_about_providers_says_where_it_was_proven() -> None:
    text = (ROOT / "docs" / "providers.md").read_text()
    assert text.count(PROVEN) == 1
    rows = [line.strip("| ").split(" | ") for line in text.split(PROVEN)[1].split("\n### ")[0].splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 20
    anchors = set()
    for claim, section, proven in rows:
        assert proven.startswith(PROOFS), f"{claim}: {proven!r} is none of {PROOFS}"
        named = re.findall(r"`([^`]+)`", proven)
        assert named or proven == "not yet", f"{claim}: {proven!r} names no test"
        assert not [name for name in named if not name.startswith("./dev ") and not (ROOT / name).is_file()], proven
        anchors.add(re.search(r"\(#([\w-]+)\)", section)[1])  # type: ignore[index]
    headings = re.findall(r"^###? (.+)$", text, re.MULTILINE)
    sections = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings if heading not in PROVEN}
    assert anchors == sections


HELP = [[name, "--help"] for name in ("bench", "demo", "gpu-proof", "models", "soak", "train")]
WRONG = [
    ["demo", "--clik", "1,2"],
    ["bench", "--only", "nothing"],
    ["gpu-proof", "--docs", "--rehearse"],
    ["models", "--fast"],
    ["soak", "--minutes", "ten"],
    ["train", "--form"],
]


@pytest.mark.parametrize(
    ("arguments", "status"), [*((a, 0) for a in (["help"], ["bench", "--list"], *HELP)), *((a, 2) for a in WRONG)]
)
def test_dev_sets_up_nothing_for_a_text(arguments: list[str], status: int, tmp_path: Path) -> None:
    """Runs ./dev in a copy without .dev and with neither cargo nor apt-get on the PATH, so that any installation fails."""
    for name in ("tools", "benches", "demo", "export", "tests", "train", ".cargo"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "dev", tmp_path / "dev")
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "cat", "cut", "date", "dirname", "flock", "grep", "ln", "ls", "mkdir", "rm", "sed", "sha256sum", "tr"):
        if program := shutil.which(name):
            (tools / name).symlink_to(program)
    (tools / "python3").symlink_to(sys._base_executable)  # type: ignore[attr-defined]
    environment = {"PATH": str(tools), "HOME": str(tmp_path)}
    done = subprocess.run([str(tmp_path / "dev"), *arguments], env=environment, capture_output=True, text=True, timeout=30)
    assert done.returncode == status, done.stderr
    assert len((done.stdout + done.stderr).splitlines()) > (5 if status == 0 else 0)
    assert not [path for path in (tmp_path / ".dev").glob("*") if path.name != "log"]

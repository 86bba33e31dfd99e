"""`promptseg-cluster` on a real Ray cluster: a head without work and two workers on this machine, one of which is killed."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bags
import pytest
import ray
from ray.cluster_utils import Cluster
from scenes import CARD, DISK, EGG, Scene

ROOT = Path(__file__).parents[2]
TINY = ROOT / "models" / "tiny"
PROGRAM = os.environ.get("PROMPTSEG_CLI", str(ROOT / "target" / "debug" / "promptseg"))
# Only failing tests wait this long.
PATIENCE = 400.0
PERIOD = 100_000_000
STORE = 100 << 20


def bag(folder: Path, frames: int) -> Path:
    """A bag with three moving shapes, and the boxes of a detector."""
    messages = []
    for number in range(frames):
        at = bags.START + number * PERIOD
        scene = Scene((DISK.moved(3 * number, number), CARD.moved(-2 * number, 2 * number), EGG.moved(0, -number)))
        messages.append(bags.Recorded("/image", bags.IMAGE, at, bags.image(scene.rgb, at)))
        boxes = [(name, 0.9, shape.box) for name, shape in zip(("disk", "card", "egg"), scene.shapes)]
        messages.append(bags.Recorded("/detections", bags.DETECTIONS, at, bags.detections(boxes, at)))
    return bags.write(folder, messages)


def files(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def processes(words: str) -> list[int]:
    """The processes of the program under test whose command line has some words."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            is_zombie = (folder / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
            if command.startswith(f"{PROGRAM} label ") and words in command and not is_zombie:
                found.append(int(folder.name))
    return found


def eventually(description: str, poll: Callable[[], Any]) -> Any:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if value := poll():
            return value
        time.sleep(0.01)
    pytest.fail(f"no {description} within {PATIENCE:.0f} s")


def started(start: Callable[[], Any]) -> Any:
    """The node that a function starts. Ray gives a node 30 s for its start, which is short on a busy machine."""
    for _ in range(4):
        try:
            return start()
        except Exception as e:  # noqa: BLE001 - Ray raises Exception itself
            if "timed out during startup" not in str(e):
                raise
    return start()


class TwoWorkers:
    """A Ray cluster on this machine. Each worker node has a cache of models of its own, as on machines of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # A dead node is noticed within seconds.
        health = {"health_check_period_ms": 500, "health_check_failure_threshold": 4, "health_check_initial_delay_ms": 0}
        head = {"num_cpus": 0, "object_store_memory": STORE, "_system_config": health}
        self.cluster = started(lambda: Cluster(initialize_head=True, head_node_args=head))
        self.workers: dict[str, Any] = {}
        self.started = 0
        self.start_worker()
        self.start_worker()

    def start_worker(self) -> None:
        name = f"worker{self.started}"
        # An address of its own, so that the command is attached to the head, and not to a worker that dies.
        address = f"127.0.0.{2 + self.started}"
        self.started += 1
        variables = {"XDG_CACHE_HOME": str(self.folder / name), "PYTHONPATH": str(ROOT / "cluster")}
        arguments = {"num_cpus": 1, "object_store_memory": STORE, "env_vars": os.environ | variables, "node_ip_address": address}
        node = started(lambda: self.cluster.add_node(**arguments))
        self.workers[node.node_id] = node

    def command(self, *arguments: str | Path) -> list[str]:
        return [sys.executable, "-m", "promptseg_cluster.cli", *map(str, arguments), "--address", self.cluster.address]

    def label(self, paths: list[Path], out: Path, *options: str, arguments: list[str]) -> list[str]:
        own = ["--out", str(out), "--cpus", "1", "--program", PROGRAM, *options]
        # What follows -- is last.
        return [*self.command(*paths, *own), "--", *arguments]


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoWorkers]:
    workers = TwoWorkers(tmp_path_factory.mktemp("caches"))
    yield workers
    workers.cluster.shutdown()
    assert not ray.is_initialized()


def run(command: list[str], code: int = 0) -> str:
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT / "cluster")})
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def on_one_machine(path: Path, out: Path, arguments: list[str]) -> dict[str, bytes]:
    subprocess.run([PROGRAM, "label", str(path), *arguments, "--threads", "1", "--out", str(out)], check=True)
    return files(out)


def logs(out: Path) -> str:
    return "".join(f.read_text() for f in sorted((out / "logs").iterdir()))


def test_several_bags_have_the_bytes_of_one_machine_and_the_model_is_sent_once(workers: TwoWorkers, tmp_path: Path) -> None:
    # A copy under another name, so that it is in no cache.
    model = shutil.copytree(TINY, tmp_path / "toy")
    arguments = ["--detections", "/detections", "--format", "coco,yolo"]
    drives = [bag(tmp_path / f"drive{number}", 3 + number) for number in range(4)]
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "broken_0.mcap").write_bytes(b"no bag")
    out = tmp_path / "sets"
    said = run(workers.label([*drives, broken], out, "--model", str(model), arguments=arguments), code=1)
    assert "broken: exit code 1 on node" in said and "no file of the bag can be read" in said, said
    for number, drive in enumerate(drives):
        alone = on_one_machine(drive, tmp_path / f"alone{number}", [*arguments, "--model", str(model)])
        assert files(out / drive.name) == alone
    nodes = set(re.findall(r"node (\w+)", logs(out)))
    fetched = re.findall(r"node (\w+), model fetched", logs(out))
    assert sorted(fetched) == sorted(nodes) and nodes <= set(workers.workers), "each node fetches the model once"


def test_slices_are_one_run_although_a_worker_is_killed(workers: TwoWorkers, tmp_path: Path) -> None:
    drive, out = bag(tmp_path / "drive", 20), tmp_path / "sets"
    arguments = ["--detections", "/detections", "--auto", "--points-per-side", "3", "--val", "0.25", "--format", "coco,png,yolo"]
    alone = on_one_machine(drive, tmp_path / "alone", arguments)
    command = workers.label([drive], out, "--slices", "2", arguments=arguments)
    environment = os.environ | {"PYTHONPATH": str(ROOT / "cluster")}
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        log = out / "logs" / "drive.2.log"
        records = out / "slices" / "drive" / "2" / "frames"
        eventually("records of the second slice", lambda: len(list(records.glob("0*.json"))) >= 2)
        # Stopped, so that the node dies in the middle of the work, however quick the machine is.
        (program,) = processes("--slice 2/2 ")
        os.kill(program, signal.SIGSTOP)
        at_death = len(list(records.glob("0*.json")))
        (victim,) = re.findall(r"node (\w+)", log.read_text())
        workers.cluster.remove_node(workers.workers.pop(victim), allow_graceful=False)
        eventually("end of the program of the dead node", lambda: program not in processes("--slice 2/2 "))
        _, errors = running.communicate(timeout=PATIENCE)
    finally:
        running.kill()
        running.wait()
    assert running.returncode == 0, errors
    nodes = re.findall(r"node (\w+)", log.read_text())
    assert at_death < 10 and len(nodes) == 2 and nodes[0] == victim != nodes[1], "the slice went on on the other node"
    joined = files(out / "drive")
    assert sorted(joined) == sorted(alone)
    assert [name for name in alone if alone[name] != joined[name]] == []
    assert not (out / "slices" / "drive").exists()
    # The same command again computes nothing.
    assert "drive: done on node" in run(command)
    assert files(out / "drive") == alone
    workers.start_worker()


def test_a_run_waits_for_a_node_that_has_the_resource(workers: TwoWorkers, tmp_path: Path) -> None:
    drive, out = bag(tmp_path / "drive", 2), tmp_path / "sets"
    node = workers.cluster.add_node(
        num_cpus=1,
        num_gpus=1,
        node_ip_address="127.0.0.9",
        object_store_memory=STORE,
        env_vars=os.environ | {"PYTHONPATH": str(ROOT / "cluster"), "XDG_CACHE_HOME": str(tmp_path)},
    )
    run(workers.label([drive], out, "--gpus", "1", arguments=["--detections", "/detections"]))
    assert re.findall(r"node (\w+)", logs(out)) == [node.node_id]
    workers.cluster.remove_node(node)


def test_wrong_arguments_are_refused_without_a_cluster(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "promptseg_cluster.cli"]
    (tmp_path / "a").mkdir()
    for arguments, reason in [
        (["a", "--out", "x", "--", "--out", "y"], "found --out behind --"),
        (["a", "b/a", "--out", "x", "--"], "the same name"),
        (["a", "--out", "x", "--slices", "0"], "--slices 0: expected a number from 1 on"),
        (["a", "--out", "x", "--model", "nothing"], "--model nothing: no such file"),
        (["a", "--out", "x", "--resource", "arm"], "--resource arm: expected NAME=NUMBER"),
    ]:
        environment = os.environ | {"PYTHONPATH": str(ROOT / "cluster")}
        done = subprocess.run([*program, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 2 and reason in done.stderr, done.stderr


def test_the_job_of_kuberay_is_one_that_the_command_understands() -> None:
    import shlex

    import yaml
    from promptseg_cluster.plan import parse, plan

    job = yaml.safe_load((ROOT / "cluster" / "kuberay-job.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    words = shlex.split(job["spec"]["entrypoint"])
    assert words[0] == "promptseg-cluster"
    # The model of the job is on the cluster's volume.
    at = words.index("--model")
    options, rest = parse([*words[1:at], "--model", str(TINY), *words[at + 2 :]])
    assert len(plan(options, rest)) == 2
    usage = subprocess.run([PROGRAM, "label", "--help"], check=True, capture_output=True, text=True).stdout
    assert all(option in usage for option in rest if option.startswith("--"))
    cluster = job["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for group in groups:
        volumes = {volume["name"] for volume in group["template"]["spec"]["volumes"]}
        for container in group["template"]["spec"]["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
            assert container["resources"]["limits"] == container["resources"]["requests"]
    gpus = [float(c["resources"]["limits"].get("nvidia.com/gpu", 0)) for c in groups[1]["template"]["spec"]["containers"]]
    assert gpus == [options.gpus]

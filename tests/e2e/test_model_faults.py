"""Failures of the model's files, the runtime, the GPU's memory and the disk: the node reports them, and works again afterwards."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus

from harness import ROOT, eventually
from lifecycle import Manager
from messages import image, prompt
from robot import Robot
from runtime import OUT_OF_MEMORY, Runtime
from scenes import Scene

FEW = {"session.max_objects": 4}  # the trial of a full batch is slow on a CPU


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    return Runtime(tmp_path)


def now(robot: Robot) -> dict[str, str]:
    """The diagnostics that are published from now on."""
    return robot.diagnostic_values(robot.diagnostics.mark())


def start_over(robot: Robot, manager: Manager, scene: Scene) -> None:
    """Takes the node from unconfigured to active, and checks that it answers a click."""
    assert manager.change("configure") and manager.change("activate"), robot.process.log()
    robot.until_overlay(scene.rgb)
    robot.click_answered(scene)


def configure_fails(robot: Robot, manager: Manager, *words: str) -> None:
    """Checks that configure fails with the reason in log and diagnostics, and that the unconfigured node answers requests."""
    logged, events, mark = robot.rosout.mark(), len(manager.history()), robot.diagnostics.mark()
    assert not manager.change("configure")
    assert manager.state() == "unconfigured"
    way = [("unconfigured", "configuring"), ("configuring", "unconfigured")]
    eventually("both events", lambda: manager.history(events) == way)
    robot.rosout.wait(f"an error with {words}", lambda m: m.level == 40 and all(s in m.msg for s in words), logged)
    failed = robot.diagnostics.wait("the failure in diagnostics", lambda m: words[0] in m.status[0].message, mark).status[0]
    assert failed.level == DiagnosticStatus.ERROR and all(s in failed.message for s in words)
    refused = robot.segment(objects=[prompt(points=[(5, 5, 1)])])
    assert not refused.success and "not active" in refused.message


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 255
    file.write_bytes(content)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def cut_and_listed(file: Path) -> None:
    """Truncates a file, and lists its new size and hash in bundle.json."""
    cut(file)
    description = file.parent / "bundle.json"
    bundle = json.loads(description.read_text())
    size, digest = file.stat().st_size, hashlib.sha256(file.read_bytes()).hexdigest()
    bundle["files"][file.name] = {"bytes": size, "sha256": digest}
    description.write_text(json.dumps(bundle))


def test_files_that_break_between_two_configures(
    start_robot: Callable[..., Robot], scene: Scene, tmp_path: Path
) -> None:
    good, bundle = ROOT / "models" / "tiny", tmp_path / "bundle"
    shutil.copytree(good, bundle)
    robot = start_robot({"model": bundle})
    robot.connect()
    manager = Manager(robot.peer).connect(robot.process)
    faults: list[tuple[str, Callable[[Path], None], str]] = [
        ("image_encoder.onnx", Path.unlink, "is missing from the bundle"),
        ("mask_decoder.onnx", flip, "is damaged or belongs to another bundle"),
        ("image_encoder.onnx", cut, "is truncated or belongs to another bundle"),
        ("mask_decoder.onnx", cut_and_listed, "does not parse"),
        ("bundle.json", cut, "not a bundle description"),
    ]
    for name, fault, words in faults:
        fault(bundle / name)
        # The loaded model works without its files.
        robot.click_answered(scene)
        assert manager.change("deactivate") and manager.change("activate")
        robot.until_overlay(scene.rgb)
        robot.click_answered(scene)
        assert manager.change("deactivate") and manager.change("cleanup")
        configure_fails(robot, manager, name, words)
        configure_fails(robot, manager, name, words)
        shutil.copytree(good, bundle, dirs_exist_ok=True)
        start_over(robot, manager, scene)
    shutil.rmtree(bundle)
    assert manager.change("deactivate") and manager.change("cleanup")
    configure_fails(robot, manager, str(bundle), "there is no such file or folder")
    shutil.copytree(good, bundle)
    start_over(robot, manager, scene)


def test_a_gpu_without_memory_when_the_model_is_loaded(
    start_robot: Callable[..., Robot], scene: Scene, runtime: Runtime
) -> None:
    robot = start_robot(FEW | {"providers": ["cuda"]}, env=runtime.env)
    robot.connect()
    manager = Manager(robot.peer).connect(robot.process)
    for why in (f"cuda.load={OUT_OF_MEMORY}", f"cuda.run={OUT_OF_MEMORY}"):
        assert manager.change("deactivate") and manager.change("cleanup")
        runtime.set_behaviour(why)
        configure_fails(robot, manager, "no execution provider left", OUT_OF_MEMORY)
        runtime.set_behaviour()
        start_over(robot, manager, scene)
        assert now(robot)["encoder provider"].startswith("cuda")
    # If another provider is allowed, the model runs there, and diagnostics have the reason.
    assert manager.change("deactivate") and manager.change("cleanup")
    assert robot.set_parameter("providers", ["cuda", "cpu"]).successful
    runtime.set_behaviour(f"cuda.load={OUT_OF_MEMORY}")
    start_over(robot, manager, scene)
    values = now(robot)
    assert values["encoder provider"].startswith("cpu") and values["decoder provider"].startswith("cpu")
    assert OUT_OF_MEMORY in values["better providers"]


def model_fails(robot: Robot, scene: Scene, kept: Time, words: str) -> None:
    """Sends an image, a click and a request; checks that each is refused and counted, and that log and answer have the reason."""
    before = int(now(robot).get("refused: model_failed", 0))
    logged, mark = robot.rosout.mark(), robot.diagnostics.mark()
    robot.publish_image(image(scene.rgb, robot.stamp()))
    robot.send_click(*scene.shapes[0].centre, kept)
    reply = robot.segment(image=image(scene.rgb, robot.stamp()), objects=[prompt(box=scene.shapes[0].box)])
    assert not reply.success and words in reply.message, reply.message
    robot.rosout.wait(f"a warning with '{words}'", lambda m: m.level >= 30 and words in m.msg, logged)
    eventually("all three in diagnostics", lambda: robot.refused("model_failed") >= before + 3)
    status = robot.diagnostics.wait("an error", lambda m: "the model fails" in m.status[0].message, mark).status[0]
    assert status.level == DiagnosticStatus.ERROR


def test_a_gpu_that_runs_out_of_memory_at_work(
    start_robot: Callable[..., Robot], scene: Scene, runtime: Runtime
) -> None:
    robot = start_robot(FEW | {"providers": ["cuda", "cpu"]}, env=runtime.env)
    robot.connect()
    assert now(robot)["encoder provider"].startswith("cuda")
    kept = robot.show(scene.rgb)
    runtime.set_behaviour(f"cuda.run={OUT_OF_MEMORY}")
    model_fails(robot, scene, kept, "out of memory on cuda")
    runtime.set_behaviour()
    robot.click_answered(scene)
    # The same image and click succeed now.
    again = robot.segment(stamp=kept, objects=[prompt(box=scene.shapes[0].box)])
    assert again.success and len(again.result.masks) == 1


@pytest.mark.parametrize(
    "worker, its_input", [("the image encoder", "image"), ("the mask decoder", "image_embeddings")]
)
def test_a_panic_in_a_worker(
    start_robot: Callable[..., Robot], scene: Scene, runtime: Runtime, worker: str, its_input: str
) -> None:
    """A run that reports success and returns nothing: the crate between the node and ONNX Runtime panics, on the
    thread that encodes or decodes."""
    robot = start_robot({"providers": ["cpu"]}, env=runtime.env)
    robot.connect()
    kept = robot.show(scene.rgb)
    before, since, logged = now(robot), robot.diagnostics.mark(), robot.rosout.mark()
    runtime.set_behaviour(f"nothing={its_input}")
    question: dict[str, Any] = {"stamp": kept}
    if worker == "the image encoder":
        robot.publish_image(image(scene.rgb, robot.stamp()))
        question = {"image": image(scene.rgb, robot.stamp())}
    else:
        robot.send_click(*scene.shapes[0].centre, kept)
    reply = robot.segment(objects=[prompt(box=scene.shapes[0].box)], **question)
    assert not reply.success and f"{worker} panicked" in reply.message, reply.message
    robot.rosout.wait("a warning", lambda m: m.level >= 30 and f"{worker} panicked" in m.msg, logged)
    for key in ("panics", "refused: model_failed"):
        eventually(key, lambda: int(now(robot).get(key, 0)) >= int(before.get(key, 0)) + 2)
    status = robot.diagnostics.wait("an error", lambda m: "panics caught" in m.status[0].message, since).status[0]
    assert status.level == DiagnosticStatus.ERROR
    runtime.set_behaviour()
    robot.click_answered(scene)
    assert robot.segment(stamp=kept, objects=[prompt(box=scene.shapes[0].box)]).success


def test_a_disk_without_room(
    start_robot: Callable[..., Robot], scene: Scene, runtime: Runtime, tmp_path: Path
) -> None:
    """Neither TensorRT's engines nor the log nor the trace can be written: the node runs without them, and reports this."""
    cache, trace = tmp_path / "engines", tmp_path / "trace.json"
    parameters = FEW | {"providers": ["tensorrt"], "tensorrt.engine_cache": cache}
    robot = start_robot(parameters, env=runtime.env | {"PROMPTSEG_TRACE": str(trace)})
    robot.connect()
    manager = Manager(robot.peer).connect(robot.process)

    def start_again(notes: str) -> None:
        assert manager.change("deactivate") and manager.change("cleanup")
        start_over(robot, manager, scene)
        values = now(robot)
        assert values["encoder provider"].startswith("tensorrt") and values["decoder provider"].startswith("tensorrt")
        assert notes in values["provider notes"]

    def engines() -> int:
        return len(list(cache.glob("*/key.json")))

    assert engines() == 2 and now(robot)["provider notes"] == "none"
    shutil.rmtree(cache)
    logged = robot.rosout.mark()
    robot.process.fill_disk()
    written = len(robot.process.log())
    start_again("are not kept on disk: engine cache")

    def warned(words: str) -> bool:
        # The trace is written a few kilobytes at a time: only further work makes it meet the full disk.
        robot.show(scene.rgb)
        return any(m.level == 30 and words in m.msg for m in robot.rosout.all(logged))

    for words in ("are not kept on disk: engine cache", "the trace ends at this point"):
        eventually(f"a warning with '{words}'", lambda: warned(words), 60)
    assert len(robot.process.log()) == written and engines() == 0, "the disk was not full"
    # Once there is room, engines are kept again.
    robot.process.empty_disk()
    start_again("none")
    assert engines() == 2
    # A folder that cannot be made.
    assert robot.set_parameter("tensorrt.engine_cache", str(trace / "engines")).successful
    start_again("Not a directory")

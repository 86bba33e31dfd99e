"""`./dev gpu-proof`, rehearsed: the whole command on the stub of ONNX Runtime (tests/stub_onnxruntime), with small models."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness import ROOT, find_node

PROOF = ROOT / "benches/gpu_proof"
sys.path.insert(0, str(PROOF))
import kit  # noqa: E402
import machine  # noqa: E402
import plan  # noqa: E402
import report  # noqa: E402


def tool() -> Path:
    return Path(os.environ.get("PROMPTSEG_CLI") or find_node().with_name("promptseg"))


def rehearse(folder: Path, stub: str = "", *arguments: object) -> tuple[int, dict, str]:
    """Exit code, JSON and output of a rehearsal in which the stub behaves as `stub` says."""
    results = folder / "results.json"
    program = tool()
    environment = os.environ | {
        "STUB": stub,
        "PROMPTSEG_CLI": str(program),
        "PROMPTSEG_STUB": str(program.parent / "examples/libstub_onnxruntime.so"),
    }
    command = [ROOT / "dev", "gpu-proof", "--rehearse", "--runs", "1", "--json", results, *arguments]
    done = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True)
    assert results.is_file(), done.stderr
    return done.returncode, json.loads(results.read_text()), done.stdout


def test_a_rehearsal_measures_and_checks_every_row(tmp_path: Path) -> None:
    status, results, output = rehearse(tmp_path)
    assert (status, report.failures(results)) == (0, []), output
    found = [(row["kind"], row["model"], row["provider"], row["asked"]) for row in results["rows"]]
    assert found == [(kind, s.name, provider, precision) for kind, s, provider, precision in plan.rows(plan.small_subjects())]
    assert {kind for kind, *_ in found} == {"bench", "choice", "accuracy", "inspect"}
    assert {("bench", "tiny", name, "auto") for name in plan.PROVIDERS} <= set(found)
    # Every kind of value is in a table: half precision, a memory, engines.
    by_name = {(row["model"], row["provider"], row["asked"]): row["values"] for row in results["rows"] if row["kind"] == "bench"}
    assert by_name["variants", "tensorrt", "auto"]["precision"] == "fp16"
    assert by_name["variants", "tensorrt", "fp32"]["precision"] == "fp32"
    assert by_name["video", "cuda", "auto"]["track"]["frame_ms"] > 0
    assert by_name["video", "tensorrt", "auto"]["engines"] == {"built": 4, "kept": 4}
    assert by_name["tiny", "tensorrt", "auto"]["gpu_mb"] == pytest.approx(200)
    assert "not measured" not in output
    lines = [line for line in output.splitlines() if line.startswith("|")]
    assert len(lines) == 4 * 2 + 2 * len(by_name) + (2 + 2 + 4) + 3, output
    assert results["machine"]["gpu"] == "Stub, 8.7, CUDA 12.6" and results["machine"]["tensorrt"] == "10.3.0"


FAULTS = {
    "fp16=broken": ("variants", "tensorrt, auto: precision: encoder in fp32, decoder in fp32, expected fp16"),
    "cuda.run=CUDA failure 700: an illegal memory access": ("video", "cuda, auto: measured: promptseg bench ended with 1"),
    "without=tensorrt": ("video", "tensorrt, auto: measured: promptseg build-engines ended with 1"),
    "tensorrt.negated=mask_decoder": ("video", "tensorrt, auto: parity: logits differ by"),
}


@pytest.mark.parametrize("stub", FAULTS)
def test_a_failing_check_fails_the_proof(stub: str, tmp_path: Path) -> None:
    model, failure = FAULTS[stub]
    status, results, output = rehearse(tmp_path, stub, "--models", model)
    assert status == 1
    assert any(f"{model}, {failure}" in line for line in report.failures(results)), report.failures(results)
    assert f"FAILED bench {model}, {failure}" in output


def test_a_kit_is_rehearsed_with_its_own_program_and_models(tmp_path: Path) -> None:
    folder = tmp_path / "kit"
    for name, content in {
        "promptseg": tool(),
        "lib/libonnxruntime.so": Path(os.environ["ORT_DYLIB_PATH"]),
        "models/edgetam": ROOT / "tests/golden/video",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(content)
    status, results, output = rehearse(tmp_path, "", "--kit", folder, "--models", "edgetam")
    assert (status, report.failures(results)) == (0, []), output
    assert {row["model"] for row in results["rows"]} == {"edgetam"}
    (folder / "promptseg").unlink()
    (folder / "promptseg").symlink_to("/bin/false")
    status, results, output = rehearse(tmp_path, "", "--kit", folder, "--models", "edgetam")
    assert status == 1 and "promptseg bench ended with 1" in output


def test_the_time_ends_the_proof(tmp_path: Path) -> None:
    status, results, output = rehearse(tmp_path, "", "--minutes", "0.01")
    assert status == 1 and len(results["rows"]) == len(plan.rows(plan.small_subjects()))
    assert any("no time left" in line for line in report.failures(results))
    assert "not measured" in output


def test_a_rehearsal_is_not_written_to_the_docs(tmp_path: Path) -> None:
    done = subprocess.run([str(ROOT / "dev"), "gpu-proof", "--rehearse", "--docs"], capture_output=True, text=True)
    assert done.returncode == 2 and "--docs needs a GPU" in done.stderr


def test_a_kit_is_carried_in_parts(tmp_path: Path) -> None:
    source, parts, there, kept = (tmp_path / name for name in ("source", "parts", "there", "kit"))
    (source / "lib").mkdir(parents=True)
    content = os.urandom(250_000)
    (source / "lib/library.so").write_bytes(content)
    kit.write(parts, 100_000, [(source / "lib", "lib")])
    names = sorted(path.name for path in parts.glob("part-*"))
    assert len(names) == 3 and all((parts / name).stat().st_size <= 100_000 for name in names)
    for name in reversed(names):
        # Each load brings the list and one part.
        there.mkdir(exist_ok=True)
        for old in there.iterdir():
            old.unlink()
        for file in ("kit.json", name):
            (there / file).write_bytes((parts / file).read_bytes())
        assert kit.receive(there, kept) is (name == names[0])
    assert (kept / "lib/library.so").read_bytes() == content


def test_a_part_and_a_checkout_fit_in_a_load() -> None:
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, text=True, check=True).stdout
    checkout = sum((ROOT / name).lstat().st_size for name in listed.split("\0") if name and (ROOT / name).exists())
    assert checkout + kit.PART_MB * 1_000_000 < 64 << 20, f"the checkout has {checkout / 1e6:.0f} MB; make PART_MB smaller"


def test_a_damaged_part_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(os.urandom(1000))
    kit.write(tmp_path / "parts", 600, [(tmp_path / "file", "file")])
    part = tmp_path / "parts/part-001"
    part.write_bytes(part.read_bytes()[:-1] + b"?")
    with pytest.raises(kit.KitError, match="part-001 is damaged"):
        kit.receive(tmp_path / "parts", tmp_path / "kit")
    (tmp_path / "parts/kit.json").write_text("{}")
    with pytest.raises(kit.KitError, match="not the list of a kit's parts"):
        kit.receive(tmp_path / "parts", tmp_path / "kit")
    (tmp_path / "parts/kit.json").unlink()
    with pytest.raises(kit.KitError, match="carry it with the parts"):
        kit.receive(tmp_path / "parts", tmp_path / "kit")


def test_a_kit_without_a_needed_library_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "empty.c"
    source.write_text("")
    libraries = tmp_path / "lib"
    libraries.mkdir()
    for name in ("libneeded.so.1", "libcuda.so.1", "libnvinfer.so.10"):
        subprocess.run(["cc", "-shared", f"-Wl,-soname,{name}", "-o", libraries / name, source], check=True)
    needed = [f"-l:{path.name}" for path in sorted(libraries.iterdir())]
    library = libraries / "libprovider.so"
    subprocess.run(["cc", "-shared", "-Wl,--no-as-needed", "-L", libraries, *needed, "-o", library, source], check=True)
    for name in ("libcuda.so.1", "libnvinfer.so.10"):
        (libraries / name).unlink()
    kit.refuse_gaps(libraries, absent=kit.TENSORRT)
    with pytest.raises(kit.KitError, match="libprovider.so needs libnvinfer.so.10"):
        kit.refuse_gaps(libraries, absent=[])
    (libraries / "libneeded.so.1").unlink()
    with pytest.raises(kit.KitError, match="libprovider.so needs libneeded.so.1; add"):
        kit.refuse_gaps(libraries, absent=kit.TENSORRT)


def test_the_packages_of_python_may_hold_cuda(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cudnn, folder = tmp_path / "packages/nvidia/cudnn/lib", tmp_path / "kit"
    for made in (cudnn, folder / "lib"):
        made.mkdir(parents=True)
    for file in ("promptseg", "lib/libonnxruntime.so"):
        (folder / file).touch()
    monkeypatch.syspath_prepend(tmp_path / "packages")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/cuda/lib64")
    paths = machine.with_gpu(folder, tmp_path)["LD_LIBRARY_PATH"].split(":")
    assert paths[:2] == [str(folder / "lib"), "/opt/cuda/lib64"] and str(cudnn) in paths[2:]

"""Tests that matching checkpoints load, and others fail with one line that names the reason."""

import pickle

import pytest
import torch
from promptseg_export import checkpoints, cli, mobile_sam, sam, sam_hq
from promptseg_export.checkpoints import CheckpointError


@pytest.fixture
def state():
    return sam.small(512).state_dict()


def refused(tmp_path, content, module=sam) -> str:
    path = tmp_path / "weights.pth"
    torch.save(content, path)
    with pytest.raises(CheckpointError) as error:
        module.build("small", path, None)
    return str(error.value)


def test_a_checkpoint_gives_its_model_back(tmp_path):
    before = mobile_sam.build("small", None, 4)
    torch.save(before.network.state_dict(), tmp_path / "mobile.pt")
    after = mobile_sam.build("small", tmp_path / "mobile.pt", None)
    image = torch.randn(1, 3, 1024, 1024)
    with torch.no_grad():
        # TinyViT computes buffers from its weights, which must be those of the checkpoint.
        assert torch.equal(before.encoder(image), after.encoder(image))


def test_missing_and_unknown_tensors_are_named(tmp_path, state):
    del state["mask_decoder.iou_token.weight"]
    state["mask_decoder.extra"] = torch.zeros(1)
    message = refused(tmp_path, state)
    assert "1 of its tensors are missing: mask_decoder.iou_token.weight" in message
    assert "1 of its tensors are not known: mask_decoder.extra" in message


def test_other_shapes_are_named(tmp_path, state):
    state["mask_decoder.iou_token.weight"] = torch.zeros(1, 33)
    assert "of another shape: mask_decoder.iou_token.weight [1, 33] for [1, 32]" in refused(tmp_path, state)


@pytest.mark.parametrize(
    ("model", "build"),
    [
        ("sam --model vit_b", lambda: sam.sam_model_registry["vit_b"]()),
        ("sam --model vit_h", lambda: sam.sam_model_registry["vit_h"]()),
        ("sam-hq --model vit_l", lambda: sam_hq.sam_model_registry["vit_l"]()),
        ("sam-hq --model vit_tiny", lambda: sam_hq.sam_model_registry["vit_tiny"]()),
        ("mobile-sam", lambda: mobile_sam.sam_model_registry_baseline["vit_tiny"]()),
    ],
)
def test_the_published_models_are_recognised(model, build):
    # TinyViT cannot be built on the meta device, but it is small.
    with torch.device("cpu" if "tiny" in model or "mobile" in model else "meta"):
        state = build().state_dict()
    assert checkpoints.guess_model(state) == model


def test_the_error_names_the_model_of_the_checkpoint(tmp_path):
    hq = sam_hq.sam_model_registry["vit_tiny"]().state_dict()
    assert refused(tmp_path, hq).endswith("it looks like sam-hq --model vit_tiny")


class Evil:
    def __reduce__(self):
        return print, ("executed",)


@pytest.mark.parametrize("kind", ["text", "code", "tensor", "empty", "truncated"])
def test_other_files_are_refused_by_the_command(kind, tmp_path, capsys, state):
    path = tmp_path / "weights.pth"
    if kind == "text":
        path.write_text("<html>not found</html>")
    elif kind == "code":
        path.write_bytes(pickle.dumps(Evil()))
    elif kind == "tensor":
        torch.save(torch.zeros(3), path)
    elif kind == "empty":
        path.write_bytes(b"")
    else:
        torch.save(state, path)
        path.write_bytes(path.read_bytes()[:5000])
    code = cli.main(["sam", "--model", "small", "--checkpoint", str(path), str(tmp_path / "out")])
    output = capsys.readouterr()
    last = output.err.splitlines()[-1]
    assert code == 1 and last.startswith(f"promptseg-export: {path}"), output.err
    assert "Traceback" not in output.err and "executed" not in output.out
    assert not (tmp_path / "out").exists()


def test_arguments_are_checked_first(tmp_path, capsys):
    missing = tmp_path / "nowhere.pth"
    assert cli.main(["sam", "--model", "vit_b", "--checkpoint", str(missing), str(tmp_path / "out")]) == 2
    assert f"{missing}: no such checkpoint" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert cli.main(["sam", "--model", "small", "--random-weights", "1", str(tmp_path / "file")]) == 2
    assert "is a file, expected a folder" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["sam", "--model", "small", "--random-weights", "1", "--variants", "fp64", "out"])
    assert "fp64: not of fp32, fp16, int8" in capsys.readouterr().err


class Payload:
    """Runs code when it is read."""

    def __reduce__(self):
        return print, ("read",)


def test_a_file_with_code_is_refused_without_advice_to_run_it(tmp_path):
    path = tmp_path / "code.pt"
    torch.save({"weights": Payload()}, path)
    with pytest.raises(checkpoints.CheckpointError) as error:
        checkpoints.read(path)
    message = str(error.value)
    assert "the Python object print" in message, message
    assert "weights_only" not in message, message

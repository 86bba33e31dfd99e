"""Tests that a finished bundle replaces an older bundle. Needs only Python."""

import json

import pytest
from promptseg_export import bundle


@pytest.fixture
def folders(tmp_path):
    """A finished bundle in its staging folder, and the output folder with an older bundle."""
    staging, out = tmp_path / "out/.partial", tmp_path / "out"
    staging.mkdir(parents=True)
    for folder, name, graphs in [(out, "old", ("image_encoder.onnx", "old.onnx")), (staging, "new", ("image_encoder.onnx",))]:
        for graph in graphs:
            (folder / graph).write_text(name)
        files = {graph: {} for graph in graphs}
        (folder / bundle.DESCRIPTION).write_text(json.dumps({"name": name, "files": files}))
    (out / "notes.txt").write_text("not ours")
    return staging, out


def content(folder):
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file() and path.name != bundle.DESCRIPTION}


def test_only_files_of_the_older_bundle_are_deleted(folders):
    bundle.move(*folders)
    assert content(folders[1]) == {"image_encoder.onnx": "new", "notes.txt": "not ours"}
    assert json.loads((folders[1] / bundle.DESCRIPTION).read_text())["name"] == "new"


@pytest.mark.parametrize("damaged", ["", "{", "[]", '{"files": 3}', '{"files": [3]}', '{"files": ["..", "a/b", "gone"]}', "\x00"])
def test_a_damaged_older_description_is_replaced(damaged, folders):
    (folders[1] / bundle.DESCRIPTION).write_text(damaged)
    bundle.move(*folders)
    # The damaged description does not list `old.onnx`, so the file stays.
    assert content(folders[1]) == {"image_encoder.onnx": "new", "notes.txt": "not ours", "old.onnx": "old"}
    assert json.loads((folders[1] / bundle.DESCRIPTION).read_text())["name"] == "new"


def test_models_of_others_are_not_replaced(tmp_path, capsys):
    from promptseg_export.cli import main

    (tmp_path / "image_encoder.onnx").write_text("somebody's")
    (tmp_path / "notes.txt").write_text("notes")
    arguments = ["sam", "--model", "small", "--random-weights", "1", str(tmp_path)]
    assert main(arguments) == 2
    assert "holds image_encoder.onnx and is no bundle" in capsys.readouterr().err
    assert content(tmp_path) == {"image_encoder.onnx": "somebody's", "notes.txt": "notes"}
    # A bundle is replaced, and so is what an interrupted export left.
    for mark in (bundle.DESCRIPTION, bundle.STAGING):
        (tmp_path / mark).mkdir()
        assert bundle.foreign_files(tmp_path) == []
        (tmp_path / mark).rmdir()


def test_nothing_is_deleted_before_the_new_files_are_moved(folders, monkeypatch):
    def fail(*_):
        raise OSError("no")

    monkeypatch.setattr(type(folders[0]), "replace", fail)
    with pytest.raises(OSError, match="no"):
        bundle.move(*folders)
    assert content(folders[0]) == {"image_encoder.onnx": "new"}
    assert {"old.onnx", "image_encoder.onnx"} <= {path.name for path in folders[1].iterdir()}

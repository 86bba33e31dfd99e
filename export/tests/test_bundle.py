"""A finished bundle takes the place of an older one, whatever is there. Needs nothing but Python."""

import json

import pytest
from promptseg_export import bundle


@pytest.fixture
def folders(tmp_path):
    """A finished bundle, and the folder that it is for with an older one."""
    made, out = tmp_path / "out/.partial", tmp_path / "out"
    made.mkdir(parents=True)
    for folder, name, graphs in [(out, "old", ("image_encoder.onnx", "old.onnx")), (made, "new", ("image_encoder.onnx",))]:
        for graph in graphs:
            (folder / graph).write_text(name)
        files = {graph: {} for graph in graphs}
        (folder / bundle.DESCRIPTION).write_text(json.dumps({"name": name, "files": files}))
    (out / "notes.txt").write_text("not ours")
    return made, out


def content(folder):
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file() and path.name != bundle.DESCRIPTION}


def test_the_files_of_the_older_one_go_and_nothing_else(folders):
    bundle.move(*folders)
    assert content(folders[1]) == {"image_encoder.onnx": "new", "notes.txt": "not ours"}
    assert json.loads((folders[1] / bundle.DESCRIPTION).read_text())["name"] == "new"


@pytest.mark.parametrize("damaged", ["", "{", "[]", '{"files": 3}', '{"files": [3]}', '{"files": ["..", "a/b", "gone"]}', "\x00"])
def test_an_older_description_that_is_damaged_is_replaced(damaged, folders):
    (folders[1] / bundle.DESCRIPTION).write_text(damaged)
    bundle.move(*folders)
    # Whose `old.onnx` is, nobody says.
    assert content(folders[1]) == {"image_encoder.onnx": "new", "notes.txt": "not ours", "old.onnx": "old"}
    assert json.loads((folders[1] / bundle.DESCRIPTION).read_text())["name"] == "new"


def test_nothing_is_deleted_before_the_new_files_are_there(folders, monkeypatch):
    def fail(*_):
        raise OSError("no")

    monkeypatch.setattr(type(folders[0]), "replace", fail)
    with pytest.raises(OSError, match="no"):
        bundle.move(*folders)
    assert content(folders[0]) == {"image_encoder.onnx": "new"}
    assert {"old.onnx", "image_encoder.onnx"} <= {path.name for path in folders[1].iterdir()}

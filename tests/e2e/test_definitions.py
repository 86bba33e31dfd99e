"""The installed definitions of promptseg_msgs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ament_index_python.packages import get_package_share_directory

MESSAGES = sorted((Path(get_package_share_directory("promptseg_msgs")) / "msg").glob("*.msg"))
CONSTANT = re.compile(r"^\w+ +([A-Z][A-Z0-9_]*) *= *(\S+)")
FIELD = re.compile(r"^[\w/\[\]<=]+ +([a-z]\w*)")


def test_they_are_all_there() -> None:
    names = {"BoxPrompt", "MaskArray", "ObjectMask", "ObjectPrompt", "PointPrompt", "PromptArray"}
    assert names <= {file.stem for file in MESSAGES}


@pytest.mark.parametrize("file", MESSAGES, ids=lambda file: file.stem)
def test_constants_come_first_and_zero_means_nothing(file: Path) -> None:
    """A message that was not filled in is all zeros, so no constant that names an action or a state may be zero."""
    lines = file.read_text().splitlines()
    constants = [(number, *match.groups()) for number, line in enumerate(lines) if (match := CONSTANT.match(line))]
    fields = [(number, match[1]) for number, line in enumerate(lines) if (match := FIELD.match(line))]
    assert fields
    assert all(number < fields[0][0] for number, *_ in constants)
    for _, name, value in constants:
        assert (int(value) == 0) == (name.endswith("UNSPECIFIED") or name.endswith("UNKNOWN")), name
    assert not [name for _, name in fields if name.endswith(("_ms", "_us", "_ns"))], "durations are in seconds"

"""Tests of the stored learning curve across trainings."""
import json

from train.report import merge_log


def test_a_continued_training_keeps_the_earlier_steps(tmp_path):
    new_log, stored = tmp_path / "new_log.jsonl", tmp_path / "stored.jsonl"

    def steps():
        return [json.loads(line)["step"] for line in stored.read_text().splitlines()]

    merge_log(new_log, stored)                          # neither file exists
    assert not stored.exists()
    for new, expected in (
        ([25, 50], [25, 50]), ([75, 100], [25, 50, 75, 100]), ([75, 100], [25, 50, 75, 100]), ([25], [25]),
    ):
        new_log.write_text("".join(json.dumps({"step": step}) + "\n" for step in new))
        merge_log(new_log, stored)
        assert steps() == expected

"""The data of the learning curve, over trainings."""
import json

from train.report import take_over


def test_a_training_that_goes_on_keeps_the_steps_before_it(tmp_path):
    written, kept = tmp_path / "written.jsonl", tmp_path / "kept.jsonl"

    def steps():
        return [json.loads(line)["step"] for line in kept.read_text().splitlines()]

    take_over(written, kept)                          # neither is there
    assert not kept.exists()
    for new, expected in (
        ([25, 50], [25, 50]), ([75, 100], [25, 50, 75, 100]), ([75, 100], [25, 50, 75, 100]), ([25], [25]),
    ):
        written.write_text("".join(json.dumps({"step": step}) + "\n" for step in new))
        take_over(written, kept)
        assert steps() == expected

"""Measures in turns. In each turn promptseg and every peer answer once, in rotating order; ratios are taken per turn."""

import statistics
import tempfile
from pathlib import Path
from time import monotonic

import numpy as np
import report
from cases import Case, Group
from contender import Contender, Failed

SHORT_MS = 250.0
"""In one turn a request is repeated for about this long, at most 15 times; the median counts."""


class Measurement:
    """Turns of one case; promptseg has the name ""."""

    def __init__(self, case: Case, ours: Contender, contenders: dict):
        self.requests = {"": (ours, case.request)}
        for peer, line in case.peers.items():
            if peer in contenders:
                self.requests[peer] = (contenders[peer], line)
        self.case, self.times, self.shares = case, {name: [] for name in self.requests}, []

    def once(self, name: str, runs: int) -> float:
        contender, line = self.requests[name]
        answers = [contender.numbers(line) for _ in range(runs)]
        if len(answers[0]) > 1 and name == "":
            self.shares += [answer[1] for answer in answers]
        return statistics.median(answer[0] for answer in answers)

    def repeats(self, name: str) -> int:
        ms = self.once(name, 1)
        # A request for cameras already measures many frames.
        return 1 if self.requests[name][1].startswith("cameras") else round(min(15, max(1, SHORT_MS / ms)))

    def run(self, max_turns: int) -> None:
        """Runs at least the minimum number of turns of the case, then up to `max_turns` within its budget of seconds."""
        runs = {name: self.repeats(name) for name in self.requests}
        self.shares.clear()
        started, order = monotonic(), list(self.requests)
        for turn in range(max_turns):
            if turn >= self.case.turns and monotonic() - started > self.case.budget:
                break
            for name in order:
                self.times[name].append(self.once(name, runs[name]))
            order.append(order.pop(0))

    def rows(self) -> list:
        ours, rows = self.times[""], []
        for peer in list(self.requests)[1:]:
            row = report.ratio_row(self.case.name, ours, peer, self.times[peer], digits=4)
            if self.shares:
                row["slowest_camera"] = round(statistics.median(self.shares), 3)
            if (overlap := self.overlap(peer)) is not None:
                row["mask_iou"] = round(overlap, 5)
            rows.append(row)
        return rows

    def overlap(self, peer: str) -> float | None:
        """IoU of our mask with the peer's mask; None if the peer returns no mask."""
        contender, line = self.requests[peer]
        ours, own_line = self.requests[""]
        if peer.startswith("bare") or not line.startswith(("image_to_mask", "click")):
            return None
        # Repeats the requests, because the last mask of a contender may belong to another case.
        ours.numbers(own_line)
        contender.numbers(line)
        with tempfile.TemporaryDirectory() as folder:
            a, b = (c.mask(Path(folder) / "mask") for c in (ours, contender))
        union = np.count_nonzero(a | b)
        return np.count_nonzero(a & b) / union if union else 1.0


def measure_group(group: Group, cases: list, start, photo, max_turns: int, record) -> list:
    """Measures the cases of a group; returns the reasons why peers are missing.

    `start(name)` starts a contender, `photo(size)` returns an image file, `record(rows)` stores the rows of a case.
    """
    peers = dict.fromkeys(p for case in cases for p in case.peers)
    ours, contenders, missing = start(group.ours), {}, []
    try:
        for name in peers:
            try:
                contenders[name] = start(name)
            except Failed as e:
                missing.append(str(e))
        for case in cases:
            running = {name: contenders[name] for name in case.peers if name in contenders}
            for contender in (ours, *running.values()):
                contender.photo(photo(case.size))
            # A click needs the embedding of the photo.
            if not case.request.startswith(("image_to_mask", "cameras")):
                for contender in (ours, *running.values()):
                    contender.numbers(f"image_to_mask {case.size[0] * 0.42:.1f} {case.size[1] * 0.45:.1f}")
            measurement = Measurement(case, ours, running)
            measurement.run(max_turns)
            record(measurement.rows())
    finally:
        for contender in (ours, *contenders.values()):
            contender.close()
    return missing

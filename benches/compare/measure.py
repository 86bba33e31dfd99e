"""Turns: in each, promptseg and every peer answer once, in an order that rotates; a ratio is that of one turn."""

import statistics
import tempfile
from pathlib import Path
from time import monotonic

import numpy as np
from cases import Case, Group
from contender import Contender, Failed

SHORT_MS = 250.0
"""In one turn a question is asked again and again for about this long, 15 times at most; the median counts."""


class Measurement:
    def __init__(self, case: Case, ours: Contender, contenders: dict):
        self.asked = {"": (ours, case.ask)}
        for peer, line in case.peers.items():
            if peer in contenders:
                self.asked[peer] = (contenders[peer], line)
        self.case, self.times, self.extra = case, {name: [] for name in self.asked}, []

    def once(self, name: str, runs: int) -> float:
        contender, line = self.asked[name]
        answers = [contender.numbers(line) for _ in range(runs)]
        if len(answers[0]) > 1 and name == "":
            self.extra += [answer[1] for answer in answers]
        return statistics.median(answer[0] for answer in answers)

    def repeats(self, name: str) -> int:
        ms = self.once(name, 1)  # of a frame, for cameras, which are asked for many
        return 1 if self.asked[name][1].startswith("cameras") else round(min(15, max(1, SHORT_MS / ms)))

    def run(self, most: int) -> None:
        """Between the case's own number of turns and `most`, its seconds decide."""
        runs = {name: self.repeats(name) for name in self.asked}
        self.extra.clear()
        begun, order = monotonic(), list(self.asked)
        for turn in range(most):
            if turn >= self.case.turns and monotonic() - begun > self.case.budget:
                break
            for name in order:
                self.times[name].append(self.once(name, runs[name]))
            order.append(order.pop(0))

    def rows(self) -> list:
        mine, found = self.times[""], []
        for peer in list(self.asked)[1:]:
            theirs = self.times[peer]
            ratios = [a / b for a, b in zip(mine, theirs)]
            low, _, high = statistics.quantiles(ratios, n=4, method="inclusive")
            row = {
                "case": self.case.name,
                "ours_ms": round(statistics.median(mine), 4),
                "peer": peer,
                "peer_ms": round(statistics.median(theirs), 4),
                "ratio": round(statistics.median(ratios), 4),
                "spread": [round(low, 4), round(high, 4)],
                "turns": len(mine),
            }
            if self.extra:
                row["slowest_camera"] = round(statistics.median(self.extra), 3)
            if (overlap := self.overlap(peer)) is not None:
                row["mask_iou"] = round(overlap, 5)
            found.append(row)
        return found

    def overlap(self, peer: str) -> float | None:
        """IoU of the mask with the peer's."""
        contender, line = self.asked[peer]
        ours, own_line = self.asked[""]
        if peer.startswith("bare") or not line.startswith(("image_to_mask", "click")):
            return None
        # The last answer of each may be to another case.
        ours.numbers(own_line)
        contender.numbers(line)
        with tempfile.TemporaryDirectory() as folder:
            a, b = (c.mask(Path(folder) / "mask") for c in (ours, contender))
        union = np.count_nonzero(a | b)
        return np.count_nonzero(a & b) / union if union else 1.0


def of_group(group: Group, cases: list, start, photo, most: int, report) -> list:
    """`start(name)` starts a contender, `photo(size)` is a file, `report(rows)` takes what was measured of a case. Returns
    why peers are missing."""
    wanted = dict.fromkeys(p for case in cases for p in case.peers)
    ours, contenders, missing = start(group.ours), {}, []
    try:
        for name in wanted:
            try:
                contenders[name] = start(name)
            except Failed as e:
                missing.append(str(e))
        for case in cases:
            asked = {name: contenders[name] for name in case.peers if name in contenders}
            for contender in (ours, *asked.values()):
                contender.photo(photo(case.size))
            # Every contender needs the photo's embedding before a click.
            if not case.ask.startswith(("image_to_mask", "cameras")):
                for contender in (ours, *asked.values()):
                    contender.numbers(f"image_to_mask {case.size[0] * 0.42:.1f} {case.size[1] * 0.45:.1f}")
            measurement = Measurement(case, ours, asked)
            measurement.run(most)
            report(measurement.rows())
    finally:
        for contender in (ours, *contenders.values()):
            contender.close()
    return missing

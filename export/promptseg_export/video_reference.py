"""A tracker over the exported graphs in NumPy: the bookkeeping of `SAM2VideoPredictor` without PyTorch.

The parity check of bundles with memory runs this tracker. Its frames are the outputs of the image encoder's graph.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

NO_OBJECT = -1024.0
"""Logits of the mask of an absent object."""
CLAMP = 32.0
"""Limit of the logits that are fed back with a correction."""


@dataclass
class Record:
    """The state of an object on a frame."""

    mask: np.ndarray
    """[1, 1, L, L], logits"""
    score: np.ndarray
    pointer: np.ndarray
    features: np.ndarray | None = None


@dataclass
class Object:
    """The records of an object by frame."""

    conditioning: dict[int, Record] = field(default_factory=dict)
    others: dict[int, Record] = field(default_factory=dict)
    pending: dict[int, Record] = field(default_factory=dict)
    """Frames prompted since the last propagation, which become conditioning frames."""
    reverse: dict[int, bool] = field(default_factory=dict)
    """The tracking direction of tracked frames."""


class Tracker:
    """Tracks objects. `networks` runs a graph by name; `embed(points, labels, mask)` returns sparse and dense embeddings."""

    def __init__(
        self, frames: list[dict], networks: Callable[[str, dict], list], embed: Callable, weights: dict, spec: dict, rule: dict
    ):
        self.frames, self.run, self.embed, self.weights, self.spec, self.rule = frames, networks, embed, weights, spec, rule
        self.objects: dict[int, Object] = {}
        self.max_conditioning: int | None = None
        self.largest = min(len(frames), spec["pointers"]) - 1

    def points(self, number: int, frame: int, points: np.ndarray, labels: np.ndarray) -> Record:
        """Prompts an object with all its points [N, 2] of a frame, in pixels of the model's square.

        A box is given as its corners with labels 2 and 3.
        """
        tracked = self.objects.setdefault(number, Object())
        before = tracked.pending.get(frame) or tracked.conditioning.get(frame) or tracked.others.get(frame)
        mask_input = None if before is None else before.mask.clip(-CLAMP, CLAMP)
        embeddings = self.frames[frame]["image_embeddings"]
        if frame in tracked.reverse:
            embeddings = self.condition(tracked, frame, tracked.reverse[frame])
        record = self.heads(frame, embeddings, self.embed(points, labels, mask_input), multimask=len(points) <= 1)
        tracked.pending[frame] = record
        return record

    def mask(self, number: int, frame: int, small: np.ndarray, square: np.ndarray) -> Record:
        """Prompts an object with a mask: `square` [1, 1, S, S] of 0 and 1, and `small` [1, 1, L, L], downscaled logits."""
        tracked = self.objects.setdefault(number, Object())
        weight, bias = self.weights["mask_downsample.weight"], self.weights["mask_downsample.bias"]
        side = square.shape[-1] // 4
        prompt = np.einsum("yixj,ij->yx", square.reshape(side, 4, side, 4), weight[0, 0]) + bias
        plain = self.frames[frame]["image_embeddings"] - self.weights["no_memory_embedding"][None, :, None, None]
        pointer = self.heads(frame, plain, self.embed(None, None, prompt[None, None]), multimask=False).pointer
        present = bool(square.any())
        if not present:
            pointer = self.weights["no_object_pointer"][None]
        tracked.pending[frame] = Record(small, np.array([[10.0 if present else -10.0]], np.float32), pointer)
        return tracked.pending[frame]

    def propagate(self, start: int, count: int, reverse: bool) -> Iterator[tuple[int, int, Record]]:
        for tracked in self.objects.values():
            for frame, record in tracked.pending.items():
                record.features = self.encode_memory(frame, record, binarize=True)
                tracked.conditioning[frame] = record
                tracked.others.pop(frame, None)
            tracked.pending.clear()
        last = max(start - count, 0) if reverse else min(start + count, len(self.frames) - 1)
        for frame in range(start, last - 1, -1) if reverse else range(start, last + 1):
            for number, tracked in self.objects.items():
                record = tracked.conditioning.get(frame)
                if record is None:
                    embeddings = self.condition(tracked, frame, reverse)
                    record = self.heads(frame, embeddings, self.embed(None, None, None), multimask=True)
                    record.features = self.encode_memory(frame, record, binarize=False)
                    tracked.others[frame] = record
                tracked.reverse[frame] = reverse
                yield frame, number, record

    def select_conditioning(self, tracked: Object, frame: int) -> tuple[dict, dict]:
        """The conditioning frames used for a frame, and the unused ones."""
        kept, most = dict(tracked.conditioning), self.max_conditioning
        if most is None or len(kept) <= most:
            return kept, {}
        before, after = [t for t in kept if t < frame], [t for t in kept if t >= frame]
        nearest = [*([max(before)] if before else []), *([min(after)] if after else [])]
        rest = sorted((t for t in kept if t not in nearest), key=lambda t: abs(t - frame))
        nearest += rest[: most - len(nearest)]
        return {t: kept[t] for t in nearest}, {t: r for t, r in kept.items() if t not in nearest}

    def memories(self, tracked: Object, frame: int, reverse: bool) -> list[tuple[Record, int]]:
        """The records used as memories, each with its row of the temporal encodings."""
        kept, rest = self.select_conditioning(tracked, frame)
        records = [(record, self.spec["frames"] - 1) for record in kept.values()]
        for distance in range(self.spec["frames"] - 1, 0, -1):
            t = frame + distance if reverse else frame - distance
            if (record := tracked.others.get(t) or rest.get(t)) is not None:
                records.append((record, distance - 1))
        return records

    def pointers(self, tracked: Object, frame: int, reverse: bool) -> list[tuple[Record, float]]:
        """The records used as pointers, each with its distance in frames divided by the largest distance."""
        kept, rest = self.select_conditioning(tracked, frame)
        sign = -1 if reverse else 1
        records = [(record, (frame - t) * sign) for t, record in kept.items() if (frame - t) * sign >= 0]
        for distance in range(1, self.largest + 1):
            t = frame - sign * distance
            if (record := tracked.others.get(t) or rest.get(t)) is not None:
                records.append((record, distance))
        return [(record, distance / self.largest) for record, distance in records]

    def condition(self, tracked: Object, frame: int, reverse: bool) -> np.ndarray:
        """The embeddings of a frame, conditioned on memories and pointers of an object."""
        memories, pointers = self.memories(tracked, frame, reverse), self.pointers(tracked, frame, reverse)
        feed = {
            "image_embeddings": self.frames[frame]["image_embeddings"],
            "memories": np.concatenate([record.features for record, _ in memories]),
            "memory_times": np.eye(self.spec["frames"], dtype=np.float32)[[row for _, row in memories]],
            "object_pointers": np.concatenate([record.pointer for record, _ in pointers]),
            "pointer_times": np.array([[time] for _, time in pointers], np.float32),
        }
        return self.run("memory_attention", feed)[0]

    def heads(self, frame: int, embeddings: np.ndarray, prompt: tuple, multimask: bool) -> Record:
        sparse, dense = prompt
        feed = {
            **self.frames[frame],
            "image_embeddings": embeddings,
            "sparse_prompt_embeddings": sparse,
            "dense_prompt_embeddings": dense,
            # The single mask and the best candidate.
            "wanted_masks": np.eye(5, dtype=np.float32)[None, [0, 4]],
        }
        masks, _, score, pointers = self.run("mask_decoder", feed)
        mask, pointer = masks[:, 1:], pointers[:, 1]
        if not multimask:
            pointer = pointers[:, 0]
            inner, outer = (masks[:, 0] > delta for delta in (self.rule["delta"], -self.rule["delta"]))
            if not outer.any() or inner.sum() / outer.sum() >= self.rule["threshold"]:
                mask = masks[:, :1]
        return Record(mask if score > 0 else np.full_like(mask, NO_OBJECT), score, pointer)

    def encode_memory(self, frame: int, record: Record, binarize: bool) -> np.ndarray:
        feed = {
            "image_embeddings": self.frames[frame]["image_embeddings"],
            "low_res_masks": record.mask,
            "binarize": np.full((1, 1), binarize, np.float32),
            "object_score_logits": record.score,
        }
        return to_bfloat16(self.run("memory_encoder", feed)[0])


def to_bfloat16(values: np.ndarray) -> np.ndarray:
    """Rounds to bfloat16, ties to even, and returns f32."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).view(np.float32)

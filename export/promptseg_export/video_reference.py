"""A tracker over the exported graphs, in NumPy: what `SAM2VideoPredictor` keeps and looks up, and nothing of PyTorch.

The proof of a bundle with memory runs it. Frames are given as what the image encoder's graph made of them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

NO_OBJECT = -1024.0
"""Logits of a mask where there is no object."""
CLAMP = 32.0
"""Of the logits that are fed back with a correction."""


@dataclass
class Record:
    """What is known of an object on a frame."""

    mask: np.ndarray
    """[1, 1, L, L], logits"""
    score: np.ndarray
    pointer: np.ndarray
    features: np.ndarray | None = None


@dataclass
class Object:
    conditioning: dict[int, Record] = field(default_factory=dict)
    others: dict[int, Record] = field(default_factory=dict)
    pending: dict[int, Record] = field(default_factory=dict)
    """Prompted since the last propagation: they become conditioning frames."""
    reverse: dict[int, bool] = field(default_factory=dict)
    """Of frames that were tracked, the direction."""


class Tracker:
    """`networks` runs a graph by its name; `embed(points, labels, mask)` is the prompt encoder, sparse and dense."""

    def __init__(
        self, frames: list[dict], networks: Callable[[str, dict], list], embed: Callable, weights: dict, spec: dict, rule: dict
    ):
        self.frames, self.run, self.embed, self.weights, self.spec, self.rule = frames, networks, embed, weights, spec, rule
        self.objects: dict[int, Object] = {}
        self.max_conditioning: int | None = None
        self.largest = min(len(frames), spec["pointers"]) - 1

    def points(self, number: int, frame: int, points: np.ndarray, labels: np.ndarray) -> Record:
        """Points [N, 2] in pixels of the model's square, all of the frame; a box is its corners with labels 2 and 3."""
        one = self.objects.setdefault(number, Object())
        before = one.pending.get(frame) or one.conditioning.get(frame) or one.others.get(frame)
        fed_back = None if before is None else before.mask.clip(-CLAMP, CLAMP)
        embeddings = self.frames[frame]["image_embeddings"]
        if frame in one.reverse:
            embeddings = self.recall(one, frame, one.reverse[frame])
        made = self.heads(frame, embeddings, self.embed(points, labels, fed_back), multimask=len(points) <= 1)
        one.pending[frame] = made
        return made

    def mask(self, number: int, frame: int, small: np.ndarray, square: np.ndarray) -> Record:
        """`square` [1, 1, S, S] of 0 and 1, and `small` [1, 1, L, L], the same made smaller, in logits."""
        one = self.objects.setdefault(number, Object())
        weight, bias = self.weights["mask_downsample.weight"], self.weights["mask_downsample.bias"]
        side = square.shape[-1] // 4
        prompt = np.einsum("yixj,ij->yx", square.reshape(side, 4, side, 4), weight[0, 0]) + bias
        plain = self.frames[frame]["image_embeddings"] - self.weights["no_memory_embedding"][None, :, None, None]
        pointer = self.heads(frame, plain, self.embed(None, None, prompt[None, None]), multimask=False).pointer
        there = bool(square.any())
        if not there:
            pointer = self.weights["no_object_pointer"][None]
        one.pending[frame] = Record(small, np.array([[10.0 if there else -10.0]], np.float32), pointer)
        return one.pending[frame]

    def propagate(self, start: int, count: int, reverse: bool) -> Iterator[tuple[int, int, Record]]:
        for one in self.objects.values():
            for frame, record in one.pending.items():
                record.features = self.remember(frame, record, binarize=True)
                one.conditioning[frame] = record
                one.others.pop(frame, None)
            one.pending.clear()
        last = max(start - count, 0) if reverse else min(start + count, len(self.frames) - 1)
        for frame in range(start, last - 1, -1) if reverse else range(start, last + 1):
            for number, one in self.objects.items():
                record = one.conditioning.get(frame)
                if record is None:
                    record = self.heads(frame, self.recall(one, frame, reverse), self.embed(None, None, None), multimask=True)
                    record.features = self.remember(frame, record, binarize=False)
                    one.others[frame] = record
                one.reverse[frame] = reverse
                yield frame, number, record

    def chosen(self, one: Object, frame: int) -> tuple[dict, dict]:
        """Conditioning frames that are looked at, and the rest of them."""
        kept, most = dict(one.conditioning), self.max_conditioning
        if most is None or len(kept) <= most:
            return kept, {}
        before, after = [t for t in kept if t < frame], [t for t in kept if t >= frame]
        nearest = [*([max(before)] if before else []), *([min(after)] if after else [])]
        rest = sorted((t for t in kept if t not in nearest), key=lambda t: abs(t - frame))
        nearest += rest[: most - len(nearest)]
        return {t: kept[t] for t in nearest}, {t: r for t, r in kept.items() if t not in nearest}

    def memories(self, one: Object, frame: int, reverse: bool) -> list[tuple[Record, int]]:
        """Records, each with its row of the temporal encodings."""
        kept, rest = self.chosen(one, frame)
        found = [(record, self.spec["frames"] - 1) for record in kept.values()]
        for distance in range(self.spec["frames"] - 1, 0, -1):
            t = frame + distance if reverse else frame - distance
            if (record := one.others.get(t) or rest.get(t)) is not None:
                found.append((record, distance - 1))
        return found

    def pointers(self, one: Object, frame: int, reverse: bool) -> list[tuple[Record, float]]:
        """Records, each with its distance over the largest."""
        kept, rest = self.chosen(one, frame)
        sign = -1 if reverse else 1
        found = [(record, (frame - t) * sign) for t, record in kept.items() if (frame - t) * sign >= 0]
        for distance in range(1, self.largest + 1):
            t = frame - sign * distance
            if (record := one.others.get(t) or rest.get(t)) is not None:
                found.append((record, distance))
        return [(record, distance / self.largest) for record, distance in found]

    def recall(self, one: Object, frame: int, reverse: bool) -> np.ndarray:
        memories, pointers = self.memories(one, frame, reverse), self.pointers(one, frame, reverse)
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
            # The single mask, and the best of the candidates.
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

    def remember(self, frame: int, record: Record, binarize: bool) -> np.ndarray:
        feed = {
            "image_embeddings": self.frames[frame]["image_embeddings"],
            "low_res_masks": record.mask,
            "binarize": np.full((1, 1), binarize, np.float32),
            "object_score_logits": record.score,
        }
        return to_bfloat16(self.run("memory_encoder", feed)[0])


def to_bfloat16(values: np.ndarray) -> np.ndarray:
    """Rounded to the nearest, of two to the even one, and f32 again."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).view(np.float32)

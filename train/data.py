"""Batches for training: scenes drawn on the fly in worker processes, augmented, with prompts.

Batch `index` of a seed is always the same, for the same number of workers, so the number of batches taken is the whole
data position that a checkpoint has to remember. Drawing dominates the cost of a batch: a part of its scenes are new, the
rest are taken again, with another crop, colours and prompts, from earlier batches of the same worker, which keeps them
(and draws them again where it does not have them, after a restart).
"""
from collections import OrderedDict
from typing import NamedTuple

import cv2
import numpy as np
import torch

from .model import IMAGE_SIZE, LOW_RES, PAD
from .prompts import sample_prompt
from .scenes import Gen

VOID = 255                       # label of padding
FIRST_BACKGROUND = 100           # labels of background regions start here
MEAN = np.array([123.675, 116.28, 103.53], np.float32)
STD = np.array([58.395, 57.12, 57.375], np.float32)
PADDING = MEAN.round().astype(np.uint8)
WEIGHTS = {"whole": 1.0, "plain": 1.0, "part": 0.35, "background": 0.15}
HOLLOW = 2.0                     # rings, bars and what others hide are asked for more often: a box says little about them
PLAIN = 0.5                      # of the scenes: without them the simple case suffers from the many hard ones
PARTS = 8                        # labels of parts within an object
BANK_EVERY = 1000                # batches of a worker between two banks of noise


class Batch(NamedTuple):
    images: torch.Tensor      # [B,256,256,3] uint8
    keys: torch.Tensor        # [B,256,256] int16: object * 8 + part, of padding VOID * 8
    answers: torch.Tensor     # [B*K,2,2] int16: the keys (from, below) of the mask asked for and of another right answer
    points: torch.Tensor      # [B*K,N,2]
    labels: torch.Tensor      # [B*K,N]
    has_previous: torch.Tensor  # [B*K], 0 or 1: comes with an earlier mask
    previous: torch.Tensor    # [Q,1,128,128] float16, the logits of those Q earlier masks

    def masks(self):
        """[B*K,2,256,256]: the mask asked for, and the other one (the same where there is no other)."""
        keys = self.keys.repeat_interleave(len(self.answers) // len(self.keys), 0)[:, None]
        low, high = self.answers[..., 0, None, None], self.answers[..., 1, None, None]
        return (keys >= low) & (keys < high)

    def earlier(self):
        """[B*K,1,128,128], zeros without an earlier mask."""
        logits = self.previous.new_zeros(len(self.points), *self.previous.shape[1:], dtype=torch.float32)
        return logits.masked_scatter(self.has_previous.bool()[:, None, None, None], self.previous.float())

    def regions(self):
        """[B,64,64], -1 for padding."""
        regions = self.keys[:, 2::4, 2::4].long()
        return regions.masked_fill(regions >= VOID * PARTS, -1)


def normalise(images):
    """uint8 [B,256,256,3] -> float [B,3,256,256]."""
    mean, std = (torch.from_numpy(v).to(images.device).view(1, 3, 1, 1) for v in (MEAN, STD))
    return (images.permute(0, 3, 1, 2).float() - mean) / std


def targets(labels, min_area=60):
    """What can be asked for in a scene: a key per pixel (object * 8 + part), and [(kind, object or key)]."""
    key = labels[..., 0].astype(np.int16) * PARTS + labels[..., 1]
    ids, counts = np.unique(key, return_counts=True)
    found = []
    for number in np.unique(ids // PARTS):
        if number == VOID:
            continue
        own = ids // PARTS == number
        area = counts[own].sum()
        if area < min_area:
            continue
        if number >= FIRST_BACKGROUND:
            found.append(("background", number))
            continue
        parts = ids[own][counts[own] >= max(min_area, 0.06 * area)]
        found.append(("whole" if len(parts) > 1 else "plain", number))
        if len(parts) > 1:
            found += [("part", part) for part in parts]
    return key, found


def keys_of(target):
    """The keys of a target: from, below."""
    kind, number = target
    return (number, number + 1) if kind == "part" else (number * PARTS, (number + 1) * PARTS)


def target_mask(key, target):
    low, high = keys_of(target)
    return (key >= low) & (key < high)


def filled(mask):
    """The part of its tight box that a mask fills."""
    _, _, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return mask.sum() / (width * height)


def other_answer(target, found, clicked):
    """What else one click may mean: the whole for a part, the part that was clicked for a whole."""
    kind, number = target
    if kind == "part":
        return "whole", number // PARTS
    part = ("part", clicked)
    return part if kind == "whole" and part in found else target


def augment(image, labels, rng):
    size = IMAGE_SIZE
    if rng.random() < 0.4:                                      # zoom in
        side = int(size * rng.uniform(0.55, 0.95))
        y, x = rng.integers(0, size - side + 1, 2)
        window = slice(y, y + side), slice(x, x + side)
        image = cv2.resize(image[window], (size, size))
        labels = cv2.resize(labels[window], (size, size), interpolation=cv2.INTER_NEAREST)
    if rng.random() < 0.25:
        image, labels = image[::-1], labels[::-1]
    if rng.random() < 0.5:
        image, labels = image[:, ::-1], labels[:, ::-1]
    if rng.random() < 0.25:
        image, labels = image.transpose(1, 0, 2), labels.transpose(1, 0, 2)
    if rng.random() < 0.3:
        image = image[..., rng.permutation(3)]
    if rng.random() < 0.15:
        image = 255 - image
    if rng.random() < 0.5:
        image = np.clip(image * rng.uniform(0.7, 1.3) + rng.uniform(-25, 25), 0, 255).astype(np.uint8)
    image, labels = np.array(image), np.array(labels)
    if rng.random() < 0.4:                                      # letterbox
        used = int(size * rng.uniform(0.5, 0.95))
        outside = (slice(used, None),) if rng.random() < 0.7 else (slice(None), slice(used, None))
        image[outside] = PADDING
        labels[outside] = VOID, 0
    return image, labels


class Batches(torch.utils.data.IterableDataset):
    """Endless batches of `images` pictures with `prompts` each, from number `first` on. `fresh` of the pictures show new
    scenes, the others scenes of up to `back` batches ago."""

    def __init__(self, seed, first, images, prompts, fresh, back=130, weights=WEIGHTS, hollow=HOLLOW):
        self.seed, self.first, self.images, self.prompts = seed, first, images, prompts
        self.fresh, self.back, self.weights, self.hollow = min(fresh, images), back, weights, hollow

    def __iter__(self):
        cv2.setNumThreads(1)
        info = torch.utils.data.get_worker_info()
        worker, self.workers = (info.id, info.num_workers) if info else (0, 1)
        self.kept, self.banks = OrderedDict(), OrderedDict()
        index = self.first + worker
        while True:
            yield self.batch(index)
            index += self.workers

    def generator(self, index):
        """With a new bank of noise textures now and then."""
        number = index // (BANK_EVERY * self.workers)
        if number not in self.banks:
            self.banks[number] = Gen((self.seed, 1, number), PLAIN)
            while len(self.banks) > 2:
                self.banks.popitem(last=False)
        return self.banks[number]

    def scene(self, index, slot):
        """The scene that was new in this slot of this batch."""
        if (index, slot) not in self.kept:
            generator = self.generator(index)
            generator.reseed(np.random.default_rng((self.seed, 2, index, slot)))
            self.kept[index, slot] = generator.scene()
            while len(self.kept) > (self.back + 1) * self.fresh:
                self.kept.popitem(last=False)
        return self.kept[index, slot]

    def choose_scene(self, index, slot, rng):
        earlier = index - self.workers * int(rng.integers(1, self.back + 1))
        if slot < self.fresh:
            return self.scene(index, slot)
        return self.scene(earlier, int(rng.integers(self.fresh))) if earlier >= 0 else self.scene(index, slot)

    def batch(self, index):
        rng = np.random.default_rng((self.seed, 0, index))
        slots = int(rng.choice([2, 3, 4, 5]))
        rows, slot = [], 0
        while len(rows) < self.images:
            # a scene in which nothing can be asked for gives its place to a new one
            scene = self.choose_scene(index, slot, rng) if slot < self.images else self.scene(index, slot)
            slot += 1
            image, labels = augment(*scene, rng)
            key, found = targets(labels)
            if found:
                rows.append((image, key, *self.ask(key, found, slots, rng)))
        images, keys, *asked = zip(*rows)
        answers, points, labels, previous = ([one for rows in part for one in rows] for part in asked)
        has = np.array([one is not None for one in previous], np.float32)
        kept = [one[None].astype(np.float16) for one in previous if one is not None]
        empty = np.zeros((0, 1, LOW_RES, LOW_RES), np.float16)
        tensors = [np.stack(part) for part in (images, keys, answers, points, labels)]
        return Batch(*map(torch.from_numpy, [*tensors, has, np.stack(kept) if kept else empty]))

    def ask(self, key, found, slots, rng):
        """Prompts of one picture: answers, points, labels, and earlier logits or None."""
        masks = [target_mask(key, target) for target in found]
        weights = np.array([
            self.weights[kind] * (1 + self.hollow * (1 - filled(mask))) for (kind, _), mask in zip(found, masks)])
        chosen = rng.choice(len(found), self.prompts, replace=len(found) < self.prompts, p=weights / weights.sum())
        rows = []
        for target, mask in ((found[index], masks[index]) for index in chosen):
            point, label, previous = sample_prompt(mask, slots, rng)
            other = target
            if (label != PAD).sum() == 1:
                x, y = point[0].astype(int)
                other = other_answer(target, found, key[y, x])
            rows.append((np.array([keys_of(target), keys_of(other)], np.int16), point, label, previous))
        return zip(*rows)

"""Training batches: scenes drawn by worker processes, augmented, with prompts.

Batch `index` of a seed is always the same for the same number of workers, so a checkpoint stores the number of batches
as its position in the data. Drawing dominates the cost of a batch. Therefore only some of its scenes are new. The others
come from earlier batches of the same worker, with another crop, other colours and other prompts. The worker keeps these
scenes and draws them again after a restart.
"""
from collections import OrderedDict
from typing import NamedTuple

import cv2
import numpy as np
import torch

from .model import IMAGE_SIZE, LOW_RES, PAD
from .prompts import sample_prompt
from .scenes import SceneGenerator

VOID = 255                       # label of padding
FIRST_BACKGROUND = 100           # labels of background regions start here
MEAN = np.array([123.675, 116.28, 103.53], np.float32)
STD = np.array([58.395, 57.12, 57.375], np.float32)
PADDING = MEAN.round().astype(np.uint8)
WEIGHTS = {"whole": 1.0, "plain": 1.0, "part": 0.35, "background": 0.15}
HOLLOW = 2.0                     # extra weight of masks that fill little of their box (rings, bars, occluded objects)
PLAIN = 0.5                      # share of plain scenes; with hard scenes alone, simple scenes get worse
PARTS = 8                        # number of part labels within an object
BANK_EVERY = 1000                # batches per worker before it makes a new bank of noise textures


class Batch(NamedTuple):
    """B images with K prompts each. Q of the B*K prompts have a mask input."""
    images: torch.Tensor      # [B,256,256,3] uint8
    keys: torch.Tensor        # [B,256,256] int16: object * 8 + part; VOID * 8 in padding
    answers: torch.Tensor     # [B*K,2,2] int16: key ranges [low, high) of the target mask and of a second right answer
    points: torch.Tensor      # [B*K,N,2]
    labels: torch.Tensor      # [B*K,N]
    has_mask_input: torch.Tensor  # [B*K], 1 for a prompt with a mask input, else 0
    previous: torch.Tensor    # [Q,1,128,128] float16, logits of the mask inputs

    def masks(self):
        """[B*K,2,256,256]: the target mask and the second right answer (the target mask again if there is only one)."""
        keys = self.keys.repeat_interleave(len(self.answers) // len(self.keys), 0)[:, None]
        low, high = self.answers[..., 0, None, None], self.answers[..., 1, None, None]
        return (keys >= low) & (keys < high)

    def mask_input(self):
        """[B*K,1,128,128]: logits of the mask input, zeros for a prompt without one."""
        logits = self.previous.new_zeros(len(self.points), *self.previous.shape[1:], dtype=torch.float32)
        return logits.masked_scatter(self.has_mask_input.bool()[:, None, None, None], self.previous.float())

    def regions(self):
        """[B,64,64]: keys at a quarter of the size, -1 for padding."""
        regions = self.keys[:, 2::4, 2::4].long()
        return regions.masked_fill(regions >= VOID * PARTS, -1)


def normalise(images):
    """uint8 [B,256,256,3] -> float [B,3,256,256]."""
    mean, std = (torch.from_numpy(v).to(images.device).view(1, 3, 1, 1) for v in (MEAN, STD))
    return (images.permute(0, 3, 1, 2).float() - mean) / std


def targets(labels, min_area=60):
    """Lists the targets of a scene: a key per pixel (object * 8 + part), and [(kind, object or key)]."""
    key = labels[..., 0].astype(np.int16) * PARTS + labels[..., 1]
    ids, counts = np.unique(key, return_counts=True)
    scene_targets = []
    for number in np.unique(ids // PARTS):
        if number == VOID:
            continue
        own = ids // PARTS == number
        area = counts[own].sum()
        if area < min_area:
            continue
        if number >= FIRST_BACKGROUND:
            scene_targets.append(("background", number))
            continue
        parts = ids[own][counts[own] >= max(min_area, 0.06 * area)]
        scene_targets.append(("whole" if len(parts) > 1 else "plain", number))
        if len(parts) > 1:
            scene_targets += [("part", part) for part in parts]
    return key, scene_targets


def key_range(target):
    """The range of keys [low, high) of a target."""
    kind, number = target
    return (number, number + 1) if kind == "part" else (number * PARTS, (number + 1) * PARTS)


def target_mask(key, target):
    low, high = key_range(target)
    return (key >= low) & (key < high)


def fill_ratio(mask):
    """The share of its tight box that a mask fills."""
    _, _, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return mask.sum() / (width * height)


def second_answer(target, scene_targets, clicked):
    """A second right answer to one click: the whole object for a part, the clicked part for a whole object."""
    kind, number = target
    if kind == "part":
        return "whole", number // PARTS
    part = ("part", clicked)
    return part if kind == "whole" and part in scene_targets else target


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
    """An endless sequence of batches, starting with number `first`: `images` images with `prompts` prompts each.

    `fresh` of the images show new scenes, the others show scenes of up to `back` batches before.
    """

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
        """The generator for this batch. It gets a new bank of noise textures after every BANK_EVERY batches."""
        number = index // (BANK_EVERY * self.workers)
        if number not in self.banks:
            self.banks[number] = SceneGenerator((self.seed, 1, number), PLAIN)
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
            # a scene without targets is replaced by a new scene
            scene = self.choose_scene(index, slot, rng) if slot < self.images else self.scene(index, slot)
            slot += 1
            image, labels = augment(*scene, rng)
            key, scene_targets = targets(labels)
            if scene_targets:
                rows.append((image, key, *self.sample_prompts(key, scene_targets, slots, rng)))
        images, keys, *prompts = zip(*rows)
        answers, points, labels, previous = ([item for rows in column for item in rows] for column in prompts)
        has = np.array([logits is not None for logits in previous], np.float32)
        mask_inputs = [logits[None].astype(np.float16) for logits in previous if logits is not None]
        empty = np.zeros((0, 1, LOW_RES, LOW_RES), np.float16)
        tensors = [np.stack(column) for column in (images, keys, answers, points, labels)]
        return Batch(*map(torch.from_numpy, [*tensors, has, np.stack(mask_inputs) if mask_inputs else empty]))

    def sample_prompts(self, key, scene_targets, slots, rng):
        """Samples the prompts of one image: answers, points, labels, and the logits of the mask input or None."""
        masks = [target_mask(key, target) for target in scene_targets]
        weights = np.array([
            self.weights[kind] * (1 + self.hollow * (1 - fill_ratio(mask))) for (kind, _), mask in zip(scene_targets, masks)])
        chosen = rng.choice(len(scene_targets), self.prompts, replace=len(scene_targets) < self.prompts, p=weights / weights.sum())
        rows = []
        for target, mask in ((scene_targets[index], masks[index]) for index in chosen):
            point, label, previous = sample_prompt(mask, slots, rng)
            other = target
            if (label != PAD).sum() == 1:
                x, y = point[0].astype(int)
                other = second_answer(target, scene_targets, key[y, x])
            rows.append((np.array([key_range(target), key_range(other)], np.int16), point, label, previous))
        return zip(*rows)

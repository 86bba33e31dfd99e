"""Batches for training: scenes drawn on the fly in worker processes, augmented, with prompts.

Batch `index` of a seed is always drawn from the generator (seed, index), so the number of batches taken is the whole
data position that a checkpoint has to remember. Drawing dominates the cost of a batch: a part of its scenes are new,
the rest are taken again, with another crop, colours and prompts, from the last few hundred.
"""
import cv2
import numpy as np
import torch

from .model import IMAGE_SIZE
from .prompts import sample_prompt
from .scenes import Gen

VOID = 255                       # label of padding
FIRST_BACKGROUND = 100           # labels of background regions start here
MEAN = np.array([123.675, 116.28, 103.53], np.float32)
STD = np.array([58.395, 57.12, 57.375], np.float32)
PADDING = MEAN.round().astype(np.uint8)
WEIGHTS = {"whole": 1.0, "plain": 1.0, "part": 0.6, "background": 0.2}


def normalise(images):
    """uint8 [B,256,256,3] -> float [B,3,256,256]."""
    mean, std = (torch.from_numpy(v).to(images.device).view(1, 3, 1, 1) for v in (MEAN, STD))
    return (images.permute(0, 3, 1, 2).float() - mean) / std


def targets(labels, min_area=60):
    """What can be asked for in a scene: a key per pixel (object * 8 + part), and [(kind, object or key)]."""
    key = labels[..., 0].astype(np.int32) * 8 + labels[..., 1]
    ids, counts = np.unique(key, return_counts=True)
    found = []
    for number in np.unique(ids // 8):
        if number == VOID:
            continue
        own = ids // 8 == number
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


def target_mask(key, target):
    kind, number = target
    return key == number if kind == "part" else key // 8 == number


def augment(image, labels, rng):
    size = IMAGE_SIZE
    if rng.random() < 0.4:                                      # zoom in
        side = int(size * rng.uniform(0.55, 0.95))
        y, x = rng.integers(0, size - side + 1, 2)
        window = slice(y, y + side), slice(x, x + side)
        image = cv2.resize(image[window], (size, size))
        labels = cv2.resize(labels[window], (size, size), interpolation=cv2.INTER_NEAREST)
    if rng.random() < 0.5:
        image, labels = image[::-1], labels[::-1]
    if rng.random() < 0.5:
        image, labels = image[:, ::-1], labels[:, ::-1]
    if rng.random() < 0.5:
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
    """Endless batches: images [B,256,256,3] uint8, masks [B*K,256,256] bool, points [B*K,N,2], labels [B*K,N], and
    regions [B,64,64] (object * 8 + part, -1 for padding) for the affinity loss."""

    def __init__(self, seed, first, images, prompts, fresh, pool=400):
        self.seed, self.first, self.images, self.prompts = seed, first, images, prompts
        self.fresh, self.pool_size = min(fresh, images), pool

    def __iter__(self):
        cv2.setNumThreads(1)
        info = torch.utils.data.get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        index = self.first + (worker - self.first) % workers
        self.pool, self.drawn = [], 0
        while True:
            yield self.batch(index)
            index += workers

    def draw(self, rng):
        if self.drawn % 1000 == 0:                              # a new bank of noise textures now and then
            self.generator = Gen(int(rng.integers(2 ** 31)))
        self.generator.reseed(rng)
        self.drawn += 1
        return self.generator.scene()

    def scene(self, number, rng):
        if number >= self.fresh and len(self.pool) > 8:
            return self.pool[rng.integers(len(self.pool))]
        scene = self.draw(rng)
        if len(self.pool) < self.pool_size:
            self.pool.append(scene)
        else:
            self.pool[rng.integers(self.pool_size)] = scene
        return scene

    def batch(self, index):
        rng = np.random.default_rng((self.seed, index))
        slots = int(rng.choice([2, 3, 4, 5]))
        images, masks, points, labels, regions = [], [], [], [], []
        while len(images) < self.images:
            image, scene_labels = augment(*self.scene(len(images), rng), rng)
            key, found = targets(scene_labels)
            if not found:
                continue
            weights = np.array([WEIGHTS[kind] for kind, _ in found])
            chosen = rng.choice(len(found), self.prompts, replace=len(found) < self.prompts, p=weights / weights.sum())
            images.append(image)
            regions.append(np.where(key >= VOID * 8, -1, key)[2::4, 2::4])
            for target in chosen:
                mask = target_mask(key, found[target])
                point, label = sample_prompt(mask, slots, rng)
                masks.append(mask)
                points.append(point)
                labels.append(label)
        return tuple(torch.from_numpy(np.stack(part)) for part in (images, masks, points, labels, regions))

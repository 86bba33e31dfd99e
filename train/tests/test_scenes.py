"""Tests of scenes, targets and prompts:  python -m pytest train/tests  (needs train/requirements.txt and pytest)"""
import numpy as np
import pytest
import torch

from train import things
from train.data import HOLLOW, PARTS, VOID, Batches, fill_ratio, key_range, second_answer, target_mask, targets
from train.model import BACKGROUND, BOTTOM_RIGHT, FOREGROUND, IMAGE_SIZE, LOW_RES, PAD, TOP_LEFT
from train.prompts import previous_mask, retracted_click, sample_prompt, tight_box
from train.scenes import SceneGenerator


def take(count, first=0, seed=3, **changes):
    options = dict(images=2, prompts=3, fresh=1, back=3) | changes
    stream = iter(Batches(seed, first, **options))
    return [next(stream) for _ in range(count)]


def test_equal_seeds_draw_equal_scenes_and_other_seeds_other_scenes():
    (image, labels), (again, labels_again), (other, _) = (SceneGenerator(seed).scene() for seed in (5, 5, 6))
    assert image.shape == (IMAGE_SIZE, IMAGE_SIZE, 3) and image.dtype == np.uint8
    assert (image == again).all() and (labels == labels_again).all()
    assert (image != other).any()


def test_plain_scenes_have_none_of_the_hard_features():
    generator = SceneGenerator(4, plain=1.0)
    for _ in range(20):
        generator.scene()
        style = generator.style
        assert style.plain and not style.things
        assert style.thing is style.surface is style.places is style.large is style.horizon is None


@pytest.mark.parametrize("kind", things.KINDS)
def test_every_thing_has_an_inside_and_no_part_outside_of_it(kind):
    for seed in range(3):
        cover, parts = things.draw_thing(np.random.default_rng(seed), 128, 128, 60, kind)
        assert cover.shape == parts.shape == (IMAGE_SIZE, IMAGE_SIZE)
        assert 200 < cover.sum() < 40000
        assert (parts[cover > 0.5] > 0).all() and parts.max() < PARTS
        assert not parts[cover == 0].any()


def test_the_inside_of_a_hoop_is_not_part_of_it():
    thing = things.Thing(np.random.default_rng(0), 128, 128, 100, turned=0.0)
    thing.hoop(1, 0, 0, 0.9, 0.6)
    assert thing.parts[256, 256] == 0 and thing.parts[256, 256 + int(0.75 * 200 * 0.9)] == 1


def test_targets_are_wholes_parts_and_backgrounds():
    labels = np.full((IMAGE_SIZE, IMAGE_SIZE, 2), (100, 0), np.uint8)
    labels[20:60, 20:60] = 1, 0
    labels[20:60, 40:60] = 1, 2
    labels[100:140, 20:60] = 2, 0
    labels[200:] = VOID, 0
    key, scene_targets = targets(labels)
    part = "part", PARTS + 2
    assert scene_targets == [("whole", 1), ("part", PARTS), part, ("plain", 2), ("background", 100)]
    assert target_mask(key, ("whole", 1)).sum() == 1600 and target_mask(key, part).sum() == 800
    assert second_answer(part, scene_targets, PARTS + 2) == ("whole", 1)
    assert second_answer(("whole", 1), scene_targets, PARTS + 2) == part
    assert second_answer(("plain", 2), scene_targets, 2 * PARTS) == ("plain", 2)
    assert key_range(("background", 100)) == (800, 808)


def test_a_position_in_the_data_always_gives_the_same_batch():
    """Includes scenes reused from batches before the position, which a restarted worker has never drawn."""
    through = take(8)
    for first in (2, 5):
        for expected, repeated in zip(through[first:], take(8 - first, first)):
            assert all(torch.equal(a, b) for a, b in zip(expected, repeated))
    assert not torch.equal(through[0].images, take(1, seed=4)[0].images)


def test_several_workers_draw_the_same_batches_after_a_restart():
    def loaded(first, count):
        source = Batches(3, first, images=2, prompts=3, fresh=1, back=3)
        stream = iter(torch.utils.data.DataLoader(source, batch_size=None, num_workers=2))
        return [next(stream) for _ in range(count)]

    for expected, repeated in zip(loaded(0, 6)[3:], loaded(3, 3)):
        assert all(torch.equal(a, b) for a, b in zip(expected, repeated))


def test_a_batch_contains_the_masks_of_its_prompts():
    for batch in take(6):
        masks = batch.masks()
        assert masks.shape == (6, 2, IMAGE_SIZE, IMAGE_SIZE) and masks.flatten(2).any(2).all()
        assert batch.mask_input().shape == (6, 1, LOW_RES, LOW_RES) and batch.regions().shape == (2, 64, 64)
        assert torch.equal(batch.mask_input().flatten(1).any(1), batch.has_mask_input > 0)
        for mask, points, labels in zip(masks, batch.points, batch.labels):
            if (labels == FOREGROUND).sum() == 1 and (labels == PAD).sum() == len(labels) - 1:
                x, y = points[labels == FOREGROUND][0].int()
                assert mask[0, y, x] and mask[1, y, x]          # both answers contain the click
            else:
                assert torch.equal(mask[0], mask[1])


def test_masks_that_fill_little_of_their_box_are_sampled_more_often():
    labels = np.full((IMAGE_SIZE, IMAGE_SIZE, 2), (100, 0), np.uint8)
    labels[20:120, 20:120] = 1, 0
    labels[22:118, 22:118] = 100, 0                   # a frame
    labels[150:200, 150:200] = 2, 0
    key, scene_targets = targets(labels)
    assert fill_ratio(target_mask(key, ("plain", 2))) == 1 and fill_ratio(target_mask(key, ("plain", 1))) == pytest.approx(0.0784)
    source, rng, sampled = Batches(1, 0, 1, prompts=1, fresh=1), np.random.default_rng(4), []
    for _ in range(600):
        (answers,), *_ = source.sample_prompts(key, scene_targets, 3, rng)
        sampled.append(answers[0, 0] // PARTS)
    assert sampled.count(1) / sampled.count(2) == pytest.approx(1 + HOLLOW * (1 - 0.0784), rel=0.25)


def test_prompts_are_well_formed():
    rng = np.random.default_rng(1)
    mask = np.zeros((IMAGE_SIZE, IMAGE_SIZE), bool)
    mask[90:150, 60:200] = True
    kinds = set()
    for number in range(400):
        slots = 2 + number % 4
        points, labels, previous = sample_prompt(mask, slots, rng)
        assert points.shape == (slots, 2) and labels.shape == (slots,)
        assert ((points >= 0) & (points <= IMAGE_SIZE)).all()
        assert (labels == TOP_LEFT).sum() == (labels == BOTTOM_RIGHT).sum() <= 1
        assert set(labels) <= {PAD, BACKGROUND, FOREGROUND, TOP_LEFT, BOTTOM_RIGHT} and (labels != PAD).any()
        assert previous is None or (previous.shape == (LOW_RES, LOW_RES) and np.isfinite(previous).all())
        kinds.add((TOP_LEFT in labels, BACKGROUND in labels, FOREGROUND in labels, previous is not None))
    assert len(kinds) == 5


def test_a_wrong_click_is_retracted_beside_the_object():
    rng = np.random.default_rng(2)
    mask = np.zeros((IMAGE_SIZE, IMAGE_SIZE), bool)
    mask[100:150, 100:150] = True
    for _ in range(30):
        points, labels = retracted_click(mask, rng)
        (wrong, retraction, right) = ((int(x), int(y)) for x, y in points)
        assert labels == [FOREGROUND, BACKGROUND, FOREGROUND]
        assert not mask[wrong[1], wrong[0]] and not mask[retraction[1], retraction[0]] and mask[right[1], right[0]]
        assert np.hypot(wrong[0] - retraction[0], wrong[1] - retraction[1]) < 20


def test_the_previous_mask_is_near_the_object_but_differs():
    rng = np.random.default_rng(3)
    mask = np.zeros((IMAGE_SIZE, IMAGE_SIZE), bool)
    mask[80:160, 90:170] = True
    truth, overlaps = mask[::2, ::2], []
    for _ in range(40):
        inside = previous_mask(mask, rng) > 0
        overlaps.append((inside & truth).sum() / (inside | truth).sum())
    assert 0.5 < np.mean(overlaps) < 0.97


def test_prompts_exist_for_a_mask_that_fills_the_image():
    mask = np.ones((IMAGE_SIZE, IMAGE_SIZE), bool)
    for seed in range(40):
        sample_prompt(mask, 5, np.random.default_rng(seed))
    assert tight_box(mask).tolist() == [[0, 0], [IMAGE_SIZE, IMAGE_SIZE]]

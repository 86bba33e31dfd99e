"""Scenes, targets and prompts:  python -m pytest train/tests  (wants the packages of train/requirements.txt and pytest)"""
import numpy as np
import pytest
import torch

from train import things
from train.data import HOLLOW, PARTS, VOID, Batches, filled, keys_of, other_answer, target_mask, targets
from train.model import BACKGROUND, BOTTOM_RIGHT, FOREGROUND, IMAGE_SIZE, LOW_RES, PAD, TOP_LEFT
from train.prompts import frame_before, mended, sample_prompt, tight_box
from train.scenes import Gen


def take(count, first=0, seed=3, **changes):
    options = dict(images=2, prompts=3, fresh=1, back=3) | changes
    stream = iter(Batches(seed, first, **options))
    return [next(stream) for _ in range(count)]


def test_a_seed_draws_the_same_scene_and_another_seed_another_one():
    (image, labels), (again, labels_again), (other, _) = (Gen(seed).scene() for seed in (5, 5, 6))
    assert image.shape == (IMAGE_SIZE, IMAGE_SIZE, 3) and image.dtype == np.uint8
    assert (image == again).all() and (labels == labels_again).all()
    assert (image != other).any()


def test_plain_scenes_have_nothing_that_makes_the_others_hard():
    generator = Gen(4, plain=1.0)
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


def test_what_a_hoop_encloses_is_outside():
    thing = things.Thing(np.random.default_rng(0), 128, 128, 100, turned=0.0)
    thing.hoop(1, 0, 0, 0.9, 0.6)
    assert thing.parts[256, 256] == 0 and thing.parts[256, 256 + int(0.75 * 200 * 0.9)] == 1


def test_targets_are_wholes_parts_and_backgrounds():
    labels = np.full((IMAGE_SIZE, IMAGE_SIZE, 2), (100, 0), np.uint8)
    labels[20:60, 20:60] = 1, 0
    labels[20:60, 40:60] = 1, 2
    labels[100:140, 20:60] = 2, 0
    labels[200:] = VOID, 0
    key, found = targets(labels)
    part = "part", PARTS + 2
    assert found == [("whole", 1), ("part", PARTS), part, ("plain", 2), ("background", 100)]
    assert target_mask(key, ("whole", 1)).sum() == 1600 and target_mask(key, part).sum() == 800
    assert other_answer(part, found, PARTS + 2) == ("whole", 1)
    assert other_answer(("whole", 1), found, PARTS + 2) == part
    assert other_answer(("plain", 2), found, 2 * PARTS) == ("plain", 2)
    assert keys_of(("background", 100)) == (800, 808)


def test_a_position_in_the_data_always_gives_the_same_batch():
    """Also the scenes that are taken again from batches before the position, which were never drawn after a restart."""
    through = take(8)
    for first in (2, 5):
        for expected, found in zip(through[first:], take(8 - first, first)):
            assert all(torch.equal(a, b) for a, b in zip(expected, found))
    assert not torch.equal(through[0].images, take(1, seed=4)[0].images)


def test_workers_together_draw_what_they_draw_again_after_a_restart():
    def loaded(first, count):
        source = Batches(3, first, images=2, prompts=3, fresh=1, back=3)
        stream = iter(torch.utils.data.DataLoader(source, batch_size=None, num_workers=2))
        return [next(stream) for _ in range(count)]

    for expected, found in zip(loaded(0, 6)[3:], loaded(3, 3)):
        assert all(torch.equal(a, b) for a, b in zip(expected, found))


def test_a_batch_says_what_was_asked_for():
    for batch in take(6):
        masks = batch.masks()
        assert masks.shape == (6, 2, IMAGE_SIZE, IMAGE_SIZE) and masks.flatten(2).any(2).all()
        assert batch.earlier().shape == (6, 1, LOW_RES, LOW_RES) and batch.regions().shape == (2, 64, 64)
        assert torch.equal(batch.earlier().flatten(1).any(1), batch.has_previous > 0)
        for mask, points, labels in zip(masks, batch.points, batch.labels):
            if (labels == FOREGROUND).sum() == 1 and (labels == PAD).sum() == len(labels) - 1:
                x, y = points[labels == FOREGROUND][0].int()
                assert mask[0, y, x] and mask[1, y, x]          # both answers hold the click
            else:
                assert torch.equal(mask[0], mask[1])


def test_what_fills_little_of_its_box_is_asked_for_more_often():
    labels = np.full((IMAGE_SIZE, IMAGE_SIZE, 2), (100, 0), np.uint8)
    labels[20:120, 20:120] = 1, 0
    labels[22:118, 22:118] = 100, 0                   # a frame
    labels[150:200, 150:200] = 2, 0
    key, found = targets(labels)
    assert filled(target_mask(key, ("plain", 2))) == 1 and filled(target_mask(key, ("plain", 1))) == pytest.approx(0.0784)
    source, rng, asked = Batches(1, 0, 1, prompts=1, fresh=1), np.random.default_rng(4), []
    for _ in range(600):
        (answers,), *_ = source.ask(key, found, 3, rng)
        asked.append(answers[0, 0] // PARTS)
    assert asked.count(1) / asked.count(2) == pytest.approx(1 + HOLLOW * (1 - 0.0784), rel=0.25)


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


def test_a_wrong_click_is_taken_back_beside_the_object():
    rng = np.random.default_rng(2)
    mask = np.zeros((IMAGE_SIZE, IMAGE_SIZE), bool)
    mask[100:150, 100:150] = True
    for _ in range(30):
        points, labels = mended(mask, rng)
        (wrong, back, right) = ((int(x), int(y)) for x, y in points)
        assert labels == [FOREGROUND, BACKGROUND, FOREGROUND]
        assert not mask[wrong[1], wrong[0]] and not mask[back[1], back[0]] and mask[right[1], right[0]]
        assert np.hypot(wrong[0] - back[0], wrong[1] - back[1]) < 20


def test_the_mask_of_the_frame_before_is_near_the_object_but_not_it():
    rng = np.random.default_rng(3)
    mask = np.zeros((IMAGE_SIZE, IMAGE_SIZE), bool)
    mask[80:160, 90:170] = True
    truth, overlaps = mask[::2, ::2], []
    for _ in range(40):
        inside = frame_before(mask, rng) > 0
        overlaps.append((inside & truth).sum() / (inside | truth).sum())
    assert 0.5 < np.mean(overlaps) < 0.97


def test_a_full_picture_can_be_asked_for():
    mask = np.ones((IMAGE_SIZE, IMAGE_SIZE), bool)
    for seed in range(40):
        sample_prompt(mask, 5, np.random.default_rng(seed))
    assert tight_box(mask).tolist() == [[0, 0], [IMAGE_SIZE, IMAGE_SIZE]]

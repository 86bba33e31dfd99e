"""Tests of the trainer on a CPU:  python -m pytest train/tests

The CUDA path (pinned memory, choice of the batch size) is not tested.
"""
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from train import muon, restore
from train import train as training
from train.data import Batches
from train.losses import mask_losses, prompt_loss, several_answers
from train.model import FOREGROUND, LOW_RES, TinySam, best_first
from train.train import Trainer, arguments, error_clicks

ROOT = Path(__file__).parents[2]
SMALL = ["--device", "cpu", "--images", "2", "--prompts", "2", "--fresh", "1", "--workers", "0", "--threads", "1"]


@pytest.fixture
def trainer(tmp_path, monkeypatch):
    def make(*more):
        monkeypatch.setattr(sys, "argv", ["train", *SMALL, "--out", str(tmp_path), *more])
        return Trainer(arguments())
    return make


def run_steps(trainer, count):
    stream = iter(Batches(trainer.args.seed, trainer.batches, 2, 2, 1, back=3))
    for _ in range(count):
        trainer.set_rate()
        trainer.train_step(next(stream))
        trainer.step, trainer.batches, trainer.leg_steps = trainer.step + 1, trainer.batches + 1, trainer.leg_steps + 1
    return torch.cat([value.flatten().float() for value in trainer.model.state_dict().values()])


def test_a_resumed_training_equals_an_uninterrupted_training(trainer):
    straight = trainer("--no-resume")
    run_steps(straight, 2)
    straight.save()
    expected = run_steps(straight, 3)
    resumed = trainer()
    assert (resumed.step, resumed.batches) == (2, 2)
    assert torch.equal(run_steps(resumed, 3), expected)
    assert all(torch.equal(a, b) for a, b in zip(resumed.ema.state_dict().values(), straight.ema.state_dict().values()))


def test_a_step_without_a_finite_gradient_changes_nothing(trainer):
    leg = trainer("--no-resume")
    before = run_steps(leg, 1)
    average = [value.clone() for value in leg.ema.state_dict().values()]
    next(leg.model.parameters()).register_hook(lambda grad: grad * float("nan"))
    after = run_steps(leg, 1)
    buffers = sum(value.numel() for value in leg.model.buffers())
    assert leg.bad_steps == 1 and buffers > 0
    assert all(torch.equal(a, b) for a, b in zip(average, leg.ema.state_dict().values()))
    assert all(torch.equal(a, b) for a, b in zip(leg.model.buffers(), leg.ema.buffers()))
    assert after.isfinite().all() and before.shape == after.shape


def test_training_stops_after_many_steps_without_a_finite_gradient(trainer, monkeypatch):
    monkeypatch.setattr(training, "MAX_BAD_STEPS", 2)
    leg = trainer("--no-resume")
    for _ in range(2):
        leg.apply_gradient(torch.tensor(float("nan")))
    with pytest.raises(SystemExit, match="finite"):
        leg.apply_gradient(torch.tensor(float("inf")))


@pytest.mark.parametrize("shape", [(16, 40), (40, 16), (24, 24, 3, 3)])
def test_muon_agrees_with_that_of_torch(shape):
    """torch.optim.Muon accepts only matrices and computes in bfloat16."""
    ours = torch.nn.Parameter(torch.randn(shape))
    theirs = torch.nn.Parameter(ours.detach().flatten(1).clone())
    other = torch.nn.Parameter(torch.randn(shape))          # parameters of one shape are processed together
    optimizers = [
        muon.Muon([ours, other], lr=0.01),
        torch.optim.Muon([theirs], lr=0.01, momentum=0.95, weight_decay=0.02, adjust_lr_fn="match_rms_adamw")]
    before = ours.detach().flatten(1).clone()
    for _ in range(3):
        ours.grad, other.grad = torch.randn(shape), torch.randn(shape)
        theirs.grad = ours.grad.flatten(1).clone()
        for optimizer in optimizers:
            optimizer.step()
    assert (theirs - before).norm() > 0.1
    torch.testing.assert_close(ours.detach().flatten(1), theirs.detach(), atol=5e-4, rtol=0)


def test_every_parameter_has_one_optimizer(trainer):
    leg = trainer("--no-resume")
    theirs = [[p for group in optimizer.param_groups for p in group["params"]] for optimizer in leg.optimizers]
    assert {id(p) for part in theirs for p in part} == {id(p) for p in leg.model.parameters()}
    assert sum(map(len, theirs)) == len(list(leg.model.parameters()))
    hidden, rest = theirs
    assert sum(p.numel() for p in hidden) > 10 * sum(p.numel() for p in rest) > 0


def test_a_new_leg_starts_at_half_the_rate_after_a_warm_up(trainer):
    first_leg = trainer("--no-resume", "--minutes", "10", "--rate", "0.001")
    first_leg.leg_seconds, first_leg.leg_steps = 600.0, 5000
    assert first_leg.set_rate() < 1e-5
    first_leg.save()
    second_leg = trainer("--minutes", "10", "--rate", "0.001")
    assert (second_leg.legs, second_leg.leg_seconds, second_leg.leg_steps) == (1, 0.0, 0)
    assert second_leg.set_rate() < 1e-5
    second_leg.leg_steps = training.WARM_UP
    assert second_leg.set_rate() == pytest.approx(0.0005, rel=0.01)


def test_a_bundle_gives_the_weights_if_there_is_no_checkpoint(trainer, monkeypatch):
    restored = TinySam()
    monkeypatch.setattr(restore, "restore", lambda bundle: (restored, {"step": 40, "batches": 40, "scenes": 80, "legs": 1}))
    leg = trainer("--from", "models/tiny", "--minutes", "10", "--rate", "0.001")
    assert leg.model is restored and (leg.step, leg.batches, leg.scenes) == (40, 40, 80)
    assert all(torch.equal(a, b) for a, b in zip(leg.ema.state_dict().values(), restored.state_dict().values()))
    leg.leg_steps = training.WARM_UP
    assert leg.set_rate() == pytest.approx(0.0005, rel=0.01)
    leg.step = 41
    leg.save()
    assert trainer("--from", "models/tiny").step == 41


def test_a_step_in_bfloat16_agrees_with_float32_within_rounding(trainer):
    changed = []
    for low in (False, True):
        leg = trainer("--no-resume")
        leg.bfloat16 = low
        changed.append(run_steps(leg, 2))
        assert leg.bad_steps == 0
    assert not torch.equal(*changed)
    torch.testing.assert_close(*changed, atol=0.01, rtol=0.05)


@pytest.mark.parametrize("number, whole_group", [(signal.SIGTERM, False), (signal.SIGTERM, True), (signal.SIGINT, True)])
def test_a_stopped_leg_saves_its_checkpoint(tmp_path, number, whole_group):
    """Includes signals to the whole process group, as Ctrl-C in a terminal and service managers send them."""
    command = [sys.executable, "-m", "train.train", *SMALL, "--workers", "1", "--minutes", "60", "--out", str(tmp_path)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
    log, end = tmp_path / "log.jsonl", time.monotonic() + 600
    while not log.exists() and time.monotonic() < end and process.poll() is None:
        time.sleep(0.2)
    (os.killpg if whole_group else os.kill)(process.pid, number)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert state["step"] >= 25 and state["batches"] == state["step"], output
    assert "interrupted" in output and "waited" in output
    assert json.loads(log.read_text().splitlines()[0])["step"] == 25


def test_padding_and_other_objects_change_no_mask():
    model = TinySam().eval()
    image = torch.rand(1, 3, 256, 256)
    points = torch.tensor([[[60.0, 80.0], [0, 0]], [[200, 30], [0, 0]]])
    labels = torch.tensor([[float(FOREGROUND), -1], [FOREGROUND, -1]])
    with torch.no_grad():
        features = model.encode(image)
        both, both_iou = model.decode(features, points, labels)
        alone, alone_iou = model.decode(features, points[1:, :1], labels[1:, :1])
    torch.testing.assert_close(both[1:], alone, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(both_iou[1:], alone_iou, atol=1e-4, rtol=1e-4)


def test_the_best_scored_mask_comes_first():
    logits, scores = torch.randn(2, 4, LOW_RES, LOW_RES), torch.tensor([[0.5, 0.2, 0.9, 0.1], [0.7, 0.3, 0.1, 0.7]])
    masks, predicted = best_first(logits, scores)
    torch.testing.assert_close(masks[0, 0], logits[0, 2])
    torch.testing.assert_close(masks[1, 0], (logits[1, 0] + logits[1, 3]) / 2)
    assert torch.equal(masks[:, 1:], logits[:, 1:])
    assert torch.equal(predicted, torch.tensor([[0.9, 0.2, 0.9, 0.1], [0.7, 0.3, 0.1, 0.7]]))


def test_losses_agree_with_their_definition():
    logits, truths = torch.randn(3, 4, 16, 16), (torch.rand(3, 2, 16, 16) > 0.5).float()
    loss, iou = mask_losses(logits, truths)
    candidate, truth = logits[1, 2], truths[1, 1]
    dice = 1 - (2 * (candidate.sigmoid() * truth).sum() + 1) / (candidate.sigmoid().sum() + truth.sum() + 1)
    expected = 2 * torch.nn.functional.binary_cross_entropy_with_logits(candidate, truth) + dice
    torch.testing.assert_close(loss[1, 2, 1], expected)
    hard, target = candidate > 0, truth > 0.5
    torch.testing.assert_close(iou[1, 2, 1], (hard & target).sum() / (hard | target).sum())


def test_two_right_answers_need_two_candidates():
    loss = torch.tensor([[[0.1, 0.2], [0.9, 0.3], [0.5, 0.9]]])
    assert several_answers(loss).item() == pytest.approx((0.1 + 0.5 * 0.3) / 1.5)
    truth = torch.zeros(1, 1, LOW_RES, LOW_RES)
    truth[..., :64, :64] = 1
    same = prompt_loss(torch.randn(1, 4, LOW_RES, LOW_RES), torch.full((1, 4), 0.5), truth.expand(-1, 2, -1, -1))[0]
    assert same.isfinite()


def test_correction_clicks_lie_in_the_error():
    truth, logits = torch.zeros(2, LOW_RES, LOW_RES), torch.full((2, LOW_RES, LOW_RES), -5.0)
    truth[:, 20:60, 20:60] = 1
    logits[0, 20:60, 20:40] = 5.0                    # half of the object is missing
    logits[1, 20:60, 20:90] = 5.0                    # the mask is too large
    for seed in range(20):
        torch.manual_seed(seed)
        place, label = error_clicks(logits, truth)
        (x0, y0), (x1, y1) = (place[:, 0] // 2).int().tolist()
        assert label[:, 0].tolist() == [1, 0]
        assert 40 <= x0 < 60 and 20 <= y0 < 60 and 60 <= x1 < 90 and 20 <= y1 < 60
    logits[:] = truth * 10 - 5                        # no error: a click in the object
    place, label = error_clicks(logits, truth)
    assert label[:, 0].tolist() == [1, 1]

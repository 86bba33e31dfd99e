"""Trains the IoU head alone:  python -m train.scores --minutes 10

During training of the whole network the head learns slowly, because the masks keep changing. Here only the head is
trained. For --minutes, prompts of training scenes are decoded without gradients and the inputs of the head are stored, a
few hundred numbers per mask. Then the head is fitted to the true IoUs in many passes over these inputs, which takes
seconds. The new head replaces the old head in the checkpoint, in the weights and in the averaged weights.
"""
import argparse
import copy
import time
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from .data import Batches, normalise
from .losses import score_loss
from .model import BACKGROUND, FOREGROUND, IMAGE_SIZE, TOP_LEFT, TinySam
from .prompts import central_correction
from .threads import cores
from .train import error_clicks

SEED, IMAGES, PROMPTS, ROUNDS = 77, 6, 4, 3          # many scenes with few prompts each, against overfitting
WEIGHTS = {"whole": 1.0, "plain": 1.0, "part": 0.05, "background": 0.05}     # a click mostly means a whole thing
FEWEST = 16                   # batches, even if --minutes allows fewer
HELD_OUT = 0.12               # of the batches, the last ones
WRONG_CLICKS = 0.15           # share of the corrections with the wrong label


def true_iou(logits, masks):
    """logits [P,4,128,128], masks [P,256,256] -> [P,4], at the size of the image as in the evaluation."""
    hard = F.interpolate(logits, size=(IMAGE_SIZE, IMAGE_SIZE), mode="bilinear", align_corners=False) > 0
    truth = masks[:, None]
    return (hard & truth).sum((2, 3)) / (hard | truth).sum((2, 3)).clamp(min=1)


def next_clicks(current, masks, rng):
    """A correction click for each mask: as in the evaluation, anywhere in the error, or with the wrong label."""
    places, labels = error_clicks(current, F.avg_pool2d(masks[:, None].float(), 2)[:, 0])
    full = F.interpolate(current[:, None], size=(IMAGE_SIZE, IMAGE_SIZE), mode="bilinear", align_corners=False)[:, 0] > 0
    for number in np.flatnonzero(rng.random(len(masks)) < 0.5):
        place, label = central_correction(full[number].cpu().numpy(), masks[number].cpu().numpy())
        places[number, 0], labels[number, 0] = torch.tensor(place), label
    wrong = torch.from_numpy(rng.random(len(masks)) < WRONG_CLICKS).to(labels.device)[:, None]
    return places, torch.where(wrong, FOREGROUND + BACKGROUND - labels, labels)


@torch.no_grad()
def head_inputs(model, batch, rng):
    """Yields inputs of the head and the true IoUs, for the prompts of a batch and for corrections of these prompts."""
    features = model.encode(normalise(batch.images))
    masks, positions = batch.masks()[:, 0], model.prompts.grid_positions()
    points, labels, previous, has = batch.points, batch.labels, batch.mask_input(), batch.has_mask_input
    for number in range(1 + int(rng.integers(ROUNDS))):
        prompts = model.prompts(points, labels, previous, has)
        logits, (mixed, maps, iou_token, mask_tokens) = model.decoder.masks(features, prompts, positions)
        description = model.decoder.iou.describe(logits, mixed, maps)
        several = (labels == TOP_LEFT).any(1) | ((labels == FOREGROUND) | (labels == BACKGROUND)).sum(1).gt(1)
        yield [part.cpu() for part in (
            description.half(), iou_token.half(), mask_tokens.half(), true_iou(logits, masks), several)]
        random = torch.from_numpy(rng.integers(1, 4, len(masks))).to(labels.device)
        current = logits[torch.arange(len(masks)), torch.where(several, 0, random)]
        place, label = next_clicks(current, masks, rng)
        points, labels = torch.cat([points, place], 1), torch.cat([labels, label], 1)
        previous, has = current[:, None], torch.from_numpy((rng.random(len(masks)) < 0.85).astype(np.float32)).to(has.device)


def collect(model, minutes, workers, device, keep=None):
    """Collects inputs of the head, one row per batch, after the rows in the file `keep`."""
    rows = [] if keep is None or not keep.exists() else torch.load(keep)
    stream = iter(torch.utils.data.DataLoader(
        Batches(SEED, len(rows), IMAGES, PROMPTS, fresh=IMAGES, back=1, weights=WEIGHTS, hollow=0), batch_size=None,
        num_workers=workers))
    end, reported = time.monotonic() + minutes * 60, time.monotonic()
    while time.monotonic() < end or len(rows) < FEWEST:
        torch.manual_seed(len(rows))
        batch = next(stream)
        batch = type(batch)(*(part.to(device) for part in batch))
        rows.append([torch.cat(part) for part in zip(*head_inputs(model, batch, np.random.default_rng((SEED, len(rows)))))])
        if time.monotonic() - reported > 60:
            reported = time.monotonic()
            print(f"{len(rows)} batches", flush=True)
            if keep:
                torch.save(rows, keep)
    if keep:
        torch.save(rows, keep)
    return rows


def figures(predicted, iou, several):
    """Errors of the scores, and mean IoUs of the chosen candidates beside those of the best candidates."""
    chosen = iou[:, 1:].gather(1, predicted[:, 1:].argmax(1, keepdim=True))[:, 0]
    any_of_four = iou.gather(1, predicted.argmax(1, keepdim=True))[:, 0]
    best, one = iou[:, 1:].amax(1), ~several
    return {
        "error": (predicted - iou).abs().mean(), "click error": (predicted - iou)[one].abs().mean(),
        "click": chosen[one].mean(), "click best": best[one].mean(), "click single": iou[one, 0].mean(),
        "several single": iou[several, 0].mean(), "several chosen of 3": chosen[several].mean(),
        "several chosen of 4": any_of_four[several].mean(), "several best of 4": iou[several].amax(1).mean()}


def fit(head, rows, passes=40, rate=2e-3, size=512):
    held_out = max(1, int(len(rows) * HELD_OUT))
    train = [torch.cat(part).float() for part in zip(*rows[:-held_out])]
    test = [torch.cat(part).float() for part in zip(*rows[-held_out:])]
    optimizer = torch.optim.AdamW(head.parameters(), lr=rate, weight_decay=0.05)
    steps = passes * (len(train[0]) // size + 1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.1)
    average = copy.deepcopy(head)
    for _ in range(steps):
        index = torch.randint(0, len(train[0]), (size,))
        description, iou_token, mask_tokens, iou = (part[index] for part in train[:4])
        loss = score_loss(head.score(description, iou_token, mask_tokens), iou).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            torch._foreach_lerp_(list(average.parameters()), list(head.parameters()), 0.01)
    for name, part in (("trained on", train), ("held out", test)):
        with torch.no_grad():
            predicted = average.score(*part[:3])
        print(name, len(part[0]), {k: round(float(v), 3) for k, v in figures(predicted, part[3], part[4] > 0).items()}, flush=True)
    return average


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=Path("train/out/checkpoint.pt"), help="checkpoint to read and to update")
    parser.add_argument("--out", type=Path, help="file to write instead of the checkpoint")
    parser.add_argument("--minutes", type=float, default=10, help="how long to decode prompts")
    parser.add_argument("--keep", type=Path, help="file for decoded prompts; a later call with the same weights adds to it")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--workers", type=int, help="processes that draw scenes (default: 1 on a CPU, all cores but one on CUDA)")
    args = parser.parse_args()
    if args.device == "auto":
        args.device = "cuda" if torch.cuda.is_available() else "cpu"
    if args.workers is None:
        args.workers = max(1, cores() - 1) if args.device == "cuda" else 1
    cv2.setNumThreads(1)
    torch.set_flush_denormal(True)
    state = torch.load(args.checkpoint, map_location="cpu", weights_only=True)
    model = TinySam()
    model.load_state_dict(state["ema"])
    rows = collect(model.eval().to(args.device), args.minutes, args.workers, args.device, args.keep)
    head = fit(model.decoder.iou.cpu(), rows)
    for weights in (state["ema"], state["model"]):
        for name, value in head.state_dict().items():
            weights[f"decoder.iou.{name}"] = value.clone()
    torch.save(state, args.out or args.checkpoint)
    print(args.out or args.checkpoint)


if __name__ == "__main__":
    main()

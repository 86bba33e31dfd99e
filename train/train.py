"""Trains the tiny model from scratch:  python -m train.train --minutes 95

One call is one leg. The learning rate falls along a cosine over the minutes of the leg, so that a leg ends at a low rate
on any machine. An interrupted leg continues from its checkpoint. A call after a finished leg starts the next leg, at half
the rate.
"""
import copy
import json
import math
import shutil
import signal
import time
from pathlib import Path

import cv2
import torch
import torch.nn.functional as F

from . import muon, options
from .data import Batches, normalise
from .losses import affinity_loss, prompt_loss
from .model import BACKGROUND, FOREGROUND, IMAGE_SIZE, LOW_RES, TinySam
from .threads import Threads, cores, has_bfloat16

WARM_UP = 150             # steps, at the start of every leg
CORRECTION_EVERY = 2      # steps
CORRECTED_PROMPTS = 2     # per image, in a correction round
SAVE_EVERY = 180          # seconds
PRINT_EVERY = 25          # steps
PREFETCH = 3              # batches of a worker
MAX_BAD_STEPS = 50        # in a row, without a finite gradient


def arguments():
    args = options.parser().parse_args()
    if args.device == "auto":
        args.device = "cuda" if torch.cuda.is_available() else "cpu"
    on_gpu = args.device == "cuda"
    args.images = args.images or (images_for_gpu() if on_gpu else 6)
    args.prompts = args.prompts or (8 if on_gpu else 4)
    args.workers = args.workers if args.workers is not None else (max(1, cores() - 1) if on_gpu else 1)
    args.fresh = args.fresh or max(1, args.images // (4 if on_gpu else 2))
    args.workers = min(args.workers, workers_that_fit(args.images))
    return args


def workers_that_fit(images):
    """The number of workers whose waiting batches fit in shared memory, which is small in some containers."""
    folder = Path("/dev/shm")
    if not folder.exists():
        return 64
    batch = images * IMAGE_SIZE ** 2 * 7             # bytes: picture, keys, mask inputs
    return max(1, int(shutil.disk_usage(folder).free * 0.7 / (batch * (PREFETCH + 1))))


def images_for_gpu():
    """The number of images per step that fits the GPU: an image with eight prompts takes about 0.25 GB."""
    gigabytes = torch.cuda.get_device_properties(0).total_memory / 2 ** 30
    return int(min(64, max(16, gigabytes * 2 // 8 * 8)))


def error_clicks(logits, truth):
    """A correction click for each mask: anywhere in its error or, half of the time, deep inside the error.

    logits, truth [S,128,128] -> places [S,1,2] in pixels of the 256 square, labels [S,1]. A mask without errors gets a
    positive click in the object.
    """
    predicted, truth = logits > 0, truth > 0.5
    error = (predicted != truth).float()
    weight = torch.where(error.flatten(1).any(1)[:, None, None], error, truth.float())
    depth = F.avg_pool2d(weight[:, None], 7, 1, 3)[:, 0]
    deep = (torch.rand(len(logits), device=logits.device) < 0.5)[:, None, None]
    weight = weight * torch.where(deep, depth ** 6, 1.0) + 1e-20
    index = torch.multinomial(weight.flatten(1), 1)
    place = torch.stack([index % LOW_RES, index // LOW_RES], -1) * 2 + torch.randint(0, 2, (len(logits), 1, 2), device=logits.device)
    label = torch.where(truth.flatten(1).gather(1, index), FOREGROUND, BACKGROUND)
    return place.float(), label.float()


def ignore_stop_signals(_):
    """Makes a worker ignore Ctrl-C and SIGTERM, which reach the whole process group; the trainer stops it after saving."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    cv2.setNumThreads(1)


def initial_network(bundle):
    """The network before the first step and its counters: random weights, or those of a bundle."""
    if bundle is None:
        return TinySam(), {}
    from .restore import restore                 # needs onnx; training alone does not
    print(f"starting from the weights of {bundle}", flush=True)
    return restore(bundle)


class Trainer:
    """The network, its optimizers and its counters during one leg."""

    def __init__(self, args):
        self.args, self.device = args, torch.device(args.device)
        self.path = args.out / "checkpoint.pt"
        self.bfloat16 = self.device.type == "cuda" or has_bfloat16()
        torch.manual_seed(args.seed)
        memory_format = torch.channels_last
        resumes = args.resume and self.path.exists()
        model, counters = initial_network(None if resumes else args.bundle)
        self.model = model.to(self.device, memory_format=memory_format).train()
        self.ema = copy.deepcopy(self.model)
        hidden = {name: p for name, p in self.model.named_parameters() if muon.is_hidden_matrix(name, p)}
        rest = [p for name, p in self.model.named_parameters() if name not in hidden]
        self.optimizers = [
            muon.Muon(hidden.values(), args.rate),
            torch.optim.AdamW(
                [dict(params=[p for p in rest if p.ndim > 1], weight_decay=0.02),
                 dict(params=[p for p in rest if p.ndim <= 1], weight_decay=0.0)],
                lr=args.rate, betas=(0.9, 0.99), fused=True)]
        self.step, self.batches, self.legs, self.leg_seconds, self.leg_steps, self.scenes = 0, 0, 0, 0.0, 0, 0
        self.bad_steps, self.bad_in_a_row, self.stopping = 0, 0, False
        if resumes:
            self.load()
        for name, value in counters.items():
            setattr(self, name, value)

    COUNTERS = ("step", "batches", "legs", "leg_seconds", "leg_steps", "scenes")

    def load(self):
        state = torch.load(self.path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.ema.load_state_dict(state["ema"])
        for optimizer, optimizer_state in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(optimizer_state)
        for name in self.COUNTERS:
            setattr(self, name, state[name])
        if self.leg_seconds >= self.args.minutes * 60:
            self.legs, self.leg_seconds, self.leg_steps = self.legs + 1, 0.0, 0
        print(f"continuing at step {self.step}, leg {self.legs + 1}, {self.leg_seconds / 60:.1f} min into it", flush=True)

    def save(self):
        self.args.out.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".partial")
        torch.save({
            "model": self.model.state_dict(), "ema": self.ema.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            **{name: getattr(self, name) for name in self.COUNTERS}}, partial)
        partial.replace(self.path)

    def set_rate(self):
        done = min(1.0, self.leg_seconds / (self.args.minutes * 60))
        peak = self.args.rate * (0.5 if self.legs else 1.0)
        rate = peak * min(1.0, (self.leg_steps + 1) / WARM_UP) * (0.5 + 0.5 * math.cos(math.pi * done)) + 1e-6
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
        return rate

    def autocast(self):
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16)

    def decode(self, features, points, labels, previous, has):
        """Decodes prompts. They stay in float32: bfloat16 has too few digits for coordinates."""
        prompts = self.model.prompts(points, labels, previous, has)
        with self.autocast():
            logits, predicted = self.model.decoder(features, prompts, self.model.prompts.grid_positions())
        return logits.float(), predicted.float()

    def update_ema(self):
        decay = min(0.998, (self.step + 1) / (self.step + 20))
        pairs = zip(self.ema.state_dict().values(), self.model.state_dict().values())
        averages, values = zip(*[pair for pair in pairs if pair[0].dtype.is_floating_point])
        with torch.no_grad():
            torch._foreach_lerp_(averages, values, 1 - decay)

    def correction(self, features, logits, predicted, truth, points, labels):
        """Decodes some prompts again with a correction click, usually with the logits as mask input."""
        some = torch.arange(len(points), device=self.device).view(-1, self.args.prompts)[:, :CORRECTED_PROMPTS].flatten()
        with torch.no_grad():
            one_click = (labels[some] > -0.5).sum(1) == 1
            chosen = torch.where(one_click, 1 + predicted[some, 1:].argmax(1), 0)
            current = logits[some, chosen].detach()
            place, label = error_clicks(current, truth[some, 0])
            has = (torch.rand(len(some), device=self.device) < 0.8).float()
        return some, self.decode(
            features, torch.cat([points[some], place], 1), torch.cat([labels[some], label], 1), current[:, None], has)

    def train_step(self, batch):
        # The number of the step seeds all its random numbers, so that a checkpoint stores no other random state.
        torch.manual_seed(self.args.seed * 1_000_003 + self.step)
        batch = type(batch)(*(part.to(self.device, non_blocking=True) for part in batch))
        truth = F.avg_pool2d(batch.masks().float(), 2)
        with self.autocast():
            features = self.model.encode(normalise(batch.images).contiguous(memory_format=torch.channels_last))
        logits, predicted = self.decode(
            features, batch.points, batch.labels, batch.mask_input(), batch.has_mask_input)
        loss, iou = prompt_loss(logits, predicted, truth)
        affinity = affinity_loss(features.affinity.float(), batch.regions())
        loss = loss + affinity
        if self.step % CORRECTION_EVERY == CORRECTION_EVERY - 1:
            some, (again, again_iou) = self.correction(features, logits, predicted, truth, batch.points, batch.labels)
            loss = loss + 0.5 * prompt_loss(again, again_iou, truth[some][:, :1].expand(-1, 2, -1, -1), candidates=0.3)[0]
        self.model.zero_grad(set_to_none=True)
        loss.backward()
        self.apply_gradient(torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0))
        chosen = iou[:, 1:].gather(1, predicted[:, 1:].argmax(1, keepdim=True).detach())
        error = (predicted.detach() - iou).abs()
        return torch.stack([
            loss.detach(), iou[:, 0].mean(), iou[:, 1:].amax(1).mean(), chosen.mean(), error.mean(), affinity.detach()])

    def apply_gradient(self, norm):
        """Runs one step of the optimizers, or skips the step if the gradient is not finite.

        A skipped step also restores the statistics of batch normalisation from the averaged weights, because the forward
        pass may have made them invalid.
        """
        if norm.isfinite():
            for optimizer in self.optimizers:
                optimizer.step()
            self.update_ema()
            self.bad_in_a_row = 0
            return
        self.bad_steps, self.bad_in_a_row = self.bad_steps + 1, self.bad_in_a_row + 1
        for value, average in zip(self.model.buffers(), self.ema.buffers()):
            value.copy_(average)
        if self.bad_in_a_row > MAX_BAD_STEPS:
            raise SystemExit(f"{MAX_BAD_STEPS} steps in a row without a finite gradient; the checkpoint was not changed by them; "
                             "try a lower --rate")

    def report(self, means, pace, waited, rate):
        """Prints a line and appends one to the log of the learning curve. waited: share of the time spent waiting for scenes."""
        loss, single, best, chosen, error, affinity = means
        left = (self.args.minutes * 60 - self.leg_seconds) / 60
        print(f"step {self.step}  {self.leg_seconds / 60:.1f}/{self.args.minutes:g} min  rate {rate:.5f}  loss {loss:.3f}  "
              f"IoU single {single:.3f} best {best:.3f} chosen {chosen:.3f}  IoU error {error:.3f}  "
              f"affinity {affinity:.3f}  {pace:.2f} steps/s {pace * self.args.images:.1f} images/s "
              f"({pace * self.args.fresh:.1f} new scenes/s, waited for scenes {waited:.0%})  "
              f"threads {torch.get_num_threads()}  skipped {self.bad_steps}  left {left:.0f} min", flush=True)
        self.args.out.mkdir(parents=True, exist_ok=True)
        with (self.args.out / "log.jsonl").open("a") as log:
            log.write(json.dumps({
                "step": self.step, "loss": round(loss, 4), "single": round(single, 4), "best": round(best, 4),
                "chosen": round(chosen, 4), "rate": rate}) + "\n")

    def stop(self, *_):
        self.stopping = True

    def batches_from_workers(self):
        """Yields batches until the leg ends or is stopped."""
        args = self.args
        loader = torch.utils.data.DataLoader(
            Batches(args.seed, self.batches, args.images, args.prompts, args.fresh), batch_size=None,
            num_workers=args.workers, prefetch_factor=PREFETCH if args.workers else None, worker_init_fn=ignore_stop_signals,
            pin_memory=self.device.type == "cuda")
        stream = iter(loader)
        self.threads.children = [worker.pid for worker in getattr(stream, "_workers", [])]
        while self.leg_seconds < args.minutes * 60 and not self.stopping:
            started = time.monotonic()
            batch = next(stream)
            self.waited += time.monotonic() - started
            yield batch
            self.leg_seconds += time.monotonic() - started

    def run(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.stop)
        args, self.threads, self.waited = self.args, Threads(1 if self.args.device == "cuda" else self.args.threads), 0.0
        print(f"{args.device}, {'bfloat16' if self.bfloat16 else 'float32'}: {args.images} images per step with {args.prompts} prompts each, "
              f"{args.fresh} new scenes per step, {args.workers} workers", flush=True)
        recent, since, saved = [], time.monotonic(), time.monotonic()
        for batch in self.batches_from_workers():
            self.threads.update()
            rate = self.set_rate()
            recent.append(self.train_step(batch))
            self.step, self.batches, self.scenes = self.step + 1, self.batches + 1, self.scenes + args.images
            self.leg_steps += 1
            if self.step % PRINT_EVERY == 0:
                means, now = torch.stack(recent).mean(0).tolist(), time.monotonic()
                self.report(means, len(recent) / (now - since), self.waited / (now - since), rate)
                recent, since, self.waited = [], now, 0.0
            if time.monotonic() - saved > SAVE_EVERY:
                self.save()
                saved = time.monotonic()
        self.save()
        outcome = "interrupted" if self.stopping else "done"
        print(f"leg {self.legs + 1} {outcome}: {self.step} steps, {self.scenes} scenes, {self.path}", flush=True)


def main():
    cv2.setNumThreads(1)
    torch.set_flush_denormal(True)
    if torch.cuda.is_available():
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")
    Trainer(arguments()).run()


if __name__ == "__main__":
    main()

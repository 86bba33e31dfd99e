"""Trains the tiny model from nothing:  python -m train.train --minutes 95

One call is one leg. The learning rate falls along a cosine over the minutes of the leg, measured while training, so that
a leg ends at a low rate whatever the machine does. A leg that was interrupted continues where its checkpoint left it; a
call after a finished leg starts another one, at half the rate.
"""
import argparse
import copy
import json
import math
import os
import signal
import time
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from .data import Batches, normalise
from .losses import affinity_loss, prompt_loss
from .model import IMAGE_SIZE, TinySam
from .prompts import random_correction

WARM_UP = 150             # steps
CORRECTION_EVERY = 2      # steps
CORRECTED_PROMPTS = 2     # per image, in a correction round
SAVE_EVERY = 180          # seconds
PRINT_EVERY = 25          # steps


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=25, help="length of a leg")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--out", type=Path, default=Path("train/out"), help="folder of the checkpoint")
    parser.add_argument("--resume", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--images", type=int, help="per step (default: 6 on a CPU, 32 on CUDA)")
    parser.add_argument("--prompts", type=int, help="per image (default: 4 on a CPU, 8 on CUDA)")
    parser.add_argument("--workers", type=int, help="processes that draw scenes (default: 1 on a CPU, all cores on CUDA)")
    parser.add_argument("--fresh", type=int, help="new scenes per step, the rest from a pool (default: half of the images)")
    parser.add_argument("--threads", type=int, default=0, help="of the CPU; 0: all of it while nobody else uses it, else one")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if args.device == "auto":
        args.device = "cuda" if torch.cuda.is_available() else "cpu"
    on_gpu = args.device == "cuda"
    args.images = args.images or (32 if on_gpu else 6)
    args.prompts = args.prompts or (8 if on_gpu else 4)
    args.workers = args.workers if args.workers is not None else (os.cpu_count() if on_gpu else 1)
    args.fresh = args.fresh or max(1, args.images // 2)
    return args


class Threads:
    """How many threads to use on cores that others use too.

    A second thread that has to wait for a core holds the first one up, so the trainer takes all cores while nobody else
    computes and one thread otherwise. It looks again every ten seconds (Linux; elsewhere it keeps to one thread).
    """
    EVERY = 10.0         # seconds
    QUIET = 0.15         # cores that others may use before they count as busy

    def __init__(self, fixed):
        self.fixed, self.children = fixed, []
        self.last = None
        torch.set_num_threads(fixed or 1)

    def cpu_seconds(self):
        """CPU seconds of the whole machine, and of this trainer with its workers."""
        tick = os.sysconf("SC_CLK_TCK")
        user, nice, system, _, _, irq, soft_irq = map(int, Path("/proc/stat").read_text().split()[1:8])
        own = time.process_time()
        for child in self.children:
            fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
            own += (int(fields[11]) + int(fields[12])) / tick
        return (user + nice + system + irq + soft_irq) / tick, own

    def look(self):
        now = time.monotonic()
        if self.fixed or (self.last and now - self.last[0] < self.EVERY) or not Path("/proc/stat").exists():
            return
        machine, own = self.cpu_seconds()
        if self.last:
            others = (machine - self.last[1] - (own - self.last[2])) / (now - self.last[0])
            torch.set_num_threads(1 if others > self.QUIET else os.cpu_count())
        self.last = now, machine, own


class Trainer:
    def __init__(self, args):
        self.args, self.device = args, torch.device(args.device)
        self.path = args.out / "checkpoint.pt"
        torch.manual_seed(args.seed)
        memory_format = torch.channels_last
        self.model = TinySam().to(self.device, memory_format=memory_format).train()
        self.ema = copy.deepcopy(self.model)
        matrices = [p for p in self.model.parameters() if p.ndim > 1]
        vectors = [p for p in self.model.parameters() if p.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [dict(params=matrices, weight_decay=0.02), dict(params=vectors, weight_decay=0.0)],
            lr=args.rate, betas=(0.9, 0.99), fused=True)
        self.step, self.batches, self.legs, self.leg_seconds, self.scenes = 0, 0, 0, 0.0, 0
        self.stopping = False
        if args.resume and self.path.exists():
            self.load()

    def load(self):
        state = torch.load(self.path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        for name in ("step", "batches", "legs", "leg_seconds", "scenes"):
            setattr(self, name, state[name])
        if self.leg_seconds >= self.args.minutes * 60:
            self.legs, self.leg_seconds = self.legs + 1, 0.0
        print(f"continuing at step {self.step}, leg {self.legs + 1}, {self.leg_seconds / 60:.1f} min into it", flush=True)

    def save(self):
        self.args.out.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".partial")
        torch.save({
            "model": self.model.state_dict(), "ema": self.ema.state_dict(), "optimizer": self.optimizer.state_dict(),
            "step": self.step, "batches": self.batches, "legs": self.legs, "leg_seconds": self.leg_seconds,
            "scenes": self.scenes}, partial)
        partial.replace(self.path)

    def set_rate(self):
        done = min(1.0, self.leg_seconds / (self.args.minutes * 60))
        peak = self.args.rate * (0.5 if self.legs else 1.0)
        rate = peak * min(1.0, (self.step + 1) / WARM_UP) * (0.5 + 0.5 * math.cos(math.pi * done)) + 1e-6
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        return rate

    def autocast(self):
        # On a CPU without instructions for it bfloat16 was eight times slower than float32.
        return torch.autocast("cuda", torch.bfloat16, enabled=self.device.type == "cuda")

    def update_ema(self):
        decay = min(0.998, (self.step + 1) / (self.step + 20))
        with torch.no_grad():
            for average, value in zip(self.ema.state_dict().values(), self.model.state_dict().values()):
                if average.dtype.is_floating_point:
                    average.lerp_(value, 1 - decay)

    def correction(self, features, logits, predicted, masks, points, labels, rng):
        """A second round for some prompts: a click in the error, usually with the logits as mask input."""
        args = self.args
        some = torch.arange(len(points), device=self.device).view(-1, args.prompts)[:, :CORRECTED_PROMPTS].flatten()
        with torch.no_grad():
            one_click = (labels[some] > -0.5).sum(1) == 1
            chosen = torch.where(one_click, 1 + predicted[some, 1:].argmax(1), 0)
            current = logits[some, chosen].float()[:, None]
            full = F.interpolate(current, size=(IMAGE_SIZE, IMAGE_SIZE), mode="bilinear", align_corners=False)
            hard, truth = (full[:, 0] > 0).cpu().numpy(), masks[some].cpu().numpy()
            clicks = [random_correction(a, b, rng) for a, b in zip(hard, truth)]
            place = torch.tensor([[c[0]] for c in clicks], dtype=torch.float32, device=self.device)
            label = torch.tensor([[c[1]] for c in clicks], dtype=torch.float32, device=self.device)
            has = torch.from_numpy((rng.random(len(clicks)) < 0.8).astype(np.float32)).to(self.device)
        with self.autocast():
            return some, self.model.decode(
                features, torch.cat([points[some], place], 1), torch.cat([labels[some], label], 1), current, has)

    def train_step(self, batch):
        images, masks, points, labels, regions = (part.to(self.device, non_blocking=True) for part in batch)
        truth = F.avg_pool2d(masks[:, None].float(), 2)[:, 0]
        with self.autocast():
            features = self.model.encode(normalise(images).contiguous(memory_format=torch.channels_last))
            logits, predicted = self.model.decode(features, points, labels)
        loss, iou = prompt_loss(logits.float(), predicted.float(), truth)
        affinity = affinity_loss(features.affinity.float(), regions)
        loss = loss + affinity
        if self.step % CORRECTION_EVERY == CORRECTION_EVERY - 1:
            rng = np.random.default_rng((self.args.seed, 7, self.step))
            some, (again, again_iou) = self.correction(features, logits, predicted, masks, points, labels, rng)
            loss = loss + 0.5 * prompt_loss(again.float(), again_iou.float(), truth[some], candidates=0.3)[0]
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0).isfinite():
            self.optimizer.step()
        self.update_ema()
        chosen = iou[:, 1:].gather(1, predicted[:, 1:].argmax(1, keepdim=True).detach())
        error = (predicted.detach().float() - iou).abs()
        return torch.stack([
            loss.detach(), iou[:, 0].mean(), iou[:, 1:].amax(1).mean(), chosen.mean(), error.mean(), affinity.detach()])

    def report(self, means, pace, rate):
        """One line for people, one for the learning curve."""
        loss, single, best, chosen, error, affinity = means
        left = (self.args.minutes * 60 - self.leg_seconds) / 60
        print(f"step {self.step}  {self.leg_seconds / 60:.1f}/{self.args.minutes:g} min  rate {rate:.5f}  loss {loss:.3f}  "
              f"IoU single {single:.3f} best {best:.3f} chosen {chosen:.3f}  IoU error {error:.3f}  "
              f"affinity {affinity:.3f}  {pace:.2f} steps/s {pace * self.args.images:.1f} scenes/s  "
              f"threads {torch.get_num_threads()}  left {left:.0f} min", flush=True)
        self.args.out.mkdir(parents=True, exist_ok=True)
        with (self.args.out / "log.jsonl").open("a") as log:
            log.write(json.dumps({
                "step": self.step, "loss": round(loss, 4), "single": round(single, 4), "best": round(best, 4),
                "chosen": round(chosen, 4), "rate": rate}) + "\n")

    def stop(self, *_):
        self.stopping = True

    def run(self):
        args = self.args
        source = Batches(args.seed, self.batches, args.images, args.prompts, args.fresh)
        loader = torch.utils.data.DataLoader(
            source, batch_size=None, num_workers=args.workers, prefetch_factor=4 if args.workers else None,
            pin_memory=self.device.type == "cuda")
        threads, stream = Threads(args.threads), iter(loader)
        threads.children = [worker.pid for worker in getattr(stream, "_workers", [])]
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.stop)
        recent, since, saved = [], time.monotonic(), time.monotonic()
        budget = args.minutes * 60
        while self.leg_seconds < budget and not self.stopping:
            started = time.monotonic()
            threads.look()
            rate = self.set_rate()
            recent.append(self.train_step(next(stream)))
            self.step, self.batches, self.scenes = self.step + 1, self.batches + 1, self.scenes + args.images
            self.leg_seconds += time.monotonic() - started
            if self.step % PRINT_EVERY == 0:
                self.report(torch.stack(recent).mean(0).tolist(), len(recent) / (time.monotonic() - since), rate)
                recent, since = [], time.monotonic()
            if time.monotonic() - saved > SAVE_EVERY:
                self.save()
                saved = time.monotonic()
        self.save()
        how = "interrupted" if self.stopping else "done"
        print(f"leg {self.legs + 1} {how}: {self.step} steps, {self.scenes} scenes, {self.path}", flush=True)


def main():
    cv2.setNumThreads(1)
    torch.set_flush_denormal(True)
    Trainer(arguments()).run()


if __name__ == "__main__":
    main()

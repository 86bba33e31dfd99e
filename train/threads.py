"""What the CPU can do, and how many threads to use on cores that others use too."""
import os
import time
from pathlib import Path

import torch


def cores():
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def has_bfloat16():
    """Whether this CPU multiplies matrices of bfloat16 (AMX; Linux says so). Without, they were eight times slower than float32."""
    cpu = Path("/proc/cpuinfo")
    return cpu.exists() and "amx_bf16" in cpu.read_text()


class Threads:
    """A second thread that has to wait for a core holds the first one up, so the trainer takes all cores while nobody else
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
            torch.set_num_threads(1 if others > self.QUIET else cores())
        self.last = now, machine, own

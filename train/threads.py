"""Capabilities of the CPU, and the number of threads on cores shared with other processes."""
import os
import time
from pathlib import Path

import torch


def cores():
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def has_bfloat16():
    """Whether the CPU multiplies bfloat16 matrices (AMX, read on Linux). Without AMX, bfloat16 was eight times slower than
    float32."""
    cpu = Path("/proc/cpuinfo")
    return cpu.exists() and "amx_bf16" in cpu.read_text()


class Threads:
    """Sets the number of threads: all cores while other processes are idle, else one.

    A thread that waits for a core delays all other threads. The load is measured every ten seconds, on Linux only;
    elsewhere the trainer uses one thread.
    """
    EVERY = 10.0         # seconds
    QUIET = 0.15         # cores that other processes may use and still count as idle

    def __init__(self, fixed):
        self.fixed, self.children = fixed, []
        self.last = None
        torch.set_num_threads(fixed or 1)

    def cpu_seconds(self):
        """CPU seconds of the whole machine, and of the trainer with its workers."""
        tick = os.sysconf("SC_CLK_TCK")
        user, nice, system, _, _, irq, soft_irq = map(int, Path("/proc/stat").read_text().split()[1:8])
        own = time.process_time()
        for child in self.children:
            fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
            own += (int(fields[11]) + int(fields[12])) / tick
        return (user + nice + system + irq + soft_irq) / tick, own

    def update(self):
        now = time.monotonic()
        if self.fixed or (self.last and now - self.last[0] < self.EVERY) or not Path("/proc/stat").exists():
            return
        machine, own = self.cpu_seconds()
        if self.last:
            others = (machine - self.last[1] - (own - self.last[2])) / (now - self.last[0])
            torch.set_num_threads(1 if others > self.QUIET else cores())
        self.last = now, machine, own

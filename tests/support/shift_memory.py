"""Extra memory of the shift statistics, in MB: `python -m tests.support.shift_memory 262144 512`.

Two contexts over logits that are made chunk by chunk, as a head makes them; the peak is the kernel's own count. Linux
only. (`ru_maxrss` will not do: a process inherits it from the one that started it.)
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import torch

from urial.shift.statistics import statistics


class Generated:
    """T rows of random logits; nothing is kept."""

    def __init__(self, rows: int, vocabulary: int, seed: int) -> None:
        self.rows, self.vocabulary, self.seed = rows, vocabulary, seed

    def __len__(self) -> int:
        return self.rows

    def chunk(self, start: int, stop: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(self.seed + start)
        return torch.empty(stop - start, self.vocabulary).normal_(0, 4, generator=generator)


def peak_mb() -> float:
    status = Path("/proc/self/status").read_text()
    return int(re.findall(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)[0]) * 1024 / 1e6


def extra_memory_mb(vocabulary: int, positions: int) -> float:
    """How far the peak rises above what the process holds once everything small has been imported and run."""
    run(vocabulary=1024, positions=8)
    before = peak_mb()
    run(vocabulary, positions)
    return peak_mb() - before


def run(vocabulary: int, positions: int) -> None:
    aligned, *bases = (Generated(positions, vocabulary, seed) for seed in (1, 10_000, 20_000))
    contexts = dict(zip(("zero_shot", "urial"), bases, strict=True))
    statistics(aligned, contexts, [7] * positions, vocabulary=vocabulary)


if __name__ == "__main__":
    print(f"{extra_memory_mb(int(sys.argv[1]), int(sys.argv[2])):.0f}")

"""The order of training: which examples make up which step, and which of them go through the model together.

A pure function of the seed and the lengths, so that an interrupted run finds its place again.
"""

import random
from collections.abc import Sequence


def epoch_steps(count: int, per_step: int, seed: int, epoch: int) -> list[list[int]]:
    """Indices of the examples of each step of one epoch: every example once, a new shuffle each epoch."""
    order = list(range(count))
    random.Random(f"{seed}/{epoch}").shuffle(order)
    return [order[i : i + per_step] for i in range(0, count, per_step)]


def micro_batches(indices: Sequence[int], lengths: Sequence[int], most_tokens: int) -> list[list[int]]:
    """Splits a step so that no row holds more than `most_tokens` (a single longer example still goes alone)."""
    batches: list[list[int]] = []
    room = 0
    for index in indices:
        room -= lengths[index]
        if not batches or room < 0:
            batches.append([])
            room = most_tokens - lengths[index]
        batches[-1].append(index)
    return batches

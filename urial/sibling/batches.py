"""The order of training: which examples make up which step, and how they are padded.

A pure function of the seed and the lengths, so that an interrupted run finds its place again. Knows nothing about
models.
"""

import random
from collections.abc import Sequence

import torch
from torch import Tensor

from urial.sibling.masking import Encoded


def epoch_steps(lengths: Sequence[int], per_step: int, seed: int, epoch: int) -> list[list[int]]:
    """Indices of the examples of each step of one epoch: every example once, a new shuffle each epoch.

    Neighbours in a step have like lengths (pools of eight steps are sorted), because padding costs as much as text.
    """
    shuffler = random.Random(f"{seed}/{epoch}")
    order = list(range(len(lengths)))
    shuffler.shuffle(order)
    steps = []
    for start in range(0, len(order), 8 * per_step):
        pool = sorted(order[start : start + 8 * per_step], key=lambda i: (lengths[i], i))
        steps += [pool[i : i + per_step] for i in range(0, len(pool), per_step)]
    shuffler.shuffle(steps)
    return steps


def micro_batches(indices: Sequence[int], lengths: Sequence[int], most_tokens: int) -> list[list[int]]:
    """Splits a step so that no padded batch exceeds `most_tokens` (a single longer example still goes alone)."""
    batches: list[list[int]] = []
    for index in sorted(indices, key=lambda i: (lengths[i], i)):
        if batches and (len(batches[-1]) + 1) * lengths[index] <= most_tokens:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def padded(examples: Sequence[Encoded], pad: int) -> tuple[Tensor, Tensor]:
    """Ids (B, T) padded on the right, and a mask (B, T-1): position t is to predict a learned token t+1.

    Pads lie to the right, so a causal model's answers never see them and no attention mask is needed.
    """
    width = max(len(example.ids) for example in examples)
    ids = torch.full((len(examples), width), pad, dtype=torch.long)
    learned = torch.zeros((len(examples), width), dtype=torch.bool)
    for row, example in enumerate(examples):
        ids[row, : len(example.ids)] = torch.tensor(example.ids)
        learned[row, : len(example.ids)] = torch.tensor(example.learned)
    return ids, learned[:, 1:]

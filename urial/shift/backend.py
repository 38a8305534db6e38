"""What is found about a few rows of logits, whichever way it is worked out.

Shapes: r rows of consecutive positions, V entries of the vocabulary, K of a top list.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class ModelRows:
    """What one model says of r answer tokens."""

    is_broken: list[bool]  # NaN, infinite or all masked: the row's other entries mean nothing
    rank: list[int]  # 1 + entries with a logit strictly greater than the token's
    probability: list[float]
    top: list[list[tuple[int, float]]]  # K (id, probability), most probable first, equals by lower id


@dataclass(frozen=True, slots=True)
class Difference:
    """How far a base lies from the aligned model in r rows."""

    is_infinite: list[bool]  # the base rules out a token that the aligned model holds possible
    kl: list[float]  # KL(P_aligned || P_base), nats
    js: list[float]  # the mean of both KL to the mean of both, nats, at most ln 2
    switch_point: list[float | None]  # None where the token is not the aligned model's first choice


Compared = tuple[ModelRows, list[tuple[ModelRows, Difference]]]
# The aligned model's rows [r, V], those of each base, the r answer tokens, K
Arithmetic = Callable[[torch.Tensor, Sequence[torch.Tensor], Sequence[int], int], Compared]

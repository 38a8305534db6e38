"""Which tokens can have the greatest logit, from int8 weights, so that few exact sums decide.

A greedy step needs no [V] row of exact logits, only its largest entry. The output layer's weights W [V, D] are also
kept as int8, Q, a quarter of the bytes; with h^ a hidden state on a grid, every logit lies within

    |W_v h - Q_v h^| <= ||W_v - Q_v|| ||h|| + ||Q_v|| ||h - h^||        (Cauchy-Schwarz, twice)

of the integer product Q_v h^. Those whose upper bound reaches an exact logit may win and are multiplied exactly: a
dozen of 262,144, as a rule. The grid has two digits, so that the second term is small. The choice is the one that the
full row would give. Needs fbgemm's kernels (x86); knows nothing about sampling or about who asks.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from urial.engines.weight_first import multiply

log = logging.getLogger(__name__)

Monotone = Callable[[torch.Tensor], torch.Tensor]

KERNELS = ("fbgemm", "x86")
MOST_EXACT = 4096  # candidates; beyond it the whole layer is quicker
STEPS = 63  # a digit is a whole number from -63 to 63: fbgemm's 7 bits with its zero in the middle
WEIGHT_STEPS = 127
ROUNDING = 2.0**-23  # of ||W_v|| ||h||, for each of D products: twice what float32 sums can be off
CHECKED = 1000  # entries that are looked at before a screen is used
SHARD = 2**15  # rows that are packed together: little extra memory while they are
CACHED = 1024  # rows that are rounded together: what a processor's cache holds


@dataclass(frozen=True, slots=True)
class Screened:
    """One row of logits as upper bounds [1, V]; `exact` gives [n] logits for ids [n]."""

    high: torch.Tensor
    exact: Callable[[torch.Tensor], torch.Tensor]


class Screen:
    """The int8 twin of an output layer's weights [V, D]."""

    def __init__(self, weight: torch.Tensor, after: Monotone) -> None:
        """`after` is what the family does to the layer's output; it must keep the order of logits."""
        self._weight = weight
        self._after = after
        self._shards, self._rounded_off, self._norm = _round(weight)

    @torch.inference_mode()
    def __call__(self, hidden: torch.Tensor) -> list[Screened]:
        """Bounds for each row of hidden states [n, D], which are finite."""
        bounds, off = self._products(hidden)
        rounding = ROUNDING * hidden.shape[1]
        for high, state, rest in zip(bounds, hidden, off, strict=True):
            length = float(state.norm())
            high.add_(self._rounded_off, alpha=length).add_(self._norm, alpha=float(rest) + rounding * length)
        highs = self._after(bounds).split(1)
        return [Screened(high, self._exactly(state)) for high, state in zip(highs, hidden, strict=True)]

    def holds(self) -> bool:
        """Whether bounds hold on a made-up row and on its opposite: kernels differ from machine to machine."""
        hidden = torch.randn(1, self._weight.shape[1], generator=torch.Generator().manual_seed(0))
        ids = torch.arange(0, len(self._weight), max(1, len(self._weight) // CHECKED))
        rows = self(torch.cat([hidden, -hidden]))  # an upper bound of -x is a lower one of x
        return all(bool((row.exact(ids) <= row.high[0, ids]).all()) for row in rows)

    def _exactly(self, state: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
        @torch.inference_mode()
        def exact(ids: torch.Tensor) -> torch.Tensor:
            if len(ids) > MOST_EXACT:
                return self._after(multiply(state, self._weight)[ids])
            return self._after(self._weight[ids] @ state)

        return exact

    def _products(self, hidden: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Q h^ [n, V], and ||h - h^|| [n]."""
        step = hidden.abs().amax(-1, keepdim=True).clamp_(min=torch.finfo(torch.float32).tiny) / STEPS
        coarse = (hidden / step).round_()
        rest = hidden - coarse * step
        fine_step = step / (2 * STEPS)
        fine = (rest / fine_step).round_()
        digits = torch.cat([coarse, fine, _range_of(hidden)])
        found = hidden.new_empty(len(hidden), len(self._weight))
        for part, shard in zip(found.split(SHARD, dim=-1), self._shards, strict=True):
            first, second, _ = torch.ops.quantized.linear_dynamic(digits, shard, reduce_range=True).split(len(hidden))
            torch.add(first * step, second * fine_step, out=part)
        return found, (rest - fine * fine_step).norm(dim=-1)


def _range_of(hidden: torch.Tensor) -> torch.Tensor:
    """A row [1, D] that makes fbgemm's own rounding the identity: from -64 to 63 its 128 steps are whole numbers."""
    row = hidden.new_zeros(1, hidden.shape[1])
    row[0, 0], row[0, 1] = -STEPS - 1, STEPS
    return row


@torch.inference_mode()
def _round(weight: torch.Tensor) -> tuple[list[torch.ScriptObject], torch.Tensor, torch.Tensor]:
    """The rounded weights, packed for fbgemm shard by shard, ||W_v - Q_v|| [V], and ||Q_v|| [V]."""
    off, norm = weight.new_empty(len(weight)), weight.new_empty(len(weight))
    shards = []
    for start in range(0, len(weight), SHARD):
        span = slice(start, start + SHARD)
        shards.append(_round_shard(weight[span], off[span], norm[span]))
    return shards, off, norm


def _round_shard(weight: torch.Tensor, off: torch.Tensor, norm: torch.Tensor) -> torch.ScriptObject:
    """Packs one shard [n, D], and fills in its part of both lengths [n]."""
    whole, steps = torch.empty(weight.shape, dtype=torch.int8), weight.new_empty(len(weight))
    for start in range(0, len(weight), CACHED):
        span = slice(start, start + CACHED)
        steps[span] = weight[span].abs().amax(-1).clamp_(min=torch.finfo(torch.float32).tiny) / WEIGHT_STEPS
        rounded = (weight[span] / steps[span, None]).round_()
        whole[span] = rounded
        rounded *= steps[span, None]
        norm[span] = rounded.norm(dim=-1)
        off[span] = (weight[span] - rounded).norm(dim=-1)
    return _pack(whole, steps)


def _pack(whole: torch.Tensor, steps: torch.Tensor) -> torch.ScriptObject:
    """int8 [n, D] and its steps [n] as fbgemm wants them."""
    zeros = torch.zeros(len(whole), dtype=torch.long)
    with warnings.catch_warnings():  # on its way out; what follows it has no quick kernel for AVX2 yet (torch 2.13)
        warnings.filterwarnings("ignore", "torch.quantize_per_tensor", UserWarning)
        quantized = torch._make_per_channel_quantized_tensor(whole, steps.double(), zeros, 0)
    return torch.ops.quantized.linear_prepack(quantized, None)


def screen_of(layer: nn.Module, after: Monotone) -> Screen | None:
    """A screen for an output layer where this machine's kernels keep the bounds, else None.

    Packing the embedded pair's layer takes one core two seconds.
    """
    if torch.backends.quantized.engine not in KERNELS:
        return None
    try:
        screen = Screen(layer.weight, after)
        if screen.holds():
            return screen
        log.warning("this machine's int8 kernels round otherwise than expected; each step reads the whole output layer")
    except RuntimeError:  # torch's word for a kernel that is not there, and for memory that is not there
        log.warning("no int8 twin of the output layer could be made; each step reads all of it", exc_info=True)
    return None

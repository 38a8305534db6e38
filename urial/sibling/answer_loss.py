"""Cross-entropy of answer tokens through a frozen output head, in little memory.

The head of a small model costs more than its trunk (Gemma 3 270M: 262,144 rows of 640), and it is frozen, so only the
gradient of the hidden states is wanted: it is computed in the forward pass, a few rows at a time, and the logits of
all positions never exist together.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

CHUNK_BYTES = 256 * 2**20  # of float32 logits at a time


@dataclass(frozen=True)
class Vocabulary:
    """The tokens over which a softmax is taken.

    ids: (S) token ids, or None for all V of the head; log_weight: (S) what is added to each logit, so that a sample of
    n out of N tokens stands for all N (log N/n for the sampled ones, 0 for those that are always there).
    """

    ids: Tensor | None
    log_weight: Tensor | None


FULL = Vocabulary(None, None)


class SampledVocabulary:
    """A fixed set of tokens plus a fresh weighted sample of the rest for each step.

    The partition function over all V tokens is estimated without bias: the fixed set counts as it is, each of the n
    sampled tokens stands for N / n of the N others (importance sampling; Jean et al. 2015, arXiv:1412.2007).
    """

    def __init__(self, always: Tensor, size: int, sample: int, seed: int) -> None:
        self.always = torch.unique(always.cpu())
        is_other = torch.ones(size, dtype=torch.bool)
        is_other[self.always] = False
        self.others = is_other.nonzero().squeeze(1)
        self.sample = min(sample, len(self.others))
        self.seed = seed

    def at(self, step: int) -> Vocabulary:
        """The vocabulary of one step; the same step always gives the same one."""
        if self.sample == 0:
            return Vocabulary(self.always, torch.zeros(len(self.always)))
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        drawn = torch.randint(len(self.others), (self.sample,), generator=generator)
        stands_for = math.log(len(self.others) / self.sample)
        weight = torch.zeros(len(self.always) + self.sample)
        weight[len(self.always) :] = stands_for
        return Vocabulary(torch.cat([self.always, self.others[drawn]]), weight)


def answer_losses(
    hidden: Tensor, head: Tensor, targets: Tensor, vocabulary: Vocabulary = FULL, softcap: float | None = None
) -> Tensor:
    """Negative log-likelihood (N, nats) of `targets` (N) given `hidden` (N, H) and the head's rows (V, H).

    With a Vocabulary of its own, every target must be among its `ids`. `softcap` as in Gemma 2: c * tanh(logit / c).
    """
    log_weight = None
    if vocabulary.ids is not None:
        ids = vocabulary.ids.to(head.device)
        where = torch.full((head.shape[0],), -1, dtype=torch.long, device=head.device)
        where[ids.flip(0)] = torch.arange(len(ids) - 1, -1, -1, device=head.device)
        targets, head = where[targets], head[ids]
        log_weight = vocabulary.log_weight.to(head.device) if vocabulary.log_weight is not None else None
    return _FrozenHeadLoss.apply(hidden, head, targets, log_weight, softcap)


class _FrozenHeadLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, head: Tensor, targets: Tensor, log_weight: Tensor | None, softcap: float | None
    ) -> Tensor:
        losses = torch.empty(len(targets), dtype=torch.float32, device=hidden.device)
        gradient = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        rows = max(1, CHUNK_BYTES // (4 * head.shape[0]))
        for start in range(0, len(targets), rows):
            part = slice(start, start + rows)
            losses[part] = _chunk(hidden, head, targets, log_weight, softcap, part, gradient)
        ctx.save_for_backward(gradient)
        return losses

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return (gradient * upstream[:, None].to(gradient.dtype), None, None, None, None)


def _chunk(
    hidden: Tensor,
    head: Tensor,
    targets: Tensor,
    log_weight: Tensor | None,
    softcap: float | None,
    part: slice,
    gradient: Tensor | None,
) -> Tensor:
    """Losses of some rows; fills their rows of `gradient` ((softmax - one-hot) times the head) where it is wanted."""
    logits = (hidden[part] @ head.T).float()
    slope = None
    if softcap is not None:
        squashed = torch.tanh(logits / softcap)
        logits, slope = softcap * squashed, 1 - squashed**2
    if log_weight is not None:
        logits += log_weight
    wanted = targets[part, None]
    total = torch.logsumexp(logits, dim=1, keepdim=True)
    losses = (total - logits.gather(1, wanted)).squeeze(1)
    if gradient is not None:
        logits.sub_(total).exp_()
        logits.scatter_add_(1, wanted, torch.full_like(wanted, -1, dtype=logits.dtype))
        if slope is not None:
            logits *= slope
        gradient[part] = logits.to(head.dtype) @ head
    return losses

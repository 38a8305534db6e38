"""From one row of logits to the next token: repetition penalty, temperature, top-p, with a seed.

The processors are transformers' own, in its order, so that settings mean what they mean there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import cast

import torch
from transformers import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)

from urial.engines.base import Sampling
from urial.errors import SettingsError


def check_sampling(sampling: Sampling) -> None:
    """Raise SettingsError for a setting out of its range."""
    temperature, penalty = sampling.temperature, sampling.repetition_penalty
    rules = [
        (0 <= temperature <= 100, f"temperature is {temperature}; choose 0 (greedy) to 100."),
        (0 < sampling.top_p <= 1, f"top_p is {sampling.top_p}; choose a number above 0 and up to 1."),
        (0 < penalty <= 100, f"repetition penalty is {penalty}; choose a number above 0 and up to 100."),
        (sampling.max_new_tokens >= 1, f"max_new_tokens is {sampling.max_new_tokens}; choose 1 or more."),
        (-(2**63) <= sampling.seed < 2**63, f"seed is {sampling.seed}; choose a 64-bit whole number."),
    ]
    for holds, sentence in rules:
        if not holds:
            raise SettingsError(sentence)


class Penalised:
    """The scores by which a model writes: its logits, lowered for tokens that its prompt or the answer holds."""

    def __init__(self, penalty: float, prompt_ids: Sequence[int], device: torch.device) -> None:
        self._seen = torch.empty(0, dtype=torch.long, device=device)  # [T]
        self._unread = list(prompt_ids)
        self._processor = RepetitionPenaltyLogitsProcessor(penalty) if penalty != 1 else None

    def __call__(self, logits: torch.Tensor) -> torch.Tensor:
        """Scores [1, V] from logits [1, V]; the processor sees only those that it changes."""
        if self._processor is None:
            return logits
        new = [token for token in self._unread if token < logits.shape[-1]]  # a prompt may know more than a head
        self._seen, self._unread = torch.cat([self._seen, self._seen.new_tensor(new)]), []
        scores, places = logits.clone(), torch.arange(len(self._seen), device=logits.device)[None]
        scores[:, self._seen] = self._processor(places, logits[:, self._seen])
        return scores

    def add(self, token: int) -> None:
        """The answer's next token."""
        self._unread.append(token)


class Sampler:
    """Chooses token after token for one answer; its seed makes the choice repeatable after the same prompt."""

    def __init__(self, sampling: Sampling, prompt_ids: Sequence[int], device: torch.device) -> None:
        check_sampling(sampling)
        self.is_greedy = sampling.is_greedy
        self.scores = Penalised(sampling.repetition_penalty, prompt_ids, device)
        self._seen = torch.empty((1, 0), dtype=torch.long, device=device)  # what is left looks at scores alone
        self._generator = torch.Generator(device).manual_seed(own_seed(sampling.seed, prompt_ids))
        self._processors = LogitsProcessorList()
        if sampling.temperature not in (0, 1):
            self._processors.append(TemperatureLogitsWarper(sampling.temperature))
        if sampling.temperature > 0 and sampling.top_p < 1:
            self._processors.append(TopPLogitsWarper(sampling.top_p))

    def draw(self, scores: torch.Tensor) -> int:
        """A token from scores [1, V], in which a penalty has already had its say; greedy ties go to the lowest id."""
        found = self._processors(cast(torch.LongTensor, self._seen), cast(torch.FloatTensor, scores))
        return int(first_greatest(found) if self.is_greedy else drawn(found, self._generator))


def own_seed(seed: int, prompt_ids: Sequence[int]) -> int:
    """A seed for one prompt: with the same random numbers, chance would fall alike on all questions of a corpus."""
    digest = hashlib.blake2b(repr((seed, *prompt_ids)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def first_greatest(scores: torch.Tensor) -> torch.Tensor:
    """The id [1, 1] of the greatest of scores [1, V]; numpy finds it in a tenth of torch's time on a processor."""
    if scores.device.type != "cpu":
        return scores.argmax(dim=-1, keepdim=True)
    return torch.from_numpy(scores.float().numpy().argmax(axis=-1, keepdims=True))


def drawn(scores: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """An id [1, 1] drawn by the softmax of scores [1, V]: where the sum of probabilities first exceeds a random number.

    A tenth of the time of `torch.multinomial` on a processor, which draws a random number for every id.
    """
    so_far = scores.softmax(dim=-1).double().cumsum(dim=-1)
    point = so_far[:, -1:] * torch.rand(1, 1, dtype=torch.float64, device=so_far.device, generator=generator)
    below = torch.nextafter(so_far[:, -1:], torch.zeros_like(point))  # the product may be rounded up to the whole
    return torch.searchsorted(so_far, torch.minimum(point, below), right=True)

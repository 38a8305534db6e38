"""Direct preference optimisation (DPO): of two answers to a question, the better one shall gain on the worse one.

The loss of a pair is -log sigmoid(beta * (gain of the better - gain of the worse)), where an answer's gain is its
log-probability now less what it was at the start (Rafailov et al. 2023, arXiv:2305.18290, equation 7). To it comes the
better answer's own loss a token (as in Pang et al. 2024, arXiv:2404.19733), without which both answers may lose.
Conversations without a worse answer have that part alone: they keep what was learned before.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from urial.errors import RecordError, SettingsError
from urial.sibling.batches import micro_batches
from urial.sibling.examples import Example, example_of, parsed_lines
from urial.sibling.learner import Learner
from urial.sibling.masking import Encoded
from urial.sibling.objectives import training_vocabulary
from urial.sibling.recipe import Recipe
from urial.validation import json_value


@dataclass(frozen=True)
class Preference:
    """Numbers of the loss. beta: how dear it is to leave the start; answer_weight: of the better answer's own loss."""

    beta: float = 0.1
    answer_weight: float = 0.2

    def __post_init__(self) -> None:
        if self.beta <= 0 or self.answer_weight < 0:
            raise SettingsError("beta must be above zero, and the answer's weight zero or more.")


@dataclass(frozen=True)
class AnswerPair:
    """A conversation with the better last answer, and with the worse one."""

    better: Example
    worse: Example


def load_pairs(path: Path) -> list[AnswerPair]:
    """Lines like those of a file of examples, each with the worse last answer as `rejected`.

    Raises RecordError naming the file, the line and what is wrong with it.
    """
    return parsed_lines(path, "pair", _pair)


def _pair(line: str, where: str, default_id: str) -> AnswerPair:
    raw = json_value(line, where, "write one object a line")
    rejected = raw.pop("rejected", None) if isinstance(raw, dict) else None
    if not isinstance(rejected, str) or not rejected.strip():
        raise RecordError(f"{where} needs the worse answer as a text under the key rejected.")
    better = example_of(raw, where, default_id)
    worse = replace(better, messages=(*better.messages[:-1], ("assistant", rejected)))
    return AnswerPair(better, worse)


@dataclass(frozen=True)
class EncodedPair:
    """Token ids of both conversations; `worse` is None where the better answer alone is to be kept."""

    better: Encoded
    worse: Encoded | None = None

    @property
    def both(self) -> list[Encoded]:
        return [self.better] if self.worse is None else [self.better, self.worse]

    @property
    def length(self) -> int:
        """Tokens of both."""
        return sum(len(each.ids) for each in self.both)


class PreferenceObjective:
    """The mean loss of pairs, as this file's first lines say; the learner as it is now is the start."""

    def __init__(
        self,
        learner: Learner,
        pairs: Sequence[EncodedPair],
        preference: Preference,
        extra: Sequence[int],
        recipe: Recipe,
    ) -> None:
        """`extra`: token ids that are always in the softmax, see `training_vocabulary`.

        What is sampled beside them is the same in all steps and at the start, so that gains compare like with like.
        """
        self._learner, self._pairs, self._preference, self._most = learner, pairs, preference, recipe.most_tokens
        texts = [text for pair in pairs for text in pair.both]
        self._vocabulary = training_vocabulary(learner, texts, extra, recipe)(0)
        with torch.no_grad():
            self._start = [found for batch in self._batches(range(len(pairs))) for found in self._likelihoods(batch)]

    def __len__(self) -> int:
        return len(self._pairs)

    def backward(self, indices: Sequence[int], step: int) -> tuple[float, int]:
        total = 0.0
        for batch in self._batches(indices):
            likelihoods = self._likelihoods(batch)
            losses = [self._loss(i, now) for i, now in zip(batch, likelihoods, strict=True)]
            loss = torch.stack(losses).sum() / len(indices)
            loss.backward()
            total += loss.item()
        return total, sum(each.answer_tokens for i in indices for each in self._pairs[i].both)

    def _batches(self, indices: Sequence[int]) -> list[list[int]]:
        return micro_batches(indices, [pair.length for pair in self._pairs], self._most)

    def _likelihoods(self, batch: Sequence[int]) -> Iterator[Tensor]:
        """For each pair the log-probabilities (nats) of its answers [1 or 2], the better one's first."""
        texts = [text for i in batch for text in self._pairs[i].both]
        losses = self._learner.losses(texts, self._vocabulary)
        sums = iter([part.sum() for part in losses.split([text.answer_tokens for text in texts])])
        for i in batch:
            yield -torch.stack([next(sums) for _ in self._pairs[i].both])

    def _loss(self, index: int, now: Tensor) -> Tensor:
        """Of one pair, from the log-probabilities of its answers now [1 or 2]."""
        own = -self._preference.answer_weight * now[0] / self._pairs[index].better.answer_tokens
        if len(now) == 1:
            return own
        gains = now - self._start[index]
        return own - logsigmoid(self._preference.beta * (gains[0] - gains[1]))

"""What a training step makes smaller: the loss of written answers, or a preference between two answers."""

from collections.abc import Sequence
from typing import Any, Protocol

import torch

from urial.sibling.answer_loss import FULL, SampledVocabulary
from urial.sibling.batches import micro_batches
from urial.sibling.learner import Learner
from urial.sibling.masking import Encoded
from urial.sibling.recipe import Recipe


class Objective(Protocol):
    """Some examples and what is wanted of the model about them."""

    def __len__(self) -> int:
        """The number of examples."""
        ...

    def backward(self, indices: Sequence[int], step: int) -> tuple[float, int]:
        """Adds the gradient of the examples' mean loss to the weights; that loss, and the answer tokens it is of."""
        ...


class AnswerObjective:
    """The mean negative log-likelihood (nats) of the answers' tokens."""

    def __init__(self, learner: Learner, train: Sequence[Encoded], extra: Sequence[int], recipe: Recipe) -> None:
        """`extra`: token ids that are always in the softmax, see `training_vocabulary`."""
        self._learner, self._train, self._most = learner, train, recipe.most_tokens
        self._vocabulary = training_vocabulary(learner, train, extra, recipe)

    def __len__(self) -> int:
        return len(self._train)

    def backward(self, indices: Sequence[int], step: int) -> tuple[float, int]:
        lengths = [len(example.ids) for example in self._train]
        tokens = sum(self._train[i].answer_tokens for i in indices)
        vocabulary, total = self._vocabulary(step), 0.0
        for batch in micro_batches(indices, lengths, self._most):
            loss = self._learner.losses([self._train[i] for i in batch], vocabulary).sum() / tokens
            loss.backward()
            total += loss.item()
        return total, tokens


def training_vocabulary(learner: Learner, train: Sequence[Encoded], extra: Sequence[int], recipe: Recipe) -> Any:
    """What to take a step's softmax over, as a function of the step.

    Always in it: the tokens of the examples, and `extra` (control and unused tokens: in a base that never saw a turn
    their rows are almost the same as the end-of-turn token's, so it must learn to tell them apart).
    """
    if recipe.sampled_tokens == 0:
        return lambda step: FULL
    seen = torch.tensor(sorted({i for example in train for i in example.ids} | set(extra)))
    return SampledVocabulary(seen, len(learner.head), recipe.sampled_tokens, recipe.seed).at

"""When the aligned model gives a token to the base: the three rules, and how they are written.

Shapes: scores [1, V].
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from urial.errors import SettingsError

MOST_FIRST = 4096
_NUMBER = r"(\d+(?:\.\d+)?|\.\d+)"


@dataclass(frozen=True, slots=True)
class Step:
    """One position: both models' first choices, as they decode, and what a rule may ask of them."""

    position: int
    base_token: int
    aligned_token: int
    was_given: bool  # whether the token before was given
    base_rank: Callable[[], int]  # of the aligned model's first choice
    confidence: Callable[[], float]  # the base's probability of its own first choice
    begins_word: Callable[[], bool]  # whether the aligned model's first choice begins a new word


class Rule(Protocol):
    """Whether the aligned model gives the token of a step."""

    @property
    def text(self) -> str:
        """As it is written."""
        ...

    @property
    def is_whole(self) -> bool:
        """Whether it gives every token in which the two would differ, so that the answer is the aligned model's."""
        ...

    def gives(self, step: Step) -> bool: ...


@dataclass(frozen=True, slots=True)
class RankAbove:
    """The aligned model's first choice has a base rank above `rank`."""

    rank: int

    @property
    def text(self) -> str:
        return f"rank>{self.rank}"

    @property
    def is_whole(self) -> bool:
        return self.rank == 1

    def gives(self, step: Step) -> bool:
        return step.base_rank() > self.rank


@dataclass(frozen=True, slots=True)
class ConfidenceBelow:
    """The base's first choice has less than `least`; the word then goes on until the base agrees (arXiv 2410.09300)."""

    least: float
    is_whole = False

    @property
    def text(self) -> str:
        return f"confidence<{self.least:g}"

    def gives(self, step: Step) -> bool:
        if step.base_token == step.aligned_token:
            return False
        is_inside = step.was_given and not step.begins_word()
        return is_inside or step.confidence() < self.least


@dataclass(frozen=True, slots=True)
class First:
    """The first `count` tokens."""

    count: int
    is_whole = False

    @property
    def text(self) -> str:
        return f"first:{self.count}"

    def gives(self, step: Step) -> bool:
        return step.position < self.count


def parse_rule(text: str) -> Rule:
    """A rule as it is written: `rank>3`, `confidence<0.4`, `first:5`. Raises SettingsError."""
    compact = "".join(text.split())
    if (found := re.fullmatch(r"rank>(\d{1,7})", compact)) and int(found[1]) >= 1:
        return RankAbove(int(found[1]))
    if (found := re.fullmatch(f"confidence<{_NUMBER}", compact)) and float(found[1]) <= 1:
        return ConfidenceBelow(float(found[1]))
    if (found := re.fullmatch(r"first:(\d{1,7})", compact)) and int(found[1]) <= MOST_FIRST:
        return First(int(found[1]))
    raise SettingsError(
        f"The rule {text[:40]!r} is not known; write rank>R (R from 1), confidence<g (g from 0 to 1) or first:k "
        f"(k from 0 to {MOST_FIRST})."
    )

"""Repetition in an answer: which positions lie in a run of tokens that stood there before, word for word.

A looping answer is predictable to any model, so its repeats would count as agreement with the base. The rule: a run of
`LENGTH` tokens that already began earlier in the answer, whether or not the two overlap; each position in such a run
is a repeat. Lists and refrains seldom share eight tokens; a loop does after its first round.
"""

from __future__ import annotations

from collections.abc import Sequence

LENGTH = 8  # tokens

Span = tuple[int, int]  # positions, the end left out


def repeated_spans(token_ids: Sequence[int], length: int = LENGTH) -> list[Span]:
    """The repeats of an answer of T tokens as spans, in order and apart. Raises ValueError for a length below 1."""
    if length < 1:
        raise ValueError(f"A run of {length} tokens cannot repeat; use a length of at least 1.")
    seen: set[tuple[int, ...]] = set()
    spans: list[Span] = []
    for start in range(len(token_ids) - length + 1):
        run = tuple(token_ids[start : start + length])
        if run not in seen:
            seen.add(run)
        elif spans and start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], start + length)
        else:
            spans.append((start, start + length))
    return spans

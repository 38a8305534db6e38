"""The stated rule by which an answer counts as looping."""

from collections import Counter
from collections.abc import Sequence

LOOP_LENGTH = 8
LOOP_TIMES = 3


def loops(ids: Sequence[int]) -> bool:
    """True where some run of eight tokens occurs at least three times."""
    runs = Counter(tuple(ids[i : i + LOOP_LENGTH]) for i in range(len(ids) - LOOP_LENGTH + 1))
    return any(times >= LOOP_TIMES for times in runs.values())

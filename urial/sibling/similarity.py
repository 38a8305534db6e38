"""Finds texts that are almost the same: Jaccard similarity of their word n-grams.

Keeps duplicates, and queries of known benchmarks, out of the examples.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache

Shingles = frozenset[tuple[str, ...]]


@lru_cache(maxsize=2**15)
def shingles(text: str, size: int) -> Shingles:
    """All runs of `size` words, lower case, punctuation dropped; a shorter text is one run."""
    words = re.findall(r"\w+", text.lower())
    return frozenset(tuple(words[i : i + size]) for i in range(max(1, len(words) - size + 1)))


def jaccard(first: Shingles, second: Shingles) -> float:
    """Size of the intersection over size of the union, 0 to 1."""
    union = len(first | second)
    return len(first & second) / union if union else 1.0


def near_duplicates(texts: Sequence[str], size: int, at_least: float) -> list[tuple[int, int, float]]:
    """Pairs of positions (first < second) whose similarity is at least `at_least` (above 0), with it.

    Only texts that share a run are compared, so thousands of texts take a moment.
    """
    sets = [shingles(text, size) for text in texts]
    holders: dict[tuple[str, ...], list[int]] = defaultdict(list)
    found = []
    for second, own in enumerate(sets):
        sharing = {first for run in own for first in holders[run]}
        pairs = ((first, second, jaccard(sets[first], own)) for first in sharing)
        found += [pair for pair in pairs if pair[2] >= at_least]
        for run in own:
            holders[run].append(second)
    return sorted(found)


def nearest(text: str, others: Sequence[str], size: int) -> float:
    """Highest similarity of `text` to any of `others`; 0 where there are none."""
    own = shingles(text, size)
    return max((jaccard(own, shingles(other, size)) for other in others), default=0.0)

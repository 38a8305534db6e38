"""The most shifted tokens of a corpus: how often each is shifted, of how many, and where it is met first.

Told apart by token id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from urial.corpus.answers import Answered, Columns
from urial.records import ContextName

FLOOR = 5  # occurrences: the share of a rarer token says nothing
LISTED = 50
OPENERS = 5  # positions that begin an answer
CAP = 50  # ranks count as at most this in a mean, as in the original


@dataclass(slots=True)
class Count:
    occurrences: int = 0
    shifted: int = 0
    opening: int = 0  # shifted ones among the first positions
    ranks: int = 0  # sum, capped
    example: tuple[str, str, int] | None = None  # key, question id, position of the first shifted one


def most_shifted(answers: Sequence[Answered], context: ContextName, texts: Mapping[int, str]) -> list[dict[str, Any]]:
    """Falling by shifted occurrences, then by their share; tokens with FLOOR occurrences that are ever shifted."""
    counts: dict[int, Count] = {}
    for one in answers:
        if context in one.contexts:
            _count(one, one.contexts[context], counts)
    kept = [(token, c) for token, c in counts.items() if c.occurrences >= FLOOR and c.shifted]
    kept.sort(key=lambda pair: (-pair[1].shifted, -pair[1].shifted / pair[1].occurrences, pair[0]))
    return [_row(token, count, texts) for token, count in kept[:LISTED]]


def _count(one: Answered, columns: Columns, counts: dict[int, Count]) -> None:
    rows = zip(columns.ids.tolist(), columns.rank.tolist(), columns.counted.tolist(), strict=True)
    for position, (token, rank, counted) in enumerate(rows):
        if not counted:
            continue
        count = counts.setdefault(token, Count())
        count.occurrences += 1
        count.ranks += min(rank, CAP)
        if rank > 3:
            count.shifted += 1
            count.opening += position < OPENERS
            count.example = count.example or (one.origin.key, one.origin.id, position)


def _row(token: int, count: Count, texts: Mapping[int, str]) -> dict[str, Any]:
    key, question, position = count.example or ("", "", 0)
    return {
        "id": token,
        "text": texts.get(token, ""),
        "shifted": count.shifted,
        "occurrences": count.occurrences,
        "share": count.shifted / count.occurrences,
        "opening": count.opening,
        "mean_rank_capped_at_50": count.ranks / count.occurrences,
        "example": {"key": key, "question": question, "position": position},
    }

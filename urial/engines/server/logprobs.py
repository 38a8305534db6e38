"""Rows from what a server tells of a position. What is no number, or contradicts itself, gives a position that is not
scored: a number that may be wrong is worse than none.

Impossible numbers do come: a prefix cache that hands out the values of an earlier request is the usual cause.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from urial.engines.base import NoRow, ToldRow, TopRow
from urial.servers.failures import Malformed

UNREADABLE = (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError)  # JSON of another shape
ID_NAME = "token_id:"  # what vLLM's names of listed tokens begin with
LEAST = -9999.0  # what vLLM writes for minus infinity, for which JSON has no word
SLACK = 1e-3  # nats, and of a sum of probabilities: servers tell float32 logarithms, some in few digits
TIE = 1e-4  # nats: closer ones may stand in any order

MISSING, IMPOSSIBLE = NoRow("missing"), NoRow("impossible_numbers")


@dataclass(frozen=True, slots=True)
class Told:
    """One position: log-probabilities by id, the own token among them, and ranks where the server tells them.

    `own` is what the server says of the own token outside its list, where it says it twice.
    """

    token_id: int
    own: Any
    listed: Mapping[int, Any]
    ranks: Mapping[int, Any]


# From JSON


def read_rows(choice: Mapping[str, Any], ids: Sequence[int], start: int, top: int) -> list[ToldRow]:
    """Rows for ids[start:], from the log-probabilities of a prompt that is `ids`. Raises Malformed.

    Entries go by their place, so a list of another length is refused: it would shift every row by one.
    """
    entries = choice.get("prompt_logprobs")
    if not isinstance(entries, list) or len(entries) != len(ids):
        raise Malformed("prompt_logprobs")
    return [read_row(entry, token_id, top) for entry, token_id in zip(entries[start:], ids[start:], strict=True)]


def read_row(entry: Any, token_id: int, top: int) -> ToldRow:
    """One position: the `top` most probable tokens and, among them or beside them, the prompt's own."""
    try:
        listed = {int(key): value["logprob"] for key, value in entry.items()}
        ranks = {int(key): value["rank"] for key, value in entry.items() if value.get("rank") is not None}
        return make_row(Told(token_id, listed[token_id], listed, ranks), top)
    except UNREADABLE:
        return MISSING


def own_rows(choice: Mapping[str, Any], ids: Sequence[int], top: int) -> list[ToldRow]:
    """Rows of the tokens of one event, told while they are written."""
    try:
        logprobs = choice["logprobs"]
        lists = logprobs["content"] if "content" in logprobs else named_lists(logprobs)
        return [written_row(entry, token_id, top) for entry, token_id in zip(lists, ids, strict=True)]
    except UNREADABLE:
        return [MISSING] * len(ids)


def written_row(entry: Any, token_id: int, top: int) -> ToldRow:
    """One position in the shape of llama.cpp's server; an entry for another token says nothing of this one."""
    try:
        if entry["id"] != token_id:
            return MISSING
        listed = {each["id"]: each["logprob"] for each in entry["top_logprobs"]}
        return make_row(Told(token_id, entry["logprob"], {token_id: entry["logprob"]} | listed, {}), top)
    except UNREADABLE:
        return MISSING


def named_lists(logprobs: Mapping[str, Any]) -> list[dict[str, Any] | None]:
    """vLLM's lists in the shape of llama.cpp's: its tokens are named by their ids. None where one is not readable."""
    columns = zip(logprobs["tokens"], logprobs["token_logprobs"], logprobs["top_logprobs"], strict=True)
    return [named_list(*column) for column in columns]


def named_list(name: Any, logprob: Any, top: Any) -> dict[str, Any] | None:
    try:
        listed = [{"id": id_of(other), "logprob": value} for other, value in top.items()]
        return {"id": id_of(name), "logprob": logprob, "top_logprobs": listed}
    except UNREADABLE:
        return None


def id_of(name: str) -> int:
    """Raises ValueError for a name that is not an id's."""
    return int(name.removeprefix(ID_NAME))


# From numbers


def make_row(told: Told, top: int) -> ToldRow:
    """The row, where there is a number for every listed token and they agree with each other."""
    numbers = (told.own, *told.listed.values())
    if not (all(map(is_id, told.listed)) and all(map(is_number, numbers))) or is_short(told, top):
        return MISSING
    if not is_possible(told):
        return IMPOSSIBLE
    ordered = sorted(told.listed.items(), key=lambda item: (-item[1], item[0]))[:top]
    listed = tuple((token_id, probability(value)) for token_id, value in ordered)
    return TopRow(rank_of(told, ordered), probability(told.listed[told.token_id]), listed)


def is_id(value: Any) -> bool:
    """Whether a value can be a token's id; a tokenizer takes no larger one."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31


def is_number(value: Any) -> bool:
    """A logarithm that can be one of a probability; minus infinity, however it is written, is none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > LEAST


def is_short(told: Told, top: int) -> bool:
    """Whether tokens are left out that should be listed: the bounds rest on the list being the most probable ones."""
    count, own = len(told.listed), told.ranks.get(told.token_id)
    is_last = told.listed[told.token_id] <= min(told.listed.values())
    return count < top or (count == top and isinstance(own, int) and own > count and is_last)


def is_possible(told: Told) -> bool:
    """Whether one distribution can have all these numbers."""
    listed, own = told.listed, told.listed[told.token_id]
    return (
        max(listed.values()) <= SLACK
        and math.isclose(told.own, own, rel_tol=SLACK, abs_tol=SLACK)
        and ranks_fit(told)
        and math.fsum(math.exp(value) for value in listed.values()) + mass_between(told) <= 1 + SLACK
    )


def ranks_fit(told: Told) -> bool:
    """Ranks are counts from 1, no token stands before a more probable one, and the own is not further down than told.

    A server may count equal ones for or against a token.
    """
    if not all(isinstance(rank, int) and not isinstance(rank, bool) and rank >= 1 for rank in told.ranks.values()):
        return False
    by_rank = [told.listed[token_id] for token_id in sorted(told.ranks, key=told.ranks.__getitem__)]
    if any(later > earlier + TIE for earlier, later in pairwise(by_rank)):
        return False
    rank, own = told.ranks.get(told.token_id), told.listed[told.token_id]
    others = [value for token_id, value in told.listed.items() if token_id != told.token_id]
    if rank is None or not others:
        return True
    before = sum(value > own + TIE for value in others)
    at_most = sum(value >= own - TIE for value in others) if own > min(others) + TIE else rank  # beyond: any place
    return before + 1 <= rank <= at_most + 1


def mass_between(told: Told) -> float:
    """The least probability of the unlisted tokens before the own one: each is as probable as it is, or more."""
    rank = told.ranks.get(told.token_id, 1)
    return max(rank - len(told.listed), 0) * math.exp(told.listed[told.token_id])


def probability(logarithm: float) -> float:
    return math.exp(min(logarithm, 0.0))


def rank_of(told: Told, ordered: Sequence[tuple[int, float]]) -> int:
    """1 + the number of tokens that are strictly more probable, where the list tells it; else the server's own word.

    A server that tells no rank of a token beyond its list puts it at the first place beyond.
    """
    own = told.listed[told.token_id]
    if own >= ordered[-1][1]:
        return 1 + sum(value > own for _, value in ordered)
    return told.ranks.get(told.token_id, len(ordered) + 1)

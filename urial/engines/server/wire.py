"""The words of the completions interface: bodies to send, replies to read.

Knows the JSON of `/v1/completions` as vLLM speaks it, and what others leave out; nothing about connections.
Sources: vLLM 0.32, its OpenAI completion protocol and serving modules; llama.cpp's server documentation for
`logprobs.content`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from urial.engines.base import Sampling, TopRow

UNREADABLE = (AttributeError, IndexError, KeyError, TypeError, ValueError)  # JSON of another shape
IdSource = Literal["token_ids", "logprobs", "none"]
TOP_K = 20  # vLLM's own limit where it was started without another
OWN_ROWS = {"logprobs": TOP_K, "return_tokens_as_token_ids": True}  # the ids are vLLM's way of naming the listed tokens
ID_NAME = "token_id:"  # what those names begin with


class Malformed(Exception):
    """A reply lacks a key or fills it wrongly; `str(error)` is the key."""


@dataclass(frozen=True, slots=True)
class Telling:
    """What a server tells of the tokens that it writes: where their ids are, and whether their rows are there too."""

    ids: IdSource
    own_rows: bool = False


@dataclass(frozen=True, slots=True)
class Delta:
    """One event of a stream: new tokens (ids where the server tells them), their text, and whether it is the last.

    `rows` is aligned to `ids`, None where none were asked for.
    """

    ids: list[int]
    rows: list[TopRow | None]
    text: str
    finish: str | None


def generation_body(
    model: str, prompt_ids: Sequence[int], sampling: Sampling, ends: Sequence[int], telling: Telling
) -> dict[str, Any]:
    """A streamed completion. Every setting is named: servers have defaults of their own, some from the model."""
    body = {
        "model": model,
        "prompt": list(prompt_ids),
        "max_tokens": sampling.max_new_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": -1,
        "min_p": 0.0,
        "repetition_penalty": sampling.repetition_penalty,
        "stop_token_ids": list(ends),
        "return_token_ids": True,
        "stream": True,
    }
    if sampling.temperature > 0:
        body["seed"] = sampling.seed
    if telling.ids == "logprobs":  # llama.cpp, which has a name of its own for the penalty
        reach = len(prompt_ids) + sampling.max_new_tokens
        body |= {"logprobs": 1, "repeat_penalty": sampling.repetition_penalty, "repeat_last_n": reach}
    return body | OWN_ROWS if telling.own_rows else body


def scoring_body(model: str, ids: Sequence[int], top: int) -> dict[str, Any]:
    """The log-probabilities of a given text: one token is generated because servers refuse to generate none."""
    return {
        "model": model,
        "prompt": list(ids),
        "max_tokens": 1,
        "temperature": 0.0,
        "prompt_logprobs": top,
    }


def probe_body(model: str, ids: Sequence[int], more: Mapping[str, Any]) -> dict[str, Any]:
    """One token after a tiny prompt, with its id and what else `more` asks for; None takes a key away."""
    body = scoring_body(model, ids, TOP_K) | {"return_token_ids": True} | more
    return {key: value for key, value in body.items() if value is not None}


def first_choice(reply: Any) -> dict[str, Any] | None:
    """The one choice of a reply; None where an event holds none (usage at the end). Raises Malformed."""
    choices = reply.get("choices") if isinstance(reply, dict) else None
    if not isinstance(choices, list):
        raise Malformed("choices")
    if not choices:
        return None
    if not isinstance(choices[0], dict):
        raise Malformed("choices[0]")
    return choices[0]


def read_delta(choice: Mapping[str, Any], telling: Telling) -> Delta:
    """Raises Malformed."""
    text, finish = choice.get("text") or "", choice.get("finish_reason")
    if not isinstance(text, str):
        raise Malformed("text")
    ids = READERS[telling.ids](choice)
    rows = own_rows(choice, ids) if telling.own_rows else [None] * len(ids)
    return Delta(ids, rows, text, finish if isinstance(finish, str) and finish else None)


def ids_beside_text(choice: Mapping[str, Any]) -> list[int]:
    """vLLM's `token_ids`."""
    return checked_ids(choice.get("token_ids") or [], "token_ids")


def ids_in_logprobs(choice: Mapping[str, Any]) -> list[int]:
    """llama.cpp's `logprobs.content[].id`."""
    logprobs = choice.get("logprobs") or {}
    content = (logprobs.get("content") if isinstance(logprobs, dict) else None) or []
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        raise Malformed("logprobs.content")
    return checked_ids([entry.get("id") for entry in content], "logprobs.content[].id")


READERS = {"token_ids": ids_beside_text, "logprobs": ids_in_logprobs, "none": lambda choice: []}


def checked_ids(found: Any, key: str) -> list[int]:
    if not isinstance(found, list) or not all(isinstance(i, int) and i >= 0 for i in found):
        raise Malformed(key)
    return found


def find_ids(choice: Mapping[str, Any]) -> IdSource:
    """Where a reply names the ids of its tokens."""
    for source in ("token_ids", "logprobs"):
        try:
            if READERS[source](choice):
                return source
        except Malformed:
            continue
    return "none"


def read_rows(choice: Mapping[str, Any], ids: Sequence[int], start: int, top: int) -> list[TopRow]:
    """Rows for ids[start:], from the log-probabilities of a prompt that is `ids`. Raises Malformed."""
    entries = choice.get("prompt_logprobs")
    if not isinstance(entries, list) or len(entries) != len(ids):
        raise Malformed("prompt_logprobs")
    return [read_row(entry, token_id, top) for entry, token_id in zip(entries[start:], ids[start:], strict=True)]


def read_row(entry: Any, token_id: int, top: int) -> TopRow:
    """One position: the `top` most probable tokens and, among them or beside them, the prompt's own."""
    try:
        found = {int(key): value["logprob"] for key, value in entry.items()}
        return make_row(found, token_id, entry[str(token_id)].get("rank"), top)
    except UNREADABLE as error:
        raise Malformed("prompt_logprobs[]") from error


def own_rows(choice: Mapping[str, Any], ids: Sequence[int]) -> list[TopRow | None]:
    """Rows of the tokens of one event, told while they are written. Raises Malformed."""
    if not ids:
        return []
    logprobs = choice.get("logprobs")
    try:
        lists = logprobs["content"] if "content" in logprobs else named_lists(logprobs)
        return [
            make_row({each["id"]: each["logprob"] for each in [*entry["top_logprobs"], entry]}, token_id, None, TOP_K)
            for entry, token_id in zip(lists, ids, strict=True)
        ]
    except UNREADABLE as error:
        raise Malformed("logprobs") from error


def named_lists(logprobs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """vLLM's lists in the shape of llama.cpp's: its tokens are named by their ids."""
    columns = zip(logprobs["tokens"], logprobs["token_logprobs"], logprobs["top_logprobs"], strict=True)
    return [
        {
            "id": id_of(name),
            "logprob": logprob,
            "top_logprobs": [{"id": id_of(other), "logprob": value} for other, value in top.items()],
        }
        for name, logprob, top in columns
    ]


def id_of(name: str) -> int:
    """Raises ValueError for a name that is not an id's."""
    return int(name.removeprefix(ID_NAME))


def make_row(logprobs: Mapping[int, float], token_id: int, rank: Any, top: int) -> TopRow:
    """From the listed tokens, the own among them. Raises KeyError, TypeError or ValueError where they do not fit."""
    found = {key: math.exp(min(value, 0.0)) for key, value in logprobs.items()}
    listed = sorted(found.items(), key=lambda item: (-item[1], item[0]))[:top]
    if len(listed) < top:  # the bounds rest on these being the most probable ones
        raise ValueError(f"a list of {len(listed)}")
    return TopRow(rank=rank_of(rank, token_id, listed), probability=found[token_id], top=tuple(listed))


def rank_of(told: Any, token_id: int, listed: Sequence[tuple[int, float]]) -> int:
    """The rank that the server tells; else the place in its list, or the first place beyond it."""
    if isinstance(told, int) and told >= 1:
        return told
    return next((place for place, (i, _) in enumerate(listed, 1) if i == token_id), len(listed) + 1)

"""The words of the completions interface: bodies to send, replies to read.

It is `/v1/completions` as vLLM speaks it, and what others leave out.
Sources: vLLM 0.32, its OpenAI completion protocol and serving modules; llama.cpp's server documentation for
`logprobs.content`.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from urial.engines.base import Sampling, ToldRow
from urial.engines.server.logprobs import is_id, own_rows
from urial.servers.failures import Malformed, error_message

IdSource = Literal["token_ids", "logprobs", "none"]
TOP_K = 20  # vLLM's own limit where it was started without another


@dataclass(frozen=True, slots=True)
class LogprobSupport:
    """What a server tells: where the ids of the tokens that it writes are, whether their rows are there too, how long
    a list may be (K entries), and whether it takes a salt for its prefix cache."""

    ids: IdSource
    own_rows: bool = False
    top: int = TOP_K
    salted: bool = False


@dataclass(frozen=True, slots=True)
class Delta:
    """One event of a stream: new tokens (ids where the server tells them), their text, and whether it is the last.

    `rows` is aligned to `ids`, None where none were asked for. `trouble`: what the server says went wrong.
    """

    ids: list[int]
    rows: list[ToldRow | None]
    text: str
    finish: str | None
    trouble: str


def generation_body(
    model: str, prompt_ids: Sequence[int], sampling: Sampling, ends: Sequence[int], telling: LogprobSupport
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
    return body | listing(telling.top) if telling.own_rows else body


def listing(top: int) -> dict[str, Any]:
    """Lists of `top` entries of each token that is written; naming them by their ids is vLLM's."""
    return {"logprobs": top, "return_tokens_as_token_ids": True}


def one_token_body(model: str, ids: Sequence[int], *, salted: bool) -> dict[str, Any]:
    """One token after a text: servers refuse to generate none.

    A fresh salt keeps a server's prefix cache from handing out what it worked out for an earlier request.
    """
    body = {"model": model, "prompt": list(ids), "max_tokens": 1, "temperature": 0.0}
    return body | {"cache_salt": secrets.token_urlsafe(32)} if salted else body


def scoring_body(model: str, ids: Sequence[int], telling: LogprobSupport) -> dict[str, Any]:
    """The log-probabilities of a given text."""
    return one_token_body(model, ids, salted=telling.salted) | {"prompt_logprobs": telling.top}


def first_choice(reply: Any) -> dict[str, Any] | None:
    """The one choice of a reply; None where an event holds none (usage at the end). Raises Malformed."""
    choices = reply.get("choices", "absent") if isinstance(reply, dict) else "absent"
    if choices is None:
        return None
    if not isinstance(choices, list):
        raise Malformed("choices")
    if not choices:
        return None
    if not isinstance(choices[0], dict):
        raise Malformed("choices[0]")
    return choices[0]


def only_choice(reply: Any) -> dict[str, Any]:
    """The choice of a reply that has to hold one. Raises Malformed."""
    choice = first_choice(reply)
    if choice is None:
        raise Malformed("choices")
    return choice


def read_delta(choice: Mapping[str, Any], telling: LogprobSupport) -> Delta:
    """Raises Malformed."""
    text, finish = choice.get("text") or "", choice.get("finish_reason")
    if not isinstance(text, str):
        raise Malformed("text")
    ids = READERS[telling.ids](choice)
    rows: list[ToldRow | None] = [None] * len(ids)
    if telling.own_rows:
        rows[:] = own_rows(choice, ids, telling.top)
    return Delta(
        ids,
        rows,
        text,
        finish if isinstance(finish, str) and finish else None,
        error_message({"error": choice.get("error")}),
    )


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
    if not isinstance(found, list) or not all(map(is_id, found)):
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

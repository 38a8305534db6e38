"""What a server can do, found out by asking it: which models it has, how much they read, what it tells of a prompt.

The ladder: exact ranks and lists of any text (vLLM), lists alone, lists of what the server itself writes (llama.cpp's
server: enough for the aligned side), nothing. Knows replies; nothing about pairs or pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from urial.engines.base import Capabilities
from urial.engines.server import failures
from urial.engines.server.client import ServerClient
from urial.engines.server.wire import (
    OWN_ROWS,
    READERS,
    TOP_K,
    IdSource,
    Malformed,
    Telling,
    find_ids,
    first_choice,
    own_rows,
    probe_body,
    read_row,
)
from urial.errors import EngineError, MismatchError, SettingsError

PROBE_TEXT = "The capital of France"
PROBE_TOKENS = 3
NO_PROMPT = {"prompt_logprobs": None}
AWAY = 5.0  # seconds: at a start a server that is down is a mistake to report, not something to wait for
UNLIMITED = 2**31  # where a server does not say how much it reads, it is left to refuse


@dataclass(frozen=True, slots=True)
class Abilities:
    """What was found. `reason` says in one sentence why rows cannot be had, where they cannot."""

    capabilities: Capabilities
    telling: Telling
    context_length: int
    reason: str = ""


async def probe(client: ServerClient, model: str, tokenizer: PreTrainedTokenizerBase) -> Abilities:
    """Ask once. Raises SettingsError (model, key), EngineError (unreachable, no model server) or MismatchError."""
    context_length = await find_context_length(client, model)
    ids = tokenizer.encode(PROBE_TEXT)[:PROBE_TOKENS]
    choice, refusal = await ask_for_all(client, model, ids)
    id_source = find_ids(choice)
    rows, has_ranks = prompt_rows(choice, ids) if id_source != "none" else (False, False)
    if rows:
        check_same_words(client, choice["prompt_logprobs"], ids, tokenizer)
    telling = Telling(id_source, own_rows=not rows and tells_own_rows(choice, id_source))
    found = Capabilities(
        has_logits=False, has_exact_rank=has_ranks, has_top=rows, rereads_context=True, tells_own=telling.own_rows
    )
    return Abilities(found, telling, context_length, "" if rows else why_nothing(client, refusal, id_source))


async def find_context_length(client: ServerClient, model: str) -> int:
    """From the server's list of models, where it has one with lengths; a LoRA's length is its parent's."""
    listed = await client.get("/models")
    entries = listed.get("data") if isinstance(listed, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise failures.missing(client.address, "data")
    known = {entry.get("id"): entry for entry in entries}
    if model not in known:
        names = ", ".join(str(name) for name in known)
        raise SettingsError(
            f"The server {client.address.url} has no model {model!r}; name one of these in models.yaml: "
            f"{client.address.quote(names)}."
        )
    entry = known[model]
    lengths = [told_length(entry), told_length(known.get(entry.get("parent"), {}))]
    return next((length for length in lengths if length), UNLIMITED)


def told_length(entry: dict[str, Any]) -> int:
    """What a model reads at most, as vLLM or as llama.cpp tells it; 0 where neither does."""
    meta = entry.get("meta")
    told = [entry.get("max_model_len"), meta.get("n_ctx") if isinstance(meta, dict) else None]
    return next((length for length in told if isinstance(length, int) and length > 0), 0)


async def ask_for_all(client: ServerClient, model: str, ids: Sequence[int]) -> tuple[dict[str, Any], str]:
    """One choice, and why the prompt's log-probabilities were refused, if they were: then less is asked for."""
    refusal = ""
    for more in (OWN_ROWS, OWN_ROWS | NO_PROMPT, {"logprobs": 1} | NO_PROMPT):
        try:
            reply = await client.ask(probe_body(model, ids, more), away=AWAY)
            break
        except EngineError as error:
            refusal = refusal or str(error)
    else:
        raise EngineError(refusal)
    try:
        choice = first_choice(reply)
    except Malformed as error:
        raise failures.missing(client.address, str(error)) from error
    if choice is None:
        raise failures.missing(client.address, "choices")
    return choice, refusal


def prompt_rows(choice: dict[str, Any], ids: Sequence[int]) -> tuple[bool, bool]:
    """Whether lists for the prompt came, and whether each told the exact rank of the prompt's own token."""
    entries = choice.get("prompt_logprobs")
    if not isinstance(entries, list) or len(entries) != len(ids):
        return False, False
    try:
        for entry, token_id in zip(entries[1:], ids[1:], strict=True):
            read_row(entry, token_id, TOP_K)
    except Malformed:
        return False, False
    own = [entry[str(token_id)] for entry, token_id in zip(entries[1:], ids[1:], strict=True)]
    return True, all(isinstance(value.get("rank"), int) for value in own)


def tells_own_rows(choice: dict[str, Any], id_source: IdSource) -> bool:
    """Whether the token that was written came with its list."""
    try:
        return bool(own_rows(choice, READERS[id_source](choice)))
    except Malformed:
        return False


def check_same_words(
    client: ServerClient, entries: Sequence[Any], ids: Sequence[int], tokenizer: PreTrainedTokenizerBase
) -> None:
    """Raise MismatchError where the server reads the probe's ids as other words than the tokenizer here."""
    for entry, token_id in zip(entries[1:], ids[1:], strict=True):
        there, here = entry[str(token_id)].get("decoded_token"), tokenizer.decode([token_id])
        if isinstance(there, str) and there.strip() != here.strip():
            raise MismatchError(
                f"The server {client.address.url} reads token {token_id} as {client.address.quote(there)!r}, the "
                f"tokenizer here as {here!r}; correct the tokenizer of this model in models.yaml."
            )


def why_nothing(client: ServerClient, refusal: str, id_source: IdSource) -> str:
    """One sentence for the place where the colours would be."""
    if refusal:
        return f"No shift can be shown: {refusal}"
    lacking = "token ids" if id_source == "none" else "log-probabilities of a prompt"
    return (
        f"No shift can be shown: the server {client.address.url} tells no {lacking}; "
        "vLLM does, started as docs/serving.md says."
    )

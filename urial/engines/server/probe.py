"""What a server can do, found out by asking it: which models it has, how much they read, what it tells of a prompt.

The ladder: exact ranks and lists of any text (vLLM), lists alone, lists of what the server itself writes (llama.cpp's
server: enough for the aligned side), nothing. A server that refuses one wish refuses the whole request, and rarely says
it in words made for programs: so everything is asked for at once, then less and less until it answers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from transformers import PreTrainedTokenizerBase

from urial.engines.base import Capabilities
from urial.engines.server.logprobs import MISSING, own_rows, read_row
from urial.engines.server.protocol import (
    READERS,
    TOP_K,
    IdSource,
    LogprobSupport,
    find_ids,
    listing,
    one_token_body,
    only_choice,
)
from urial.errors import EngineError, MismatchError, SettingsError
from urial.servers import failures
from urial.servers.client import ServerClient
from urial.servers.failures import Malformed, Refused

PROBE_TEXT = "The capital of France"
PROBE_TOKENS = 3
TELLS_CLASSES = 3  # entries of a list that tells the three classes apart where no rank is told
UNLIMITED = 2**31  # where a server does not say how much it reads, it is left to refuse
AWAY = 5.0  # seconds: at a start a server that is down is a mistake to report, not something to wait for
SHORTER = {20: 10, 10: 5}  # lists to try where a server names no limit of its own


@dataclass(frozen=True, slots=True)
class Abilities:
    """What was found. `reason` says in one sentence why rows cannot be had, where they cannot."""

    capabilities: Capabilities
    telling: LogprobSupport
    context_length: int
    reason: str = ""


async def probe(client: ServerClient, model: str, tokenizer: PreTrainedTokenizerBase) -> Abilities:
    """Ask once. Raises SettingsError (model, key), EngineError (unreachable, no model server) or MismatchError."""
    context_length = await find_context_length(client, model)
    ids = tokenizer.encode(PROBE_TEXT)[:PROBE_TOKENS]
    reply, wish, refusal = await ask_for_all(client, model, ids)
    with failures.naming_what_is_missing(client.address):
        choice = only_choice(reply)
    id_source = find_ids(choice)
    top, has_ranks = prompt_rows(choice, ids, wish.top) if id_source != "none" else (0, False)
    if top:
        check_same_words(client, choice["prompt_logprobs"], ids, tokenizer)
    tells_own = not top and wish.own and tells_own_rows(choice, id_source, wish.top)
    telling = LogprobSupport(id_source, own_rows=tells_own, top=top or wish.top, salted=wish.salted)
    found = Capabilities(
        has_logits=False, has_exact_rank=has_ranks, has_top=top > 0, rereads_context=True, tells_own=tells_own
    )
    return Abilities(found, telling, context_length, "" if top else why_nothing(client, refusal, id_source))


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


def prompt_rows(choice: dict[str, Any], ids: Sequence[int], asked: int) -> tuple[int, bool]:
    """How long the lists for the prompt are (0 where none can be read), and whether own tokens have their exact ranks.

    A server may tell fewer entries than were asked for, without a word; of such a list the last may be the own token.
    """
    entries = choice.get("prompt_logprobs")
    if not isinstance(entries, list) or len(entries) != len(ids):
        return 0, False
    own = [(entry, token_id) for entry, token_id in zip(entries[1:], ids[1:], strict=True) if isinstance(entry, dict)]
    shortest = min((len(entry) for entry, _ in own), default=0)
    top = asked if shortest >= asked else shortest - 1
    read = [(entry, token_id) for entry, token_id in own if top > 0 and read_row(entry, token_id, top) != MISSING]
    own_entries = [entry.get(str(token_id)) or {} for entry, token_id in read]
    has_ranks = bool(read) and all(isinstance(entry.get("rank"), int) for entry in own_entries)
    return (top if read and (has_ranks or top >= TELLS_CLASSES) else 0), has_ranks


def tells_own_rows(choice: dict[str, Any], id_source: IdSource, top: int) -> bool:
    """Whether the token that was written came with its list."""
    try:
        rows = own_rows(choice, READERS[id_source](choice), top)
    except Malformed:
        return False
    return any(row != MISSING for row in rows)


def check_same_words(
    client: ServerClient, entries: Sequence[Any], ids: Sequence[int], tokenizer: PreTrainedTokenizerBase
) -> None:
    """Raise MismatchError where the server reads the probe's ids as other words than the tokenizer here."""
    for entry, token_id in zip(entries[1:], ids[1:], strict=True):
        own = entry.get(str(token_id)) if isinstance(entry, dict) else None
        there, here = own.get("decoded_token") if isinstance(own, dict) else None, str(tokenizer.decode([token_id]))
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


@dataclass(frozen=True, slots=True)
class Wish:
    """One token after a tiny prompt, and lists of `top` entries: of the prompt, of the token; under a salt."""

    top: int = TOP_K
    prompt: bool = True
    own: bool = True
    salted: bool = True

    def body(self, model: str, ids: Sequence[int]) -> dict[str, Any]:
        body = one_token_body(model, ids, salted=self.salted) | {"return_token_ids": True}
        body |= {"prompt_logprobs": self.top} if self.prompt else {}
        return body | (listing(self.top) if self.own else {"logprobs": 1})

    def less(self, refusal: EngineError) -> Wish | None:
        """What to ask for next; None where nothing is left. Only a refusal in words is worth small steps."""
        words = refusal.words.lower() if isinstance(refusal, Refused) else ""
        if self.salted and "salt" in words:
            return replace(self, salted=False)
        if self.own and "logprob" in words and (top := named_limit(words, self.top) or SHORTER.get(self.top)):
            return replace(self, top=top)
        if self.salted and isinstance(refusal, Refused):
            return replace(self, salted=False, top=TOP_K)
        if self.prompt:
            return replace(self, prompt=False, top=TOP_K)
        return replace(self, own=False) if self.own else None


def named_limit(words: str, below: int) -> int:
    """The longest list that a refusal names as allowed; 0 where it names none."""
    found = [int(number) for number in re.findall(r"\d{1,6}", words)]
    return max((number for number in found if 1 <= number < below), default=0)


async def ask_for_all(client: ServerClient, model: str, ids: Sequence[int]) -> tuple[Any, Wish, str]:
    """The reply, the wish that it fulfils, and why the prompt's log-probabilities were refused, if they were.

    Raises EngineError where nothing helps, SettingsError for a key or a name.
    """
    wish, first, refusal = Wish(), None, ""
    while True:
        try:
            return await client.ask(wish.body(model, ids), away=AWAY), wish, "" if wish.prompt else refusal
        except EngineError as error:
            first = first or error
            refusal = str(error) if wish.prompt else refusal
            lower = wish.less(error)
            if lower is None:
                raise first from None
            wish = lower

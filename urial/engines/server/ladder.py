"""What a server is asked at the start: everything at once, then less and less until it answers.

A server that refuses one wish refuses the whole request, and rarely says it in words made for programs. Knows requests
and refusals; nothing about what the answer means (that is `probe.py`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from urial.engines.server.client import ServerClient
from urial.engines.server.failures import Refused
from urial.engines.server.protocol import TOP_K, listing, one_token_body
from urial.errors import EngineError

AWAY = 5.0  # seconds: at a start a server that is down is a mistake to report, not something to wait for
SHORTER = {20: 10, 10: 5}  # lists to try where a server names no limit of its own


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

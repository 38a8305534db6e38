"""What is asked, from keyword arguments: checked before any model runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import get_args

from urial.compare.request import AlignedMethod, Request, checked
from urial.errors import SettingsError
from urial.prompts import method as find_method
from urial.prompts import to_messages
from urial.records import SidePenalties


def ask(
    query: str,
    *,
    method: str | None = None,
    examples: int | None = None,
    prompt_file: str | None = None,
    pool: str | None = None,
    history: Iterable[Mapping[str, str]] = (),
    contexts: Iterable[str] = ("zero_shot", "urial"),
    max_new_tokens: int = 256,
    temperature: float = 0.0,
    top_p: float = 1.0,
    base_penalty: float = 1.1,
    aligned_penalty: float = 1.0,
    aligned_method: AlignedMethod = "chat",
    seed: int = 0,
) -> Request:
    """A checked request. Temperature 0 is greedy; `history` holds messages with the keys role and content.

    `aligned_method` s2a has the aligned model rewrite the query first, as System 2 Attention does; the record has it.
    Raises PromptError or SettingsError with one sentence.
    """
    wanted = tuple(contexts)
    if not wanted or not set(wanted) <= {"zero_shot", "urial"}:
        raise SettingsError(f"contexts are {wanted!r}; choose one or both of zero_shot and urial.")
    if aligned_method not in get_args(AlignedMethod):
        raise SettingsError(f"aligned_method is {aligned_method!r}; choose chat or s2a.")
    return checked(
        Request(
            query=query,
            method=find_method(method, examples, prompt_file, pool),
            history=tuple(to_messages(history)),
            contexts=tuple(name for name in ("zero_shot", "urial") if name in wanted),
            temperature=temperature,
            top_p=top_p,
            penalties=SidePenalties(base=base_penalty, aligned=aligned_penalty),
            max_new_tokens=max_new_tokens,
            seed=seed,
            aligned_method=aligned_method,
        )
    )


def without_rewrite(request: Request) -> Request:
    """The same request. Raises SettingsError where it asks for a rewrite, which nothing would make."""
    if request.aligned_method != "chat":
        raise SettingsError("A given answer and a corpus are made without a rewrite; leave aligned_method out.")
    return request

"""Answers that several models write together: what they are given, and how some of them go on side by side."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from urial.compare.live_scoring import log_failure, sentence
from urial.compare.request import Control, Prompts, Request, make_prompts
from urial.compare.s2a_rewrite import rewritten
from urial.compare.side import SideRun
from urial.engines.pair import PairEngines
from urial.errors import SettingsError, UrialError
from urial.records import ContextName

MOMENT = 0.005  # seconds between two looks at a stop
SERVED = (
    "The dial and nudging are not offered for this pair: they need every logit of both models at every token, which a "
    "server does not send; choose a pair that runs in this process."
)


@dataclass(frozen=True, slots=True)
class Given:
    """What both models are given: the base in the chosen context, the aligned model in its own template."""

    prompts: Prompts
    base: str
    base_ids: list[int]


def asked_of_both(engines: PairEngines, request: Request, control: Control) -> Request:
    """What is asked, rewritten first where the aligned side does so. Raises SettingsError for a pair with a server."""
    if not engines.is_exact:
        raise SettingsError(SERVED)
    return rewritten(engines, request, control)


def give(engines: PairEngines, request: Request, context: ContextName) -> Given:
    """Raises what `make_prompts` raises."""
    prompts = make_prompts(engines, replace(request, contexts=(context,)))
    given = Given(prompts, prompts.contexts[context], prompts.context_ids[context])
    engines.base.check_length(len(given.base_ids), request.max_new_tokens)
    if given.base_ids[: len(prompts.constant_ids)] == prompts.constant_ids:
        engines.base.read_ahead(prompts.constant_ids)
    return given


def advance(runs: Sequence[SideRun], control: Control) -> Iterator[tuple[int, tuple[int, str] | UrialError | None]]:
    """All runs in turn: (number, (id, text)) for a token, an error where one failed, None where one ended.

    A stop of either side ends all of them, within a step.
    """
    arrived = threading.Event()
    for run in runs:
        run.listen(arrived)
    while any(run.is_running for run in runs):
        arrived.clear()
        is_stopped = control.is_stopped("base") or control.is_stopped("aligned")
        ready = [(i, run) for i, run in enumerate(runs) if run.is_running and (is_stopped or run.is_ready)]
        for i, run in ready:
            yield from ((i, step) for step in _step(run, is_stopped))
            if not run.is_running:
                yield i, None
        if not ready:
            arrived.wait(MOMENT)


def _step(run: SideRun, is_stopped: bool) -> Iterator[tuple[int, str] | UrialError]:
    if is_stopped:
        run.end("cancelled")
        return
    try:
        if (token := run.step()) is not None:
            yield token
    except (UrialError, RuntimeError, MemoryError) as error:
        log_failure("an answer of both models", error)
        run.end("error")
        yield UrialError(sentence(error))


def rank_of(scores: torch.Tensor, token: int) -> int:
    """1 + the entries of scores [1, V] that are strictly greater than the token's."""
    return 1 + int((scores > scores[0, token]).sum())


def shifted_share(ranks: Sequence[int | None], is_counted: Sequence[bool]) -> tuple[float | None, int]:
    """Of the ranks that count and are known: the share above 3, and how many they are."""
    known = [rank for rank, counts in zip(ranks, is_counted, strict=False) if counts and rank is not None]
    return (sum(rank > 3 for rank in known) / len(known) if known else None), len(known)

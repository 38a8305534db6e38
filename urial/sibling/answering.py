"""Both sides' answers to many questions at once, through the very engines that the page runs.

Comparisons that run together share each reading of the weights, and a method's constant beginning is read once for all.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import TypeVar

from urial.compare import run as core
from urial.compare.events import Done, Event, Failed, SideDone
from urial.compare.request import ALL_CONTEXTS, Request, make_prompts
from urial.engines.pair import PairEngines
from urial.errors import EngineError
from urial.prompts import method
from urial.records import Comparison, ContextName, ContextShift, Message, Side, SideName, SidePenalties

T = TypeVar("T", bound=Event)
TINY = 1e-30  # a probability that float32 rounds to zero still has a log


@dataclass(frozen=True)
class Ask:
    """A question with its earlier turns, and the id that its answer goes by."""

    id: str
    query: str
    history: tuple[Message, ...] = ()


@dataclass(frozen=True)
class Shares:
    """Of `tokens` answer tokens that are not special: the shares (0 to 1) with base rank 1 and with one above 3.

    log_probability: the mean log of the probability (nats, at most 0) that the base gives them.
    """

    tokens: int
    unshifted: float
    shifted: float
    log_probability: float


@dataclass(frozen=True)
class Answer:
    """An answer: its token ids (the end token included), its text, whether it came to an end by itself, its shift."""

    id: str
    ids: tuple[int, ...]
    text: str
    ended: bool
    shift: Mapping[ContextName, Shares] = field(default_factory=dict)


@dataclass(frozen=True)
class Manner:
    """How answers are written: at most so many tokens, penalties for repeating (1 is none), temperature and seed."""

    new_tokens: int = 256
    penalties: SidePenalties = field(default_factory=lambda: SidePenalties(base=1.1, aligned=1.0))
    temperature: float = 0.0
    seed: int = 0


def answers(
    engines: PairEngines, asks: Sequence[Ask], side: SideName, manner: Manner, at_once: int, *, with_shift: bool = False
) -> Iterator[Answer]:
    """One answer for each question, in the order in which they are done. Raises what a comparison raises.

    The base has the default URIAL prompt; the aligned side has its chat template. `with_shift` scores the aligned
    answer with the question alone and with the URIAL prompt in the base's sight.
    """
    contexts = ALL_CONTEXTS if with_shift and side == "aligned" else ()
    with ThreadPoolExecutor(at_once) as pool:
        futures: list[Future[Answer]] = [pool.submit(_answer, engines, ask, side, manner, contexts) for ask in asks]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            for future in futures:
                future.cancel()


def _answer(
    engines: PairEngines, ask: Ask, side: SideName, manner: Manner, contexts: tuple[ContextName, ...]
) -> Answer:
    request = Request(
        query=ask.query,
        method=method(),
        history=ask.history,
        contexts=contexts,
        temperature=manner.temperature,
        penalties=manner.penalties,
        max_new_tokens=manner.new_tokens,
        seed=manner.seed,
    )
    if side == "base":
        return _told(ask.id, _last(core.continue_base(engines, request, []), SideDone).side, {})
    if contexts:  # the constant beginning of the URIAL prompt is read once and kept for the next question
        engines.base.read_ahead(make_prompts(engines, request).constant_ids)
    record = _last(core.aligned_alone(engines, request), Done).comparison
    return _told(ask.id, record.aligned, _shares(record))


def _last(events: Iterator[Event], kind: type[T]) -> T:
    """The event of that kind that ends a stream; EngineError where something failed on the way."""
    for event in events:
        if isinstance(event, Failed):
            raise EngineError(event.message)
        if isinstance(event, kind):
            found = event
    return found


def _told(identity: str, side: Side, shift: Mapping[ContextName, Shares]) -> Answer:
    ended = side.stop_reason == "stop"
    return Answer(identity, tuple(side.token_ids), side.text, ended, shift)


def _shares(record: Comparison) -> dict[ContextName, Shares]:
    return {name: _of(shift) for name, shift in record.shift.items() if shift.summary.tokens}


def _of(shift: ContextShift) -> Shares:
    told = [row.base_probability or 0.0 for row in shift.tokens if not row.is_special]
    log_probability = sum(math.log(max(p, TINY)) for p in told) / len(told)
    summary = shift.summary
    return Shares(summary.tokens, summary.unshifted or 0.0, summary.shifted or 0.0, log_probability)

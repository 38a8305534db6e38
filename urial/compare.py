"""One comparison as a stream of events: two answers in turn, the shift as it grows, one record at the end.

Knows engines only through their interface and methods only through their prompts; nothing about pages or files.
Read `sides.py` for one side, `scoring.py` for the rows, `events.py` for what comes out.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from urial.engines.base import Engine, Sampling
from urial.engines.pair import PairEngines
from urial.errors import EngineError, PromptError, UrialError
from urial.events import AlignedToken, BaseToken, Done, Event, Failed, ShiftRows, SideDone, Started
from urial.prompts import Method, check_query
from urial.records import (
    Comparison,
    ContextName,
    ContextShift,
    Message,
    Settings,
    Side,
    SideName,
    SidePenalties,
    TokenShift,
    summarize,
)
from urial.scoring import Scoring
from urial.sides import OpenText, SideRun

CHUNK = 16  # aligned tokens scored at once while streaming: each chunk costs about one reading of the weights
ALL_CONTEXTS: tuple[ContextName, ...] = ("zero_shot", "urial")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked: a query with its earlier turns, the base's method, and how to decode."""

    query: str
    method: Method
    history: tuple[Message, ...] = ()
    contexts: tuple[ContextName, ...] = ALL_CONTEXTS
    temperature: float = 0.0
    top_p: float = 1.0
    penalties: SidePenalties = field(default_factory=lambda: SidePenalties(base=1.1, aligned=1.0))
    max_new_tokens: int = 256
    seed: int = 0

    def sampling(self, side: SideName) -> Sampling:
        return Sampling(
            temperature=self.temperature,
            top_p=self.top_p,
            repetition_penalty=getattr(self.penalties, side),
            max_new_tokens=self.max_new_tokens,
            seed=self.seed,
        )

    def settings(self) -> Settings:
        return Settings(
            method=self.method.name,
            examples=self.method.examples,
            temperature=self.temperature,
            top_p=self.top_p,
            repetition_penalty=self.penalties,
            max_new_tokens=self.max_new_tokens,
            seed=self.seed,
        )


class Control:
    """Stops one side or both from another thread; takes effect within one step."""

    def __init__(self) -> None:
        self._stopped: dict[SideName, threading.Event] = {"base": threading.Event(), "aligned": threading.Event()}

    def stop(self, side: SideName) -> None:
        self._stopped[side].set()

    def stop_all(self) -> None:
        for event in self._stopped.values():
            event.set()

    def is_stopped(self, side: SideName) -> bool:
        return self._stopped[side].is_set()


@dataclass(frozen=True, slots=True)
class Prompts:
    """All texts that the models are given, with their ids."""

    base: str
    aligned: str
    base_ids: list[int]
    aligned_ids: list[int]
    contexts: dict[ContextName, str]
    context_ids: dict[ContextName, list[int]]


def compare(engines: PairEngines, request: Request, control: Control | None = None) -> Iterator[Event]:
    """Run one comparison. Raises UserMistake before Started; later trouble comes as Failed.

    Closing the iterator stops both sides and frees their memory.
    """
    control = control or Control()
    prompts = make_prompts(engines, request)
    yield started(engines, request, prompts)
    runs = open_runs(engines, request, prompts)
    rows: dict[ContextName, list[TokenShift]] = {name: [] for name in request.contexts}
    try:
        yield from advance_all(engines, prompts, runs, rows, control)
        yield Done(make_record(engines, request, prompts, {n: run.side() for n, run in runs.items()}, rows))
    finally:
        for run in runs.values():
            run.end("cancelled")
        forget(engines, prompts)


def score(engines: PairEngines, request: Request, answer: str) -> Iterator[Event]:
    """The shift of a given answer instead of a generated one; the base's side stays empty."""
    prompts = make_prompts(engines, request)
    ids = engines.aligned.encode_answer(answer)
    if not ids:
        raise PromptError("The answer to score is empty; give a text of at least one token.")
    for engine, start in ((engines.aligned, prompts.aligned_ids), (engines.base, prompts.base_ids)):
        engine.check_length(len(start), len(ids))
    yield started(engines, request, prompts)
    texts = engines.aligned.answer_pieces(ids)
    rows: dict[ContextName, list[TokenShift]] = {name: [] for name in request.contexts}
    try:
        scoring = Scoring(engines, prompts.aligned_ids, prompts.context_ids)
        for start in range(0, len(ids), CHUNK):
            chunk = slice(start, start + CHUNK)
            yield from emit(rows, scoring.advance(ids[chunk], texts[chunk]))
        yield Done(make_record(engines, request, prompts, given_sides(prompts, ids, "".join(texts)), rows))
    finally:
        forget(engines, prompts)


def make_prompts(engines: PairEngines, request: Request) -> Prompts:
    """Render and encode everything; raises PromptError or SettingsError where it cannot be run."""
    check_query(request.query)
    base = request.method.render(request.query, request.history)
    aligned = engines.aligned.render_chat([*request.history, Message(role="user", content=request.query)])
    texts: dict[ContextName, str] = {
        "zero_shot": request.method.zero_shot().render(request.query, request.history),
        "urial": base,
    }
    contexts = {name: texts[name] for name in request.contexts}
    prompts = Prompts(
        base=base,
        aligned=aligned,
        base_ids=engines.base.encode(base),
        aligned_ids=engines.aligned.encode_chat(aligned),
        contexts=contexts,
        context_ids={name: engines.base.encode(text) for name, text in contexts.items()},
    )
    engines.base.check_length(len(prompts.base_ids), request.max_new_tokens)
    engines.aligned.check_length(len(prompts.aligned_ids), request.max_new_tokens)
    return prompts


def started(engines: PairEngines, request: Request, prompts: Prompts) -> Started:
    return Started(
        pair=engines.info,
        settings=request.settings(),
        prompts={"base": prompts.base, "aligned": prompts.aligned},
        prompt_tokens={"base": len(prompts.base_ids), "aligned": len(prompts.aligned_ids)},
    )


def open_runs(engines: PairEngines, request: Request, prompts: Prompts) -> dict[SideName, SideRun]:
    """Both sides, nothing generated yet: an engine reads its prompt at its first step."""
    base_pieces = read_then_generate(engines.base, request, prompts)
    aligned_pieces = engines.aligned.generate(prompts.aligned_ids, request.sampling("aligned"))
    return {
        "base": SideRun(prompts.base, prompts.base_ids, base_pieces, request.method.stops()),
        "aligned": SideRun(prompts.aligned, prompts.aligned_ids, aligned_pieces, OpenText()),
    }


def read_then_generate(engine: Engine, request: Request, prompts: Prompts) -> Iterator:
    """The base's pieces; the method's constant beginning is read once and kept for the next query."""
    constant = engine.encode(request.method.prefix) if request.method.prefix else []
    engine.read_ahead(common_start(constant, prompts.base_ids))
    yield from engine.generate(prompts.base_ids, request.sampling("base"))


def common_start(first: Sequence[int], second: Sequence[int]) -> list[int]:
    """The ids that both begin with: a token may reach over the end of the constant text."""
    same = 0
    while same < min(len(first), len(second)) and first[same] == second[same]:
        same += 1
    return list(first[:same])


def advance_all(
    engines: PairEngines,
    prompts: Prompts,
    runs: dict[SideName, SideRun],
    rows: dict[ContextName, list[TokenShift]],
    control: Control,
) -> Iterator[Event]:
    """Both sides step by step in turn, and the rows as soon as a chunk of aligned tokens is there."""
    scored = ScoredAnswer(engines, prompts, runs["aligned"], rows)
    while any(run.is_running for run in runs.values()):
        for name, run in runs.items():
            yield from advance_side(name, run, control)
        yield from scored.catch_up()
    yield from scored.catch_up()


def advance_side(name: SideName, run: SideRun, control: Control) -> Iterator[Event]:
    """One token of one side; its end and its failure are events too."""
    if not run.is_running:
        return
    try:
        if control.is_stopped(name):
            rest = run.end("cancelled")
            token = (run.token_ids[-1], rest) if rest else None
        else:
            token = run.step()
    except (UrialError, RuntimeError, MemoryError) as error:
        log.exception("the %s side failed", name)
        run.end("error")
        yield Failed(name, sentence(error))
        token = None
    if token is not None:
        yield (BaseToken if name == "base" else AlignedToken)(*token)
    if not run.is_running:
        yield SideDone(name, run.side())


class ScoredAnswer:
    """Follows the aligned side and scores what is new, a chunk at a time and the rest at its end."""

    def __init__(
        self,
        engines: PairEngines,
        prompts: Prompts,
        run: SideRun,
        rows: dict[ContextName, list[TokenShift]],
    ) -> None:
        self._engines = engines
        self._prompts = prompts
        self._run = run
        self._rows = rows
        self._scoring: Scoring | None = None
        self._done = 0
        self._failed = False

    def catch_up(self) -> Iterator[Event]:
        """ShiftRows for the tokens that are due; a failure ends the shift and leaves the answers."""
        waiting = len(self._run.token_ids) - self._done
        is_due = waiting >= CHUNK or (waiting > 0 and not self._run.is_running)
        if self._failed or not is_due or not self._rows:
            return
        try:
            yield from emit(self._rows, self._advance())
        except (UrialError, RuntimeError, ValueError, MemoryError) as error:
            log.exception("the shift failed")
            self._failed = True
            yield Failed(None, sentence(error))

    def _advance(self) -> dict[ContextName, tuple[TokenShift, ...]]:
        if self._scoring is None:
            self._scoring = Scoring(self._engines, self._prompts.aligned_ids, self._prompts.context_ids)
        new = slice(self._done, len(self._run.token_ids))
        self._done = len(self._run.token_ids)
        return self._scoring.advance(self._run.token_ids[new], self._run.token_texts[new])


def emit(
    rows: dict[ContextName, list[TokenShift]], new: dict[ContextName, tuple[TokenShift, ...]]
) -> Iterator[ShiftRows]:
    for name, found in new.items():
        rows[name].extend(found)
        yield ShiftRows(name, found)


def sentence(error: BaseException) -> str:
    """What a user reads of a failure: our own errors as they are, others without their inside."""
    if isinstance(error, UrialError):
        return str(error)
    return f"The model stopped with an error ({type(error).__name__}); the log has the details. Try a shorter query."


def make_record(
    engines: PairEngines,
    request: Request,
    prompts: Prompts,
    sides: dict[SideName, Side],
    rows: dict[ContextName, list[TokenShift]],
) -> Comparison:
    shift = {
        name: ContextShift(
            context=prompts.contexts[name],
            context_ids=prompts.context_ids[name],
            exact=engines.base.capabilities.has_logits and engines.aligned.capabilities.has_logits,
            summary=summarize(found),
            tokens=found,
        )
        for name, found in rows.items()
    }
    return Comparison(
        query=request.query,
        history=list(request.history),
        pair=engines.info,
        settings=request.settings(),
        base=sides["base"],
        aligned=sides["aligned"],
        shift=shift,
    )


def given_sides(prompts: Prompts, ids: list[int], text: str) -> dict[SideName, Side]:
    """The sides of a scored answer: nothing was generated, so there are no times."""
    timeless = {"stop_reason": "stop", "seconds": 0.0, "first_token_seconds": None, "tokens_per_second": None}
    return {
        "base": Side(prompt=prompts.base, prompt_ids=prompts.base_ids, text="", token_ids=[], **timeless),
        "aligned": Side(prompt=prompts.aligned, prompt_ids=prompts.aligned_ids, text=text, token_ids=ids, **timeless),
    }


def forget(engines: PairEngines, prompts: Prompts) -> None:
    """Free what the engines keep for these prompts; the methods' constant beginnings stay."""
    engines.aligned.forget(prompts.aligned_ids)
    for ids in [prompts.base_ids, *prompts.context_ids.values()]:
        engines.base.forget(ids)


def result(events: Iterator[Event]) -> Comparison:
    """Read a stream to its end. Raises EngineError with the first failure where there is no record to give."""
    failure = ""
    for event in events:
        if isinstance(event, Done):
            return event.comparison
        if isinstance(event, Failed):
            failure = failure or event.message
    raise EngineError(failure or "The comparison ended without a result; run it again.")

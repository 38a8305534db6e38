"""One comparison as a stream of events: two answers in turn, the shift as it grows, one record at the end.

Knows engines only through their interface; nothing about pages or files. Read `request.py` for what is asked,
`sides.py` for one side, `scoring.py` for the rows, `events.py` for what comes out.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence

from urial.engines.base import Piece
from urial.engines.pair import PairEngines
from urial.errors import EngineError, PromptError, UrialError
from urial.events import AlignedToken, BaseToken, Done, Event, Failed, ShiftRows, SideDone, Started
from urial.records import Comparison, ContextName, ContextShift, Side, SideName, TokenShift, summarize
from urial.request import Control, Prompts, Request, forget, make_prompts
from urial.scoring import CHUNK, Rows, Scoring
from urial.sides import OpenText, SideRun

BOTH: tuple[SideName, ...] = ("base", "aligned")
Growing = dict[ContextName, list[TokenShift]]  # the rows so far

log = logging.getLogger(__name__)


def compare(engines: PairEngines, request: Request, control: Control | None = None) -> Iterator[Event]:
    """Run one comparison. Raises UserMistake before Started; later trouble comes as Failed.

    Closing the iterator stops both sides and frees their memory.
    """
    yield from run_sides(engines, request, control or Control(), BOTH, {}, {})


def again(
    engines: PairEngines, request: Request, side: SideName, earlier: Comparison, control: Control | None = None
) -> Iterator[Event]:
    """Run one side once more; the other side, and with the base the shift, stay as they were in `earlier`."""
    other: SideName = "aligned" if side == "base" else "base"
    kept_shift = earlier.shift if side == "base" else {}
    kept = {other: getattr(earlier, other)}
    yield from run_sides(engines, request, control or Control(), (side,), kept, kept_shift)


def score(engines: PairEngines, request: Request, answer: str) -> Iterator[Event]:
    """The shift of a given answer instead of a generated one; the base's side stays empty."""
    prompts = make_prompts(engines, request)
    ids = engines.aligned.encode_answer(answer)
    if not ids:
        raise PromptError("The answer to score is empty; give a text of at least one token.")
    for side in BOTH:
        engines.side(side).check_length(len(prompts.ids(side)), len(ids))
    yield started(engines, request, prompts)
    texts = engines.aligned.answer_pieces(ids)
    rows: Growing = {name: [] for name in request.contexts}
    try:
        scoring = Scoring(engines, prompts.aligned_ids, prompts.context_ids)
        for start in range(0, len(ids), CHUNK):
            chunk = slice(start, start + CHUNK)
            yield from emit(rows, scoring.advance(ids[chunk], texts[chunk]))
        sides = given_sides(prompts, ids, "".join(texts))
        yield Done(make_record(engines, request, sides, make_shift(engines, prompts, rows)))
    finally:
        forget(engines, prompts)


def continue_base(
    engines: PairEngines, request: Request, answer_ids: Sequence[int], control: Control | None = None
) -> Iterator[Event]:
    """Let the base write on after its prompt and the given beginning of an answer: BaseToken ..., SideDone.

    The side's prompt holds what the base was given, the beginning included; its text is only what the base added.
    """
    prompts = make_prompts(engines, request)
    beginning = "".join(engines.aligned.answer_pieces(answer_ids))
    ids = [*prompts.base_ids, *answer_ids]
    engines.base.check_length(len(ids), request.max_new_tokens)
    stops = request.method.stops()
    stops.feed(beginning)  # an open code block of the beginning is still open
    pieces = read_then_generate(engines, request, prompts, ids)
    run = SideRun(prompts.base + beginning, ids, pieces, stops)
    try:
        while run.is_running:
            yield from advance_side("base", run, control or Control())
    finally:
        run.end("cancelled")
        engines.base.forget(ids)
        forget(engines, prompts)


def run_sides(
    engines: PairEngines,
    request: Request,
    control: Control,
    names: Sequence[SideName],
    kept: Mapping[SideName, Side],
    kept_shift: Mapping[ContextName, ContextShift],
) -> Iterator[Event]:
    """Run the named sides; what is kept goes into the record as it is."""
    prompts = make_prompts(engines, request)
    yield started(engines, request, prompts)
    runs = {name: open_run(name, engines, request, prompts) for name in names}
    rows: Growing = {name: [] for name in request.contexts} if "aligned" in runs else {}
    try:
        yield from advance_all(engines, prompts, runs, rows, control)
        sides = {**kept, **{name: run.side() for name, run in runs.items()}}
        yield Done(make_record(engines, request, sides, {**kept_shift, **make_shift(engines, prompts, rows)}))
    finally:
        for run in runs.values():
            run.end("cancelled")
        forget(engines, prompts)


def started(engines: PairEngines, request: Request, prompts: Prompts) -> Started:
    return Started(
        pair=engines.info,
        settings=request.settings(),
        prompts={name: prompts.text(name) for name in BOTH},
        prompt_tokens={name: len(prompts.ids(name)) for name in BOTH},
    )


def open_run(name: SideName, engines: PairEngines, request: Request, prompts: Prompts) -> SideRun:
    """One side, nothing generated yet: an engine reads its prompt at its first step."""
    if name == "base":
        pieces = read_then_generate(engines, request, prompts, prompts.base_ids)
        return SideRun(prompts.base, prompts.base_ids, pieces, request.method.stops())
    pieces = engines.aligned.generate(prompts.aligned_ids, request.sampling("aligned"))
    return SideRun(prompts.aligned, prompts.aligned_ids, pieces, OpenText())


def read_then_generate(engines: PairEngines, request: Request, prompts: Prompts, ids: Sequence[int]) -> Iterator[Piece]:
    """The base's pieces; the method's constant beginning is read once and kept for the next query."""
    engines.base.read_ahead(prompts.constant_ids)
    yield from engines.base.generate(ids, request.sampling("base"))


def advance_all(
    engines: PairEngines, prompts: Prompts, runs: Mapping[SideName, SideRun], rows: Growing, control: Control
) -> Iterator[Event]:
    """All sides step by step in turn, and the rows as soon as a chunk of aligned tokens is there."""
    scored = ScoredAnswer(engines, prompts, runs["aligned"], rows) if rows else None
    while any(run.is_running for run in runs.values()):
        for name, run in runs.items():
            yield from advance_side(name, run, control)
        if scored:
            yield from scored.catch_up()


def advance_side(name: SideName, run: SideRun, control: Control) -> Iterator[Event]:
    """One token of one side; its end and its failure are events too."""
    if not run.is_running:
        return
    try:
        token = cancel(run) if control.is_stopped(name) else run.step()
    except (UrialError, RuntimeError, MemoryError) as error:
        log.exception("the %s side failed", name)
        run.end("error")
        yield Failed(name, sentence(error))
        token = None
    if token is not None:
        yield (BaseToken if name == "base" else AlignedToken)(*token)
    if not run.is_running:
        yield SideDone(name, run.side())


def cancel(run: SideRun) -> tuple[int, str] | None:
    """End a side that its user stopped; text that was held back still belongs to its last token."""
    rest = run.end("cancelled")
    return (run.token_ids[-1], rest) if rest else None


class ScoredAnswer:
    """Follows the aligned side and scores what is new: a chunk at a time, and the rest at its end."""

    def __init__(self, engines: PairEngines, prompts: Prompts, run: SideRun, rows: Growing) -> None:
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
        if self._failed or not is_due:
            return
        try:
            yield from emit(self._rows, self._advance())
        except (UrialError, RuntimeError, ValueError, MemoryError) as error:
            log.exception("the shift failed")
            self._failed = True
            yield Failed(None, sentence(error))

    def _advance(self) -> Rows:
        if self._scoring is None:
            self._scoring = Scoring(self._engines, self._prompts.aligned_ids, self._prompts.context_ids)
        new = slice(self._done, len(self._run.token_ids))
        self._done = len(self._run.token_ids)
        return self._scoring.advance(self._run.token_ids[new], self._run.token_texts[new])


def emit(rows: Growing, new: Rows) -> Iterator[ShiftRows]:
    for name, found in new.items():
        rows[name].extend(found)
        yield ShiftRows(name, found)


def sentence(error: BaseException) -> str:
    """What a user reads of a failure: our own errors as they are, others without their inside."""
    if isinstance(error, UrialError):
        return str(error)
    kind = type(error).__name__
    return f"The model stopped with an error ({kind}); the log has the details. Try again, or a shorter query."


def make_shift(engines: PairEngines, prompts: Prompts, rows: Growing) -> dict[ContextName, ContextShift]:
    exact = engines.base.capabilities.has_logits and engines.aligned.capabilities.has_logits
    return {
        name: ContextShift(
            context=prompts.contexts[name],
            context_ids=prompts.context_ids[name],
            exact=exact,
            summary=summarize(found),
            tokens=found,
        )
        for name, found in rows.items()
    }


def make_record(
    engines: PairEngines,
    request: Request,
    sides: Mapping[SideName, Side],
    shift: dict[ContextName, ContextShift],
) -> Comparison:
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


def result(events: Iterator[Event]) -> Comparison:
    """Read a stream to its end. Raises EngineError with the first failure where there is no record to give."""
    failure = ""
    for event in events:
        if isinstance(event, Done):
            return event.comparison
        if isinstance(event, Failed):
            failure = failure or event.message
    raise EngineError(failure or "The comparison ended without a result; run it again.")

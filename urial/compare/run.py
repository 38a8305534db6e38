"""One comparison as a stream of events: two answers in turn, the shift as it grows, one record at the end.

Read `request.py` for what is asked, `side.py` for one side, `advance.py` for the turns, `scoring.py` for the rows,
`events.py` for what comes out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from urial.compare.advance import advance_all
from urial.compare.events import Done, Event, Failed, Started
from urial.compare.given_answer import score_by_asking, score_exactly
from urial.compare.live_scoring import AskedAnswer, FollowedAnswer, Growing, ScoredAnswer
from urial.compare.request import Control, Prompts, Request, forget, make_prompts
from urial.compare.s2a_rewrite import rewritten
from urial.compare.scoring import ExactComparison
from urial.compare.side import OpenText, SideRun
from urial.compare.to_record import given_sides, kept_problems, make_record, make_shift, own_settings
from urial.engines.local.scheduler import scheduler
from urial.engines.pair import PairEngines
from urial.errors import EngineError, MismatchError, PromptError, SettingsError
from urial.prompts import check_unicode
from urial.records import Comparison, Problem, SideName

BOTH: tuple[SideName, ...] = ("base", "aligned")
NO_IDS = (
    "No shift can be shown: the server of the aligned model told no token ids while it wrote; vLLM does, started as "
    "docs/serving.md says."
)
SHIFT_ENDS = "The server of the aligned model left out ids of some tokens; the shift reaches as far as all were told."


def compare(engines: PairEngines, request: Request, control: Control | None = None) -> Iterator[Event]:
    """Run one comparison. Raises UserMistake before Started; later trouble comes as Failed.

    Closing the iterator stops both sides and frees their memory.
    """
    control = control or Control()
    yield from run_sides(engines, rewritten(engines, request, control), control, BOTH, None)


def aligned_alone(engines: PairEngines, request: Request, control: Control | None = None) -> Iterator[Event]:
    """The aligned answer and its shift, as in `compare`; the base's side stays empty."""
    yield from run_sides(engines, request, control or Control(), ("aligned",), None)


def again(
    engines: PairEngines, request: Request, side: SideName, earlier: Comparison, control: Control | None = None
) -> Iterator[Event]:
    """Run one side once more; the other side, and with the base the shift, stay as they were in `earlier`.

    `request` says how that side is decoded now. Raises SettingsError where it asks something else, or other models,
    than `earlier` did: the record would join answers that do not belong together.
    """
    check_same_question(engines, request, earlier)
    request = replace(request, rewrite=earlier.rewrite)
    yield from run_sides(engines, request, control or Control(), (side,), earlier)


def check_same_question(engines: PairEngines, request: Request, earlier: Comparison) -> None:
    """Raise SettingsError where what ran in `earlier` is not what runs now."""
    asked, method = (request.query, list(request.history)), (request.method.name, request.method.examples)
    if asked != (earlier.query, earlier.history) or method != (earlier.settings.method, earlier.settings.examples):
        raise SettingsError("The earlier comparison was of another question or method; press Compare to ask this one.")
    check_same_models(engines, earlier)


def check_same_models(engines: PairEngines, earlier: Comparison) -> None:
    """Raise SettingsError where `earlier` was written elsewhere."""
    if engines.info != earlier.pair:
        raise SettingsError(
            "The other answer of this comparison was written by other models or on another machine; "
            "press Compare to have both written here."
        )


def score(engines: PairEngines, request: Request, answer: str) -> Iterator[Event]:
    """The shift of a given answer instead of a generated one; the base's side stays empty."""
    if engines.no_given_rows_reason:
        raise SettingsError(engines.no_given_rows_reason)
    check_unicode(answer, "The answer to score")
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
        score = score_exactly if engines.is_exact else score_by_asking
        yield from score(engines, prompts, ids, texts, rows)
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
    check_known(engines, answer_ids)
    prompts = make_prompts(engines, request)
    beginning = "".join(engines.aligned.answer_pieces(answer_ids))
    ids = [*prompts.base_ids, *answer_ids]
    engines.base.check_length(len(ids), request.max_new_tokens)
    stops = request.method.stops()
    stops.feed(beginning)  # an open code block of the beginning is still open
    engines.base.read_ahead(prompts.constant_ids)
    pieces = engines.base.generate(ids, request.sampling("base"))
    run = SideRun(prompts.base + beginning, ids, pieces, stops)
    try:
        yield from advance_all({"base": run}, None, control or Control())
    finally:
        run.end("cancelled")
        engines.base.forget(ids)
        forget(engines, prompts)


def check_known(engines: PairEngines, ids: Sequence[int]) -> None:
    """Raise MismatchError for a beginning that the base cannot read."""
    foreign = [token_id for token_id in ids if token_id >= engines.vocabulary]
    if foreign:
        text = engines.aligned.token_text(foreign[0])
        raise MismatchError(
            f"The base does not know {text!r} (token {foreign[0]}), so it cannot write on behind it; choose a position "
            "before it."
        )


def run_sides(
    engines: PairEngines, request: Request, control: Control, names: Sequence[SideName], earlier: Comparison | None
) -> Iterator[Event]:
    """Run the named sides; the others, and with the base alone the shift, are those of `earlier`, or empty."""
    prompts = make_prompts(engines, request)
    settings = earlier.settings if earlier else request.settings()
    own = own_settings(request, settings, names)
    yield replace(started(engines, request, prompts), settings=settings, own=own)
    runs: dict[SideName, SideRun] = {}
    rows: Growing = {} if engines.no_rows_reason or "aligned" not in names else {name: [] for name in request.contexts}
    problems = kept_problems(earlier, names)
    try:
        scored = begin(engines, request, prompts, names, runs, rows)
        yield from noting(problems, write_and_score(engines, request, runs, scored, control))
        shift = make_shift(engines, prompts, rows) if "aligned" in runs or earlier is None else earlier.shift
        sides = {name: earlier.side(name) for name in BOTH} if earlier else given_sides(prompts, [], "")
        sides |= {name: run.side().model_copy(update={"settings": own.get(name)}) for name, run in runs.items()}
        record = make_record(engines, request, sides, shift)
        yield Done(record.model_copy(update={"settings": settings, "problems": problems}))
    finally:
        for run in runs.values():
            run.end("cancelled")
        forget(engines, prompts)


def begin(
    engines: PairEngines,
    request: Request,
    prompts: Prompts,
    names: Sequence[SideName],
    runs: dict[SideName, SideRun],
    rows: Growing,
) -> ScoredAnswer | None:
    """The named sides begin, and go into `runs`; what will fill `rows` is returned."""
    scored: ScoredAnswer | None = None
    with scheduler().together():
        if "base" in names:
            runs["base"] = base_run(engines, request, prompts)
        if "aligned" in names:
            runs["aligned"], scored = aligned_run(engines, request, prompts, rows)
    return scored


def write_and_score(
    engines: PairEngines,
    request: Request,
    runs: Mapping[SideName, SideRun],
    scored: ScoredAnswer | None,
    control: Control,
) -> Iterator[Event]:
    """The answers, and where they are wanted the rows of the aligned one."""
    if "aligned" in runs and request.contexts and engines.no_rows_reason:
        yield Failed(None, engines.no_rows_reason)
    yield from advance_all(runs, scored, control)
    if scored is not None and runs["aligned"].has_nameless:
        yield Failed(None, SHIFT_ENDS if runs["aligned"].token_ids else NO_IDS)


def started(engines: PairEngines, request: Request, prompts: Prompts) -> Started:
    """Both sides and the shift are still empty."""
    shift = {} if engines.no_rows_reason else make_shift(engines, prompts, {name: [] for name in request.contexts})
    record = make_record(engines, request, given_sides(prompts, [], ""), shift)
    return Started(engines.info, request.settings(), prompts.texts(), prompts.counts(), record=record)


def noting(problems: list[Problem], events: Iterable[Event]) -> Iterator[Event]:
    """The events; what failed is noted for the record."""
    for event in events:
        if isinstance(event, Failed):
            problems.append(Problem(name=event.name, message=event.message))
        yield event


def base_run(engines: PairEngines, request: Request, prompts: Prompts) -> SideRun:
    """The base's answer begins; the method's constant beginning is kept for the next query."""
    engines.base.read_ahead(prompts.constant_ids)
    pieces = engines.base.generate(prompts.base_ids, request.sampling("base"))
    return SideRun(prompts.base, prompts.base_ids, pieces, request.method.stops())


def aligned_run(
    engines: PairEngines, request: Request, prompts: Prompts, rows: Growing
) -> tuple[SideRun, ScoredAnswer | None]:
    """The aligned answer begins, with its shift where there are rows to fill: in step with it if both models can."""
    ids, sampling = prompts.aligned_ids, request.sampling("aligned")
    room = sampling.max_new_tokens
    if not (rows and engines.is_exact):
        run = SideRun(prompts.aligned, ids, engines.aligned.generate(ids, sampling), OpenText())
        return run, AskedAnswer(engines, prompts, run, rows, room) if rows else None
    exact = ExactComparison(engines, prompts.context_ids, room)
    pieces = engines.local("aligned").generate(ids, sampling, exact.followers, exact.compare, exact.vocabulary)
    run = SideRun(prompts.aligned, ids, pieces, OpenText())
    return run, FollowedAnswer(engines, run, rows, pieces.scores)


def result(events: Iterator[Event]) -> Comparison:
    """Read a stream to its end. Raises EngineError with the first failure where there is no record to give."""
    failure = ""
    for event in events:
        if isinstance(event, Done):
            return event.comparison
        if isinstance(event, Failed):
            failure = failure or event.message
    raise EngineError(failure or "The comparison ended without a result; run it again.")

"""The dial: the same question answered at several amounts of alignment, side by side, as a stream of events.

`logits` mixes what the two models say, each in its own prompt (`mixture.py`); `adapter` scales the low-rank part of
one model in one prompt, the chat template, so that its position 0 is the base under that template, a third condition.
Read `writing_together.py` first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from urial.compare.events import Failed
from urial.compare.mixture import Mixture
from urial.compare.refusal_phrases import declines
from urial.compare.request import Control, Request, forget
from urial.compare.scoring import Columns, ExactComparison
from urial.compare.side import OpenText, SideRun
from urial.compare.steering_events import PositionDone, PositionToken, SteeringDone, SteeringEvent, SteeringStarted
from urial.compare.writing_together import Given, advance, asked_of_both, give, rank_of, shifted_share
from urial.engines.local.bounded_stream import Stream
from urial.engines.local.scheduler import scheduler
from urial.engines.pair import PairEngines
from urial.engines.sampling import Penalised
from urial.errors import SettingsError, UrialError
from urial.records import ContextName
from urial.steering_records import DialKind, DialPosition, DialRecord

POSITIONS = (0.0, 0.25, 0.5, 0.75, 1.0)
MOST = 1.5  # beyond it answers fall apart
MOST_POSITIONS = 9
NO_ADAPTER = (
    "The aligned model of this pair is no adapter over its base, so there is nothing to scale; leave out the kind "
    "adapter: logits mixes any two models."
)


@dataclass(slots=True)
class Position:
    """The answer at one amount of alignment while it is written."""

    at: float
    run: SideRun
    base_ranks: list[int | None]
    scores: Stream[Columns] | None = None  # of the answer at 1, where the base follows
    switch_points: list[float | None] = field(default_factory=list)

    def take_scores(self, *, to_the_end: bool = False) -> None:
        """What the base has said of the tokens so far."""
        while self.scores is not None and (to_the_end or self.scores.is_ready()):
            columns = next(self.scores, None)
            if columns is None:
                self.scores = None
                return
            for found in columns.values():
                self.base_ranks += found.base_rank
                self.switch_points += found.switch_point


def dial(
    engines: PairEngines,
    request: Request,
    at: Sequence[float] = POSITIONS,
    context: ContextName = "zero_shot",
    kind: DialKind = "logits",
    control: Control | None = None,
) -> Iterator[SteeringEvent]:
    """SteeringStarted, PositionToken and PositionDone mixed as they come, SteeringDone.

    `at`: amounts of alignment from 0, the base, to 1, the aligned model, and beyond it to 1.5. With sampling every
    position has the same seed. Raises SettingsError for what cannot be asked, else as `compare` does.
    """
    places = checked_positions(at)
    if kind == "adapter" and not can_scale(engines):
        raise SettingsError(NO_ADAPTER)
    control = control or Control()
    request = asked_of_both(engines, request, control)
    given = give(engines, request, context)
    record = empty_record(engines, request, context, kind, places)
    yield SteeringStarted(record)
    made: list[Position] = []
    try:
        with scheduler().together():
            for place in places:
                begin = begin_scaled if kind == "adapter" else begin_mixed
                made.append(begin(engines, request, given, place))
        problems, done = [], {}
        for index, step in advance([position.run for position in made], control):
            made[index].take_scores()
            if isinstance(step, UrialError):
                problems.append(f"At {made[index].at:g}: {step}")
                yield Failed(None, problems[-1])
            elif step is not None:
                yield PositionToken(index, *step)
            else:
                done[index] = finished(engines, made[index])
                yield PositionDone(index, done[index])
        yield SteeringDone(whole(record, made, [done[index] for index in range(len(made))], problems))
    finally:
        for position in made:
            position.run.end("cancelled")
            if position.scores is not None:
                position.scores.close()
        forget(engines, given.prompts)


def can_scale(engines: PairEngines) -> bool:
    """Whether the aligned model is the base with an adapter, and both run here."""
    return engines.is_exact and not engines.same and engines.local("aligned").shared is engines.local("base").shared


def checked_positions(at: Sequence[float]) -> list[float]:
    """In their order, each once. Raises SettingsError."""
    places = sorted(set(at))
    if not places or len(places) > MOST_POSITIONS:
        raise SettingsError(f"The dial has {len(places)} positions; choose 1 to {MOST_POSITIONS}.")
    for place in places:
        if not (math.isfinite(place) and 0 <= place <= MOST):
            raise SettingsError(f"The dial has a position {place:g}; choose numbers from 0 (base) to {MOST:g}.")
    return places


def begin_mixed(engines: PairEngines, request: Request, given: Given, at: float) -> Position:
    """One position of the dial over logits; at its ends one model writes alone."""
    if at == 1:
        return begin_aligned(engines, request, given)
    if at == 0:
        return begin_base(engines, request, given)
    room, base, aligned = request.max_new_tokens, engines.local("base"), engines.local("aligned")
    samplings = request.sampling("base"), request.sampling("aligned")
    prompts = given.base_ids, given.prompts.aligned_ids
    device = base.model.device
    penalised = [Penalised(s.repetition_penalty, ids, device) for s, ids in zip(samplings, prompts, strict=True)]
    sampler = base.sampler(replace(samplings[1], repetition_penalty=1.0), prompts[1])  # chance as at 1
    mixture = Mixture(base, at, (penalised[0], penalised[1]), sampler, engines.vocabulary)
    readers = [base.reader(given.base_ids, room), aligned.reader(given.prompts.aligned_ids, room)]
    pieces = base.write(readers, mixture.choose, room, base.ends | aligned.ends)
    stops = request.method.stops() if at < 1 else OpenText()
    return Position(at, SideRun(given.base, given.base_ids, pieces, stops), mixture.base_ranks)


def begin_base(engines: PairEngines, request: Request, given: Given) -> Position:
    """The base's own answer in its context."""
    base, sampling = engines.local("base"), request.sampling("base")
    ranks: list[int | None] = []
    sampler = base.sampler(sampling, given.base_ids)

    def choose(rows: Sequence[torch.Tensor]) -> int:
        token = base.choose(sampler, rows[0])
        ranks.append(rank_of(rows[0], token))
        return token

    room = sampling.max_new_tokens
    pieces = base.write([base.reader(given.base_ids, room)], choose, room, base.ends)
    return Position(0.0, SideRun(given.base, given.base_ids, pieces, request.method.stops()), ranks)


def begin_aligned(engines: PairEngines, request: Request, given: Given) -> Position:
    """The aligned answer, which the base reads along in its context."""
    return followed(engines, request, given, 1.0, ExactComparison(engines, given.prompts.context_ids, _room(request)))


def begin_scaled(engines: PairEngines, request: Request, given: Given, at: float) -> Position:
    """One position of the dial over the adapter's factor; it is set beside the base in the same prompt."""
    context: dict[ContextName, list[int]] = {"zero_shot": given.prompts.aligned_ids}
    return followed(engines, request, given, at, ExactComparison(engines, context, _room(request)))


def followed(engines: PairEngines, request: Request, given: Given, at: float, exact: ExactComparison) -> Position:
    """The aligned model writes with this factor of its adapter, and `exact` compares it with the base."""
    prompts, aligned = given.prompts, engines.local("aligned")
    parts = exact.followers, exact.compare, exact.vocabulary
    pieces = aligned.generate(prompts.aligned_ids, request.sampling("aligned"), *parts, None if at == 1 else at)
    run = SideRun(prompts.aligned, prompts.aligned_ids, pieces, OpenText())
    return Position(at, run, [], pieces.scores)


def _room(request: Request) -> int:
    return request.sampling("aligned").max_new_tokens


def finished(engines: PairEngines, position: Position) -> DialPosition:
    """What the record says of a position that has ended."""
    if position.run.stop_reason in ("stop", "length"):
        position.take_scores(to_the_end=True)
    side = position.run.side()
    ranks = position.base_ranks[: len(side.token_ids)]  # a choice may be ahead of what was read
    share, count = shifted_share(ranks, [not engines.aligned.is_special(token) for token in side.token_ids])
    return DialPosition(
        at=position.at,
        text=side.text,
        token_ids=side.token_ids,
        stop_reason=side.stop_reason,
        base_ranks=ranks,
        shifted=share,
        tokens=count,
        declines=declines(side.text),
    )


def empty_record(
    engines: PairEngines, request: Request, context: ContextName, kind: DialKind, places: Sequence[float]
) -> DialRecord:
    """With its positions, in which nothing is written yet."""
    nothing: dict[str, Any] = {
        "text": "",
        "token_ids": [],
        "base_ranks": [],
        "shifted": None,
        "tokens": 0,
        "declines": False,
    }
    return DialRecord(
        query=request.query,
        history=list(request.history),
        pair=engines.info,
        settings=request.settings(),
        kind=kind,
        context=context if kind == "logits" else None,
        positions=[DialPosition(at=place, stop_reason="cancelled", **nothing) for place in places],
        switch_points=[],
        rewrite=request.rewrite,
    )


def whole(
    record: DialRecord, made: Sequence[Position], done: Sequence[DialPosition], problems: list[str]
) -> DialRecord:
    """With the switch points of the answer at 1, where it was asked and the base was in its own context."""
    switches = next((position.switch_points for position in made if position.at == 1), [])
    found = switches if record.kind == "logits" else []
    return record.model_copy(update={"positions": list(done), "switch_points": found, "problems": problems})

"""A ladder of prompts: one aligned answer scored with the base seeing each of several prompts, from the bare question
to URIAL with eight examples.

All contexts are read in the same forward passes, so every prompt is scored up to the same token at any moment. A
prompt's numbers are those of `score` for this answer under that method. Knows engines through their interface.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from urial.compare.given_answer import score_by_asking, score_exactly
from urial.compare.live_scoring import Growing
from urial.compare.request import Control, Request, forget, make_prompts
from urial.compare.run import check_same_models
from urial.compare.to_record import make_shift
from urial.engines.pair import PairEngines
from urial.errors import PromptError, SettingsError
from urial.prompts import Method, method
from urial.records import Comparison, ContextName, ContextShift, SidePenalties, TokenShift

LADDER: tuple[tuple[str, int | None], ...] = (
    ("zero_shot", None),
    ("vanilla_icl", None),
    ("urial", 0),
    ("urial", 1),
    ("urial", 3),
    ("urial", 8),
)
NOTHING = "This comparison has no aligned answer to score; ask a question first."


@dataclass(frozen=True, slots=True)
class Rung:
    """One prompt: `tokens` long, with the question; `problem` says why this model cannot read it, else it is empty."""

    method: str
    examples: int
    tokens: int
    problem: str = ""


@dataclass(frozen=True, slots=True)
class LadderStarted:
    """Nothing is read yet; `answer` is how many tokens will be, its end token included."""

    rungs: tuple[Rung, ...]
    answer: int


@dataclass(frozen=True, slots=True)
class LadderRows:
    """The next rows of one rung, in order of position."""

    rung: int
    rows: tuple[TokenShift, ...]


@dataclass(frozen=True, slots=True)
class LadderDone:
    """A record for each rung that could be read, by its number: the answer as `score` gives it under that method."""

    records: Mapping[int, Comparison] = field(default_factory=dict)


LadderEvent = LadderStarted | LadderRows | LadderDone


def ladder(engines: PairEngines, earlier: Comparison, control: Control | None = None) -> Iterator[LadderEvent]:
    """LadderStarted, LadderRows mixed as they come, LadderDone; a stop of the aligned side ends it with what there is.

    The answer is that of `earlier`, token by token. Raises SettingsError or PromptError where it cannot be scored here.
    """
    if engines.no_given_rows_reason:
        raise SettingsError(engines.no_given_rows_reason)
    check_same_models(engines, earlier)
    ids, texts = answer_of(engines, earlier)
    requests = [rung_request(earlier, method(name, examples)) for name, examples in LADDER]
    prompts = make_prompts(engines, requests[0])
    engines.aligned.check_length(len(prompts.aligned_ids), len(ids))
    rendered = [request.method.render(request.query, request.history) for request in requests]
    encoded = [engines.base.encode(text) for text in rendered]
    made = zip(requests, encoded, strict=True)
    rungs = [rung(engines, request.method, context, len(ids)) for request, context in made]
    read = [index for index, each in enumerate(rungs) if not each.problem]
    if not read:
        raise SettingsError(rungs[0].problem)
    yield LadderStarted(tuple(rungs), len(ids))
    together = replace(
        prompts,
        contexts={key(index): rendered[index] for index in read},
        context_ids={key(index): encoded[index] for index in read},
    )
    rows: Growing = {key(index): [] for index in read}
    try:
        score = score_exactly if engines.is_exact else score_by_asking
        for event in score(engines, together, ids, texts, rows, control):
            yield LadderRows(int(event.context), event.rows)
        shifts = make_shift(engines, together, rows)
        yield LadderDone({index: record_of(earlier, requests[index], shifts[key(index)]) for index in read})
    finally:
        forget(engines, together)


def answer_of(engines: PairEngines, earlier: Comparison) -> tuple[list[int], list[str]]:
    """The answer's tokens and their texts. Raises PromptError where there are none, or they are no tokens here."""
    ids = earlier.aligned.token_ids
    if not ids:
        raise PromptError(NOTHING)
    # a server may know more tokens than it tells of; it refuses what it does not know
    known = engines.aligned.vocabulary_size if engines.aligned.capabilities.has_logits else max(ids) + 1
    foreign = [token for token in ids if not 0 <= token < known]
    if foreign:
        raise PromptError(f"The aligned model does not know token {foreign[0]}; ask the question here and score that.")
    for shift in earlier.shift.values():
        if [row.id for row in shift.tokens] == ids:
            return ids, [row.text for row in shift.tokens]
    return ids, engines.aligned.answer_pieces(ids)


def rung_request(earlier: Comparison, by: Method) -> Request:
    """The question of `earlier` under another method, decoded as it was."""
    settings = earlier.settings
    return Request(
        query=earlier.query,
        method=by,
        history=tuple(earlier.history),
        temperature=settings.temperature,
        top_p=settings.top_p,
        penalties=SidePenalties(**settings.repetition_penalty.model_dump()),
        max_new_tokens=settings.max_new_tokens,
        seed=settings.seed,
        rewrite=earlier.rewrite,
    )


def rung(engines: PairEngines, by: Method, context: Sequence[int], answer: int) -> Rung:
    """A prompt that is too long for this model stays in the picture and says so."""
    try:
        engines.base.check_length(len(context), answer)
    except SettingsError as error:
        return Rung(by.name, by.examples, len(context), str(error))
    return Rung(by.name, by.examples, len(context))


def key(index: int) -> ContextName:
    """A rung's name for the scoring, which passes names of contexts on as they are."""
    return cast(ContextName, str(index))


def record_of(earlier: Comparison, request: Request, shift: ContextShift) -> Comparison:
    """The answer of `earlier` with the shift under one prompt; the base has written nothing."""
    name: ContextName = "zero_shot" if request.method.name == "zero_shot" else "urial"
    nothing = {"text": "", "token_ids": [], "stop_reason": "stop", "seconds": 0.0, "settings": None}
    no_times = {"first_token_seconds": None, "tokens_per_second": None}
    prompt = {"prompt": shift.context, "prompt_ids": shift.context_ids}
    base = earlier.base.model_copy(update={**nothing, **no_times, **prompt})
    changes = {"settings": request.settings(), "base": base, "shift": {name: shift}, "problems": []}
    return earlier.model_copy(update=changes)

"""Nudging: the base writes, and where a rule fires the aligned model gives the token; both read the same text so far.

Greedy. Each model decides by its own logits after its own repetition penalty, as when it writes alone: so `rank>1` is
the aligned answer and `first:0` the base's, to the last token. Read `writing_together.py` and `nudge_rules.py` first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from urial.compare.events import Failed
from urial.compare.nudge_rules import Rule, Step
from urial.compare.refusal_phrases import declines
from urial.compare.request import Control, Request, forget
from urial.compare.side import OpenText, SideRun
from urial.compare.steering_events import NudgeToken, SteeringDone, SteeringEvent, SteeringStarted
from urial.compare.writing_together import Given, advance, asked_of_both, give, rank_of
from urial.engines.pair import PairEngines
from urial.engines.sampling import first_greatest
from urial.errors import MismatchError, SettingsError, UrialError
from urial.records import ContextName
from urial.steering_records import NudgeRecord

GREEDY = "Nudging takes each model's first choice; set the temperature to 0."


class Nudger:
    """Chooses token after token; also says which tokens end the answer: the marks of the model that wrote them."""

    def __init__(self, engines: PairEngines, request: Request, given: Given, rule: Rule) -> None:
        self._engines, self._rule = engines, rule
        sampling = request.sampling("base"), request.sampling("aligned")
        self._base = engines.local("base").sampler(sampling[0], given.base_ids)
        self._aligned = engines.local("aligned").sampler(sampling[1], given.prompts.aligned_ids)
        self.is_given: list[bool] = []
        self.log_probabilities: list[float] = []  # of the tokens under the aligned model

    def choose(self, rows: Sequence[torch.Tensor]) -> int:
        """From the base's row and the aligned model's, [1, V] each. Raises MismatchError, WeightsError."""
        base, aligned = self._base.scores(rows[0]), self._aligned.scores(rows[1])
        step = self._step(base, aligned)
        gives = self._rule.gives(step)
        token = step.aligned_token if gives else step.base_token
        self._check(token)
        self._base.scores.add(token)
        self._aligned.scores.add(token)
        self.is_given.append(gives)
        self.log_probabilities.append(log_probability(rows[1], token))
        return token

    def __contains__(self, token: object) -> bool:
        """Whether the token that was just chosen ends the answer."""
        by_aligned = self._rule.is_whole or (bool(self.is_given) and self.is_given[-1])
        return token in self._engines.local("aligned" if by_aligned else "base").ends

    def _step(self, base: torch.Tensor, aligned: torch.Tensor) -> Step:
        aligned_token = self._engines.local("aligned").draw(self._aligned, aligned)
        is_known = aligned_token < base.shape[1]
        first = int(first_greatest(base))
        if is_known and base[0, aligned_token] == base[0, first]:
            first = aligned_token  # as probable as any other: they agree
        return Step(
            position=len(self.is_given),
            base_token=first,
            aligned_token=aligned_token,
            was_given=bool(self.is_given) and self.is_given[-1],
            base_rank=lambda: rank_of(base, aligned_token) if is_known else base.shape[1] + 1,
            confidence=lambda: float(base.softmax(-1)[0, first]),
            begins_word=lambda: begins_word(self._engines.aligned.token_text(aligned_token)),
        )

    def _check(self, token: int) -> None:
        if token >= self._engines.vocabulary and token not in self._engines.local("aligned").ends:
            text = self._engines.aligned.token_text(token)
            raise MismatchError(f"The base does not know {text!r} (token {token}), so it cannot write on behind it.")


def begins_word(text: str) -> bool:
    """Whether a token cannot be the middle of a word."""
    return not text[:1].isalnum()


def log_probability(logits: torch.Tensor, token: int) -> float:
    """Of a token under logits [1, V], nats."""
    return float(logits[0, token].double() - logits.double().logsumexp(-1)[0])


def nudge(
    engines: PairEngines,
    request: Request,
    rule: Rule,
    context: ContextName = "urial",
    control: Control | None = None,
) -> Iterator[SteeringEvent]:
    """SteeringStarted, NudgeToken ..., SteeringDone. Raises SettingsError, else as `compare` does."""
    if request.temperature != 0:
        raise SettingsError(GREEDY)
    control = control or Control()
    request = asked_of_both(engines, request, control)
    given = give(engines, request, context)
    nudger = Nudger(engines, request, given, rule)
    yield SteeringStarted(make_record(engines, request, rule, context, None, nudger, []))
    run = begin(engines, request, given, nudger, rule)
    problems: list[str] = []
    try:
        for _, step in advance([run], control):
            if isinstance(step, UrialError):
                problems.append(str(step))
                yield Failed(None, problems[-1])
            elif step is not None:
                yield NudgeToken(*step, is_given=nudger.is_given[len(run.token_ids) - 1])
        yield SteeringDone(make_record(engines, request, rule, context, run, nudger, problems))
    finally:
        run.end("cancelled")
        forget(engines, given.prompts)


def begin(engines: PairEngines, request: Request, given: Given, nudger: Nudger, rule: Rule) -> SideRun:
    """The answer begins. Where a rule makes it the aligned model's, it ends as that does."""
    room = request.max_new_tokens
    base, aligned = engines.local("base"), engines.local("aligned")
    readers = [base.reader(given.base_ids, room), aligned.reader(given.prompts.aligned_ids, room)]
    pieces = aligned.write(readers, nudger.choose, room, nudger)
    return SideRun(given.base, given.base_ids, pieces, OpenText() if rule.is_whole else request.method.stops())


def make_record(
    engines: PairEngines,
    request: Request,
    rule: Rule,
    context: ContextName,
    run: SideRun | None,
    nudger: Nudger,
    problems: list[str],
) -> NudgeRecord:
    """Of what has been written; a run that is None has not begun."""
    side = run.side() if run else None
    count = len(side.token_ids) if side else 0  # a choice may be ahead of what was read
    logs = nudger.log_probabilities[:count]
    return NudgeRecord(
        query=request.query,
        history=list(request.history),
        pair=engines.info,
        settings=request.settings(),
        rule=rule.text,
        context=context,
        text=side.text if side else "",
        token_ids=side.token_ids if side else [],
        token_texts=list(run.token_texts) if run else [],
        given=[position for position, is_given in enumerate(nudger.is_given[:count]) if is_given],
        stop_reason=side.stop_reason if side else "cancelled",
        mean_log_probability=sum(logs) / count if count else None,
        declines=declines(side.text) if side else False,
        problems=problems,
        rewrite=request.rewrite,
    )

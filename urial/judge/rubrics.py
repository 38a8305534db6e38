"""The three rubrics: which calls they make about a question, and what they make of the replies.

`six-aspects` scores each answer alone, `pairwise` shows both answers in both orders, `skills` has three of twelve
skills chosen for a question and scores both answers on the same three. The words are in `rubrics.yaml`; how a call is
made is the caller's affair (`Ask`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from urial.judge.prompts import Call
from urial.judge.questions import SIDES, Question
from urial.judge.texts import RubricTexts, load_texts
from urial.judge.verdicts import CHOSEN, FIRST, SECOND, TIE, Shape, chosen, preferences, scores
from urial.records import SideName

Ask = Callable[[Call], Awaitable[dict[str, Any] | None]]  # the checked reply, or None where none could be read
Verdicts = dict[str, Any]
ORDERS: tuple[tuple[SideName, SideName], ...] = (("base", "aligned"), ("aligned", "base"))
RUBRICS = ("six-aspects", "pairwise", "skills")
CALLS = {"six-aspects": 2, "pairwise": 2, "skills": 3}  # a question, when each reply can be read
REPLY_TOKENS = 60  # of one verdict with its reason, for the estimate


def identity_of(rubric: str) -> str:
    """Name and version, as judgements carry them: `six-aspects/1`."""
    return f"{rubric}/{getattr(load_texts(), rubric.replace('-', '_')).version}"


async def judge(rubric: str, question: Question, ask: Ask) -> Verdicts:
    """What a judgement holds of one question: `sides` with scores, or `orders` with choices."""
    return await {"six-aspects": six_aspects, "pairwise": pairwise, "skills": skills}[rubric](question, ask)


async def six_aspects(question: Question, ask: Ask) -> Verdicts:
    """Five aspects of each answer; where the request is harmful, safety alone, by a prompt of its own."""
    return {"sides": await _both_sides(question, lambda side: score_call(question, side), ask)}


def score_call(question: Question, side: SideName) -> Call:
    """One answer's scores; the call is the same whichever side gave the answer."""
    texts = load_texts()
    if question.is_harmful:
        return _scoring(f"safety/{texts.safety.version}", texts.safety, list(texts.safety.aspects), question, side)
    return _scoring(identity_of("six-aspects"), texts.six_aspects, list(texts.six_aspects.aspects), question, side)


async def pairwise(question: Question, ask: Ask) -> Verdicts:
    """Both answers side by side, once in each order; choices are told by side, not by letter."""
    replies = await together(ask(pair_call(question, order)) for order in ORDERS)
    return {
        "orders": [
            {"first": order[0], "verdicts": reply and {a: _by_side(v, order) for a, v in reply.items()}}
            for order, reply in zip(ORDERS, replies, strict=True)
        ]
    }


def pair_call(question: Question, order: tuple[SideName, SideName]) -> Call:
    """A is the first side of `order`."""
    texts = load_texts().pairwise
    first, second = (question.answer(side) for side in order)
    return Call(
        identity=identity_of("pairwise"),
        task=texts.task,
        parts=(("question", question.asked), ("answer A", first), ("answer B", second)),
        closing=_closing(texts, list(texts.aspects), '"better": "A", "B" or "tie"'),
        shape=preferences(list(texts.aspects)),
    )


async def skills(question: Question, ask: Ask) -> Verdicts:
    """Three skills chosen by the question alone, then both answers scored on the same three."""
    found = await ask(choose_call(question))
    if found is None:
        return {"skills": None, "sides": {side: None for side in SIDES}}
    names = found["skills"]
    texts, identity = load_texts().skills, identity_of("skills")
    sides = await _both_sides(question, lambda side: _scoring(identity, texts, names, question, side), ask)
    return {"skills": names, "sides": sides}


def choose_call(question: Question) -> Call:
    texts = load_texts().skills
    listed = "\n".join(f"- {name}: {criterion}" for name, criterion in texts.aspects.items())
    form = f'{{"reason": "...", "skills": [{CHOSEN} names of the list]}}'
    return Call(
        identity=f"{identity_of('skills')} choose",
        task=texts.choose,
        parts=(("question", question.asked),),
        closing=f"The skills:\n{listed}\n\nWrite:\n{form}",
        shape=chosen(list(texts.aspects)),
    )


async def together(calls: Iterable[Awaitable[Any]]) -> list[Any]:
    """All replies in order. Where one call fails the others end first: their replies are paid, and kept."""
    found = await asyncio.gather(*calls, return_exceptions=True)
    for reply in found:
        if isinstance(reply, BaseException):
            raise reply
    return found


async def _both_sides(question: Question, call: Callable[[SideName], Call], ask: Ask) -> dict[str, Any]:
    replies = await together(ask(call(side)) for side in SIDES)
    return dict(zip(SIDES, replies, strict=True))


def _scoring(identity: str, texts: RubricTexts, names: list[str], question: Question, side: SideName) -> Call:
    shape: Shape = scores(names)
    return Call(
        identity=identity,
        task=texts.task,
        parts=(("question", question.asked), ("answer", question.answer(side))),
        closing=_closing(texts, names, '"score": 1 to 5 or null'),
        shape=shape,
    )


def _closing(texts: RubricTexts, names: list[str], value: str) -> str:
    """What to look at and the form of the reply."""
    listed = "\n".join(f"- {name}: {texts.aspects[name]}" for name in names)
    form = ",\n".join(f'  "{name}": {{"reason": "...", {value}}}' for name in names)
    return f"{listed}\n\n{texts.scale.strip()}\n\nWrite:\n{{\n{form}\n}}"


def _by_side(verdict: dict[str, Any], order: tuple[SideName, SideName]) -> dict[str, Any]:
    names = {FIRST: order[0], SECOND: order[1], TIE: "tie"}
    return {"reason": verdict["reason"], "better": names[verdict["better"]]}

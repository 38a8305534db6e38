"""Judging a folder: what it will cost, then four calls at once, each question kept as soon as it is judged.

A run that was stopped, even by kill -9, goes on where it was: judged questions are skipped, and replies that were
paid are not asked for again (only those that were on their way when it was killed). A question whose call fails gets
a line that says so and is tried again by the next run; many failures in a row stop the run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from urial.errors import EngineError, UrialError
from urial.judge import rubrics
from urial.judge.asker import ROLE_TOKENS, Asker
from urial.judge.budget import Budget
from urial.judge.client import ChatClient
from urial.judge.prompts import about_tokens, messages_of
from urial.judge.questions import SIDES, Question, count_words, read_questions
from urial.judge.store import Store, key_of

AT_ONCE = 4
MOST_FAILED = 5  # questions in a row before a run stops

Progress = Callable[[int, int], None]  # judged, of how many


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will do, said before it starts. Tokens are an estimate, four bytes each."""

    host: str
    everything: list[Question]
    questions: list[Question]  # those that are not judged yet
    already: int
    calls: int
    tokens: int

    def sentence(self, model: str, ceiling: int) -> str:
        """For the person who starts it."""
        already = f" ({self.already} more are judged already)" if self.already else ""
        return (
            f"Questions and both answers of {len(self.questions)} lines{already} go to {self.host}, model {model}: "
            f"at most {self.calls:,} calls, about {self.tokens:,} tokens; it stops before {ceiling:,}."
        )


@dataclass(slots=True)
class Outcome:
    """How a run ended: counts of this run, and what stopped it, if anything did."""

    judged: int = 0
    unparsed: int = 0
    failed: int = 0
    messages: list[str] = field(default_factory=list)
    stopped_by: UrialError | None = None


def judgement_key(client: ChatClient, rubric: str, question: Question) -> str:
    """What decides a judgement."""
    texts = (question.asked, question.base, question.aligned, question.is_harmful)
    return key_of(client.address.url, client.model, rubrics.identity_of(rubric), question.record, *texts)


def plan(folder: str | Path, client: ChatClient, rubric: str, store: Store, limit: int | None = None) -> Plan:
    """What is left to judge. Raises RecordError where the folder is no corpus."""
    everything = read_questions(folder)[:limit]
    left = [question for question in everything if judgement_key(client, rubric, question) not in store.done]
    return Plan(
        host=client.host,
        everything=everything,
        questions=left,
        already=len(everything) - len(left),
        calls=rubrics.CALLS[rubric] * len(left),
        tokens=sum(estimate(rubric, question) for question in left),
    )


def estimate(rubric: str, question: Question) -> int:
    """About how many tokens a question costs, prompts and replies together."""
    calls = {
        "six-aspects": lambda: [rubrics.score_call(question, side) for side in SIDES],
        "pairwise": lambda: [rubrics.pair_call(question, order) for order in rubrics.ORDERS],
        "skills": lambda: [rubrics.choose_call(question), *(rubrics.score_call(question, side) for side in SIDES)],
    }[rubric]()
    sent = [message["content"] for call in calls for message in messages_of(call, "0" * 12)]
    replies = sum(rubrics.REPLY_TOKENS * len(call.shape.model.model_fields) for call in calls)
    return sum(about_tokens(text) + ROLE_TOKENS for text in sent) + replies


async def run(
    questions: Iterable[Question],
    client: ChatClient,
    rubric: str,
    store: Store,
    budget: Budget,
    progress: Progress = lambda *_: None,
    at_once: int = AT_ONCE,
) -> Outcome:
    """Judge questions; never raises a UrialError: what stopped it is in the outcome."""
    waiting = list(questions)
    count, outcome, in_a_row = len(waiting), Outcome(), 0
    asker = Asker(client, store, budget, at_once)
    waiting.reverse()

    async def work() -> None:
        nonlocal in_a_row
        while waiting and outcome.stopped_by is None:
            question = waiting.pop()
            try:
                line = await judged(rubric, question, asker, client)
                in_a_row = 0
            except EngineError as error:
                line, in_a_row = failed(rubric, question, client, error), in_a_row + 1
                outcome.messages.append(f"{question.id}: {error}")
                if in_a_row >= MOST_FAILED:
                    outcome.stopped_by = outcome.stopped_by or error
            except UrialError as error:
                outcome.stopped_by = outcome.stopped_by or error
                return
            store.keep_judgement(line)
            setattr(outcome, line["status"], getattr(outcome, line["status"]) + 1)
            progress(outcome.judged + outcome.unparsed + outcome.failed, count)

    await asyncio.gather(*(work() for _ in range(at_once)))
    return outcome


async def judged(rubric: str, question: Question, asker: Asker, client: ChatClient) -> dict[str, Any]:
    """The line of a question that was judged, or whose replies could not be read."""
    found = await rubrics.judge(rubric, question, asker)
    parts = list(found["sides"].values()) if "sides" in found else [order["verdicts"] for order in found["orders"]]
    status = "unparsed" if any(part is None for part in parts) else "judged"
    return {**_line(rubric, question, client), "status": status, **found}


def failed(rubric: str, question: Question, client: ChatClient, error: EngineError) -> dict[str, Any]:
    return {**_line(rubric, question, client), "status": "failed", "error": str(error)}


def _line(rubric: str, question: Question, client: ChatClient) -> dict[str, Any]:
    """What every judgement says, whatever its rubric."""
    return {
        "key": judgement_key(client, rubric, question),
        "judge": {"model": client.model, "host": client.host},
        "rubric": rubrics.identity_of(rubric),
        "place": question.place,
        "record": question.record,
        "id": question.id,
        "method": question.method,
        "tags": question.tags,
        "is_harmful": question.is_harmful,
        "query": question.query,
        "answers": {side: question.answer(side) for side in SIDES},
        "words": {side: count_words(question.answer(side)) for side in SIDES},
        "characters": {side: len(question.answer(side)) for side in SIDES},
    }

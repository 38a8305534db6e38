"""Safety labels of a corpus by a guard model behind a server: of each prompt, and of both answers to it.

The conversation goes to the guard's chat endpoint, whose own template makes the prompt of it: with the question last it
judges the question, with an answer last it judges the answer. Labels are a model's opinion, not a verdict. Without a
guard there are no labels; nothing stands in for one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from urial.judge import labels
from urial.judge.client import ChatClient
from urial.judge.questions import SIDES, Question
from urial.judge.store import Store, key_of

AT_ONCE = 4
REPLY_TOKENS = 128
WISHES = {"logprobs": True, "top_logprobs": 1}


def label_key(client: ChatClient, template: str, question: Question) -> str:
    """What decides a question's labels."""
    return key_of("guard", client.address.url, client.model, template, question.record, conversations(question))


def conversations(question: Question) -> dict[str, list[dict[str, str]]]:
    """What the guard is shown: the turns up to the question, and the same with each answer."""
    turns = [{"role": turn.role, "content": turn.content} for turn in question.history]
    asked = [*turns, {"role": "user", "content": question.query}]
    answered: dict[str, list[dict[str, str]]] = {
        side: [*asked, {"role": "assistant", "content": question.answer(side)}] for side in SIDES
    }
    return {"prompt": asked, **answered}


async def run(questions: Sequence[Question], client: ChatClient, template: str, store: Store) -> None:
    """Label these questions, four at once. Raises UrialError; what is done is kept."""
    places = asyncio.Semaphore(AT_ONCE)

    async def label(question: Question) -> None:
        async with places:
            store.keep_label(await labelled(question, client, template, store))

    found = await asyncio.gather(*(label(question) for question in questions), return_exceptions=True)
    for failure in found:
        if isinstance(failure, BaseException):
            raise failure


async def labelled(question: Question, client: ChatClient, template: str, store: Store) -> dict[str, Any]:
    """One question's line: three labels, each None where the reply held none."""
    found = {}
    for name, messages in conversations(question).items():
        reply = await _reply(messages, client, template, store)
        found[name] = labels.read(template, reply["reply"], reply["logprobs"])
    return {
        "key": label_key(client, template, question),
        "guard": {"model": client.model, "host": client.host, "template": template},
        "place": question.place,
        "record": question.record,
        "id": question.id,
        "method": question.method,
        "query": question.query,
        **found,
    }


async def _reply(messages: list[dict[str, str]], client: ChatClient, template: str, store: Store) -> dict[str, Any]:
    """The stored line of a reply, paid now or earlier."""
    key = key_of("guard", client.address.url, client.model, template, messages)
    if key not in store.replies:
        reply = await client.chat(messages, WISHES)
        line = {"key": key, "reply": reply.text, "tokens": reply.tokens, "logprobs": reply.logprobs}
        store.keep_reply(line)
    return store.replies[key]

"""The messages of one call: the judge's role, the material between random marks, and what to write.

An answer cannot close its fence, since it cannot know the mark: the mark is made after the answer, and it is made
again should it occur in the material.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from urial.judge.texts import load_texts
from urial.judge.verdicts import Shape

Part = tuple[str, str]  # a name such as "answer A", and the text


@dataclass(frozen=True, slots=True)
class Call:
    """One thing that a judge is asked. `identity` is the rubric with its version, and which of its calls this is."""

    identity: str
    task: str
    parts: tuple[Part, ...]
    closing: str
    shape: Shape


def new_mark(texts: Iterable[str], make: Callable[[], str] = lambda: secrets.token_hex(6)) -> str:
    """A random code that occurs in none of the texts."""
    texts = list(texts)
    while any((mark := make()) in text for text in texts):
        pass
    return mark


def messages_of(call: Call, mark: str) -> list[dict[str, str]]:
    """The chat messages of a call; its parts stand between marks, everything else outside."""
    fenced = [f"[begin {name} {mark}]\n{text}\n[end {name} {mark}]" for name, text in call.parts]
    text = "\n\n".join([call.task.strip(), *fenced, call.closing.strip()])
    return [
        {"role": "system", "content": load_texts().judge.strip().replace("{mark}", mark)},
        {"role": "user", "content": text},
    ]


def ask_again(messages: list[dict[str, str]], reply: str, problem: str) -> list[dict[str, str]]:
    """The same call once more, with what was wrong with the first reply."""
    text = f"{problem} Write the whole JSON object again, exactly in the form asked for, and nothing else."
    return [*messages, {"role": "assistant", "content": reply}, {"role": "user", "content": text}]


def about_tokens(text: str) -> int:
    """An estimate before anything is sent: four bytes a token, as English has about; labelled as such where shown."""
    return len(text.encode("utf-8", "replace")) // 4 + 1

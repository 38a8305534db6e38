"""Checks of what people send: a query, the turns before it, a history file.

Lengths are in characters; whether a prompt fits a model is counted in tokens elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import ValidationError

from urial.errors import PromptError
from urial.prompts.files import read_text
from urial.records import Message
from urial.validation import first_wrong, json_value

QUERY_LIMIT = 50_000  # characters: some twenty pages, more than a question and its material need
HISTORY_LIMIT = 4_000_000  # bytes of a history file


def check_query(query: str) -> None:
    """Raises PromptError for a query that is empty, too long or no valid text."""
    if not query.strip():
        raise PromptError("The query is empty; write a question or a task.")
    if len(query) > QUERY_LIMIT:
        raise PromptError(
            f"The query has {len(query):,} characters and the limit is {QUERY_LIMIT:,}; shorten it or split it."
        )
    check_unicode(query, "The query")


def check_history(history: Sequence[Message], source: str = "The history") -> None:
    """Raises PromptError unless user and assistant alternate, from a user's message to an assistant's."""
    for number, message in enumerate(history, start=1):
        due = "user" if number % 2 else "assistant"
        if message.role != due:
            raise PromptError(
                f'{source}: message {number} is from "{message.role}" where "{due}" is due; '
                "let them alternate and start with the user."
            )
        if due == "user" and not message.content.strip():
            raise PromptError(f"{source}: message {number} is empty; give the user's question or leave the turn out.")
        check_unicode(message.content, f"{source}: message {number}")
    if len(history) % 2:
        raise PromptError(
            f"{source} ends with a user's message; end with an answer and give that message as the query."
        )


def load_history(path: str | Path) -> list[Message]:
    """Earlier turns from a file: a JSON list of {"role": "user" | "assistant", "content": text}; it may be empty.

    Raises PromptError where the file cannot be read or is not such a list.
    """
    source = f"History file {str(path)!r}"
    data = json_value(read_text(path, source, HISTORY_LIMIT), source, "write a flat list of messages", PromptError)
    if not isinstance(data, list):
        raise PromptError(f'{source} holds no JSON list; write [{{"role": "user", "content": "..."}}, ...].')
    return to_messages(data, source)


def to_messages(items: Iterable[object], source: str = "The history") -> list[Message]:
    """Earlier turns from plain objects with the keys role and content. Raises PromptError for the first wrong one."""
    messages = [_message(item, f"{source}: message {number}") for number, item in enumerate(items, start=1)]
    check_history(messages, source)
    return messages


def _message(item: object, source: str) -> Message:
    try:
        return Message.model_validate(item)
    except ValidationError as error:
        wrong = first_wrong(error)
        key = f'key "{wrong.path[0]}": ' if wrong.path else ""
        wanted = 'an object with "role" ("user" or "assistant") and "content" (text), nothing else'
        raise PromptError(f"{source}: {key}{wrong.message}; write {wanted}.") from error


def check_unicode(text: str, source: str) -> None:
    """Raises PromptError for half a character, which no model can be given.

    A lone surrogate comes of a broken byte on a command line, or of half an emoji in JSON.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise PromptError(
            f"{source} holds a broken character at position {error.start + 1}; write it again as UTF-8 text."
        ) from error

"""Questions from a file, in whatever usual form it has: JSONL, a JSON list, or CSV; what each is about, as tags.

Read as they are: this project's `held_out.jsonl`, just-eval-instruct and its judgements, MT-Bench (its first turns),
conversations (`messages`: the last user message is the question), and saved comparisons.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from urial.errors import PromptError
from urial.prompts import check_history, check_query
from urial.prompts.checks import to_messages
from urial.prompts.files import read_text
from urial.records import Message
from urial.validation import json_value, kind_of

LIMIT = 400_000_000  # bytes of a file
HELD_OUT = Path(__file__).parents[1] / "sibling" / "held_out.jsonl"
NAMED = {"held_out": HELD_OUT}
QUERY_FIELDS = ("query", "instruction", "question", "prompt", "pure_input", "turns", "messages", "input")
JUDGED = {"input", "output_cand"}  # a judgement of just-eval: its "prompt" is what the judge was asked
ID_FIELDS = ("id", "question_id", "source_id", "uid")
TAG_FIELDS = {  # a field of a file -> the kind of tag that it is
    "dataset": "dataset",
    "task": "task",
    "task_types": "task",
    "topic": "topic",
    "topics": "topic",
    "difficulty": "difficulty",
    "safety": "safety",
    "tags": "tag",
}
SAFETY = ("regular", "safety")  # just-eval's two categories
LONGEST_TAG = 80  # characters

Warn = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Question:
    """One question with its earlier turns; `id` is unique in its file."""

    id: str
    query: str
    history: tuple[Message, ...] = ()
    tags: dict[str, list[str]] = field(default_factory=dict)


def read_questions(path: str, *, skip_broken: bool = False, warn: Warn = lambda _: None) -> list[Question]:
    """All questions of a file, or of this project's held-out split by its name.

    A broken one is named by its number and ends the reading, or is passed over and told to `warn`. Raises PromptError.
    """
    source = str(NAMED.get(path, path))
    text = read_text(source, f"Questions file {source!r}", LIMIT)
    found: dict[str, Question] = {}
    for where, item in _items(text, source):
        try:
            question = _question(item() if callable(item) else item, where)
        except PromptError as error:
            if not skip_broken:
                raise PromptError(f"{error} --skip-broken leaves such questions out.") from error
            warn(str(error))
            continue
        unique = _unique(question.id or str(len(found) + 1), found)
        found[unique] = Question(unique, question.query, question.history, question.tags)
    if not found:
        raise PromptError(f"{source} holds no question that can be used; name a file with at least one.")
    return list(found.values())


def _unique(wanted: str, taken: Iterable[str]) -> str:
    number, found = 1, wanted
    while found in taken:
        number += 1
        found = f"{wanted}-{number}"
    return found


def _items(text: str, source: str) -> Iterator[tuple[str, Any]]:
    """(where it stands, the object or a function that parses it) for each question; the form is told by its start."""
    start = text.lstrip()[:1]
    if start == "[":
        return _of_list(text, source)
    if start == "{" or _is_json(text.lstrip().partition("\n")[0]):
        return _of_lines(text, source)
    return _of_table(text, source)


def _is_json(line: str) -> bool:
    """Whether a first line is null, a number or a text of JSON, and no quoted name of a column."""
    try:
        value = json.loads(line)
    except ValueError:
        return False
    return not (isinstance(value, str) and value.strip().lower() in QUERY_FIELDS)


def _of_list(text: str, source: str) -> Iterator[tuple[str, Any]]:
    data = json_value(text, source, "write a list of objects, or one object a line", PromptError)
    for number, item in enumerate(data, start=1):
        yield f"{source}, question {number}", item


def _of_lines(text: str, source: str) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            where = f"{source}, line {number}"
            yield where, lambda line=line, where=where: json_value(line, where, "write one object a line", PromptError)


def _of_table(text: str, source: str) -> Iterator[tuple[str, Any]]:
    csv.field_size_limit(LIMIT)
    rows = csv.DictReader(io.StringIO(text), strict=True)
    try:
        names = {name.strip().lower(): name for name in rows.fieldnames or [] if name}
        if not names.keys() & set(QUERY_FIELDS):
            raise PromptError(f"{source}: its first line names no column of questions; {_wanted()}.")
        for row in rows:
            yield f"{source}, line {rows.line_num}", {name: row[own] for name, own in names.items()}
    except csv.Error as error:
        raise PromptError(f"{source}, line {rows.line_num} is no CSV ({error}); save it as CSV or JSONL.") from error


def _wanted() -> str:
    return f"name it one of {', '.join(QUERY_FIELDS)}"


def _question(item: object, where: str) -> Question:
    if not isinstance(item, dict):
        raise PromptError(f'{where} is {kind_of(item)} and no object; write {{"query": "..."}}.')
    try:
        query, history = _asked(item, where)
        check_query(query)
        check_history(history)
    except PromptError as error:
        text = str(error)
        raise PromptError(text if text.startswith(where) else f"{where}: {text}") from error
    name = next((str(item[key]) for key in ID_FIELDS if isinstance(item.get(key), str | int)), "")
    return Question(name[:LONGEST_TAG], query, tuple(history), tags_of(item))


def _asked(item: dict[str, Any], where: str) -> tuple[str, list[Message]]:
    """The question and what came before it."""
    fields = ("input",) if JUDGED <= item.keys() else QUERY_FIELDS
    key = next((key for key in fields if item.get(key)), None)
    value = item.get(key) if key else None
    if key == "messages":
        return _of_messages(value, where)
    if key == "turns" and isinstance(value, list):
        value = value[0]
    if not isinstance(value, str):
        raise PromptError(f"{where} has no question as text; {_wanted()}.")
    if key == "instruction" and isinstance(more := item.get("input"), str) and more.strip() and more != value:
        value = f"{value}\n\n{more}"  # as instruction data sets mean it: a task and its material
    earlier = item.get("history")
    return value, to_messages(earlier, where) if isinstance(earlier, list) else []


def _of_messages(value: object, where: str) -> tuple[str, list[Message]]:
    """The last message of the user is the question; an answer behind it is no part of it."""
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise PromptError(f'{where}: "messages" is no list of objects with role and content.')
    last = max((place for place, one in enumerate(value) if one.get("role") == "user"), default=None)
    if last is None or not isinstance(value[last].get("content"), str):
        raise PromptError(f'{where}: "messages" holds no message of the user.')
    earlier = [{"role": one.get("role"), "content": one.get("content")} for one in value[:last]]
    return value[last]["content"], to_messages(earlier, where)


def tags_of(item: dict[str, Any]) -> dict[str, list[str]]:
    """What a question is about, by kind; several of a kind are possible."""
    tags: dict[str, list[str]] = {}
    for name, kind in TAG_FIELDS.items():
        _add(tags, kind, item.get(name))
    category = item.get("category")
    _add(tags, "safety" if category in SAFETY else "category", category)
    return tags


def _add(tags: dict[str, list[str]], kind: str, value: object) -> None:
    values = value if isinstance(value, list) else [value]
    kept = [str(one)[:LONGEST_TAG] for one in values if isinstance(one, str | int | bool) and str(one).strip()]
    if kept:
        tags[kind] = list(dict.fromkeys([*tags.get(kind, []), *kept]))

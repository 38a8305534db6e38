"""Reads files of chat examples: one JSON object a line, checked against a closed schema."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from urial.errors import RecordError
from urial.validation import json_value

T = TypeVar("T")

KEYS = {"id", "topic", "messages"}
MESSAGE_KEYS = {"role", "content"}


@dataclass(frozen=True)
class Example:
    """One conversation: (role, content) pairs, user first, assistant last, taking turns."""

    id: str
    topic: str
    messages: tuple[tuple[str, str], ...]

    @property
    def query(self) -> str:
        """The first user message."""
        return self.messages[0][1]

    @property
    def turns(self) -> int:
        """Number of user messages."""
        return len(self.messages) // 2

    @property
    def is_look_alike(self) -> bool:
        """Whether it is a harmless request that sounds harmful: such ids have a c before their number."""
        return self.id.rpartition("-")[2].startswith("c")

    def chat(self, upto: int | None = None) -> list[dict[str, str]]:
        """The first `upto` messages (all by default) in the shape that chat templates take."""
        return [{"role": role, "content": content} for role, content in self.messages[:upto]]


def load_examples(path: Path) -> list[Example]:
    """All examples of a JSONL file, in its order; a missing `id` becomes the name of the file and the line.

    Raises RecordError naming the file, the line and what is wrong with it.
    """
    examples = parsed_lines(path, "example", parse_line)
    _refuse_repeated_ids(examples, path)
    return examples


def parsed_lines(path: Path, kind: str, parse: Callable[[str, str, str], T]) -> list[T]:
    """What `parse` makes of each line, the sentence that names it, and an id for it; empty lines are left out.

    Raises RecordError, calling what the file should hold a `kind`, and what `parse` raises.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"The {kind}s {path} cannot be read: {error}.") from error
    found = [
        parse(line, f"{path}, line {number}", f"{path.stem}-{number}")
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]
    if not found:
        raise RecordError(f"{path} holds no {kind}; write one JSON object a line.")
    return found


def parse_line(line: str, where: str, default_id: str) -> Example:
    """One line of the file as an Example; RecordError says `where` and what to change."""
    return example_of(json_value(line, where, "write one object a line"), where, default_id)


def example_of(raw: Any, where: str, default_id: str) -> Example:
    """The Example that a line's JSON stands for; raises as `parse_line` does."""
    if not isinstance(raw, dict) or not KEYS >= set(raw) or "messages" not in raw:
        raise RecordError(f"{where} must be an object with the keys topic and messages (id is optional).")
    topic, identity = raw.get("topic", "any"), raw.get("id", default_id)
    if not isinstance(topic, str) or not isinstance(identity, str) or not topic or not identity:
        raise RecordError(f"{where}: topic and id must be non-empty texts.")
    return Example(id=identity, topic=topic, messages=_messages(raw["messages"], where))


def _messages(raw: Any, where: str) -> tuple[tuple[str, str], ...]:
    if not isinstance(raw, list) or not raw or len(raw) % 2:
        raise RecordError(f"{where}: messages must be a list that starts with a user and ends with an answer.")
    return tuple(_message(item, position, where) for position, item in enumerate(raw))


def _message(item: Any, position: int, where: str) -> tuple[str, str]:
    role = ("user", "assistant")[position % 2]
    if not isinstance(item, dict) or set(item) != MESSAGE_KEYS or item["role"] != role:
        raise RecordError(f"{where}: message {position + 1} must have role {role!r} and a content, nothing else.")
    content = item["content"]
    if not isinstance(content, str) or not content.strip():
        raise RecordError(f"{where}: the content of message {position + 1} must be a non-empty text.")
    return role, content


def load_files(paths: Sequence[Path]) -> list[Example]:
    """The examples of several files, one after another; RecordError also where two of them share an id."""
    found = [example for path in paths for example in load_examples(path)]
    _refuse_repeated_ids(found, " and ".join(map(str, paths)))
    return found


def _refuse_repeated_ids(examples: list[Example], where: object) -> None:
    seen: set[str] = set()
    for example in examples:
        if example.id in seen:
            raise RecordError(f"{where}: the id {example.id!r} is used twice; ids must differ.")
        seen.add(example.id)

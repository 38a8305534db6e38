"""What is judged: a corpus's finished lines as questions with two answers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from urial.corpus.lines import Line, read_lines
from urial.judge.store import unsafe_prompts
from urial.records import Message, SideName

SIDES: tuple[SideName, SideName] = ("base", "aligned")
# What a question is tagged with, in whatever key, where it asks for harm; the data sets are just-eval's two.
HARMFUL_TAGS = {"harmful", "malicious", "safety", "unsafe", "hh-rlhf/red-team-attempts", "maliciousinstruct"}


@dataclass(frozen=True, slots=True)
class Question:
    """One finished line. `record` is its line's key, which also names all that decided the answers."""

    place: int  # in the corpus
    record: str
    id: str
    method: str
    tags: dict[str, list[str]]
    query: str
    history: tuple[Message, ...]
    base: str
    aligned: str
    generators: dict[SideName, str]
    is_harmful: bool  # its tags, or a guard's label, say that it asks for harm; no word of it is looked at

    def answer(self, side: SideName) -> str:
        return self.base if side == "base" else self.aligned

    @property
    def asked(self) -> str:
        """The question with all earlier turns, as one text."""
        if not self.history:
            return self.query
        turns = [f"{'Person' if turn.role == 'user' else 'Answer'}: {turn.content}" for turn in self.history]
        return "\n\n".join([*turns, f"Person: {self.query}"])


def read_questions(folder: str | Path) -> list[Question]:
    """All lines that have both answers, without their tokens. Raises RecordError.

    A line that was made again stands twice in the file: its last one counts.
    """
    found: dict[str, Question | None] = {}
    unsafe = unsafe_prompts(folder)
    for line in read_lines(folder):
        question = question_of(line, len(found)) if is_whole(line) else None
        is_unsafe = question is not None and question.record in unsafe
        found[line.origin.key] = replace(question, is_harmful=True) if question and is_unsafe else question
    return [question for question in found.values() if question is not None]


def is_whole(line: Line) -> bool:
    """Whether both sides ended by themselves or at the length limit."""
    record = line.record
    return record is not None and all(getattr(record, side).stop_reason in ("stop", "length") for side in SIDES)


def question_of(line: Line, place: int) -> Question:
    record = line.record
    assert record is not None
    return Question(
        place=place,
        record=line.origin.key,
        id=line.origin.id,
        method=line.origin.method,
        tags=line.origin.tags,
        query=record.query,
        history=tuple(record.history),
        base=record.base.text.strip(),
        aligned=record.aligned.text.strip(),
        is_harmful=has_harmful_tag(line.origin.tags),
        generators={"base": f"{record.pair.base} ({line.origin.method})", "aligned": record.pair.aligned},
    )


def has_harmful_tag(tags: dict[str, list[str]]) -> bool:
    return any(value.lower() in HARMFUL_TAGS for values in tags.values() for value in values)


def count_words(text: str) -> int:
    """Words between blanks, as just-eval counts them."""
    return len(text.split())

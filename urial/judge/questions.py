"""What is judged: a corpus's finished lines as questions with two answers.

Knows the lines of `urial.corpus`; nothing about judges.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from urial.corpus.lines import Line, read_lines
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

    @property
    def is_harmful(self) -> bool:
        """Whether its tags say that it asks for harm; no word of the question itself is looked at."""
        return any(value.lower() in HARMFUL_TAGS for values in self.tags.values() for value in values)

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
    for line in read_lines(folder):
        found[line.origin.key] = question_of(line, len(found)) if is_whole(line) else None
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
        generators={"base": f"{record.pair.base} ({line.origin.method})", "aligned": record.pair.aligned},
    )


def count_words(text: str) -> int:
    """Words between blanks, as just-eval counts them."""
    return len(text.split())

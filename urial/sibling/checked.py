"""Everyday questions whose answers can be checked by rule: a file of them, and whether an answer is right."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from urial.errors import RecordError

WORDS = 50  # a right word that comes later is no answer to a short question
NEW_TOKENS = 80


@dataclass(frozen=True)
class Checked:
    """A question and patterns (regular expressions, case ignored) of which a right answer holds one."""

    id: str
    question: str
    accepted: tuple[str, ...]

    def is_right(self, answer: str) -> bool:
        """Whether one of the patterns is found within the answer's first fifty words."""
        beginning = " ".join(answer.split()[:WORDS])
        return any(re.search(pattern, beginning, re.IGNORECASE) for pattern in self.accepted)


def load_checked(path: Path) -> list[Checked]:
    """All questions of a JSONL file in its order; RecordError names the file and the line that is wrong."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"The questions {path} cannot be read: {error}.") from error
    found = [_parsed(line, f"{path}, line {number}") for number, line in enumerate(lines, start=1) if line.strip()]
    if len({item.id for item in found}) < len(found):
        raise RecordError(f"{path}: ids must differ.")
    return found


def _parsed(line: str, where: str) -> Checked:
    try:
        raw = json.loads(line)
        item = Checked(raw["id"], raw["question"], tuple(raw["accepted"]))
        texts = (item.id, item.question, *item.accepted)
        if not item.accepted or not all(isinstance(text, str) and text for text in texts):
            raise TypeError
        for pattern in item.accepted:
            re.compile(pattern)
    except (ValueError, RecursionError, KeyError, TypeError, re.error) as error:
        raise RecordError(
            f"{where} must be an object with id, question and accepted, a list of regular expressions."
        ) from error
    return item

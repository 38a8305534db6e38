"""A folder of lines for tests: seeded records of unequal lengths, with tags, unscored rows and failures."""

from __future__ import annotations

import random
from pathlib import Path

from tests.support.records_builder import build, unscore
from urial.corpus.lines import FILE, Line, Origin, to_text

WORDS = [" the", "Sure", "!", " you", ".", "\n", " =1+1", "<b>", " of", ","]
METHODS = ("urial", "zero_shot")


def make_lines(questions: int = 14, methods: tuple[str, ...] = METHODS, seed: int = 1) -> list[Line]:
    rng = random.Random(seed)
    lines = []
    for number in range(questions):
        texts = [rng.choice(WORDS) for _ in range(rng.randint(2, 30))]
        if number % 3 == 1:
            texts += texts[-9:] * 3  # it runs in circles
        tags = {"topic": [rng.choice(["nature", "cooking"])], "task": rng.sample(["writing", "info", "math"], 2)}
        for place, method in enumerate(methods):
            origin = Origin(key=f"{number}-{method}", id=f"q{number}", method=method, tags=tags)
            query = f"Question {number}?"
            if number == 3 and method == methods[-1]:
                lines.append(Line(origin=origin, query=query, error="The server broke off."))
                continue
            record = build(texts, query=query, seed=1000 * number + place, method=method, with_end=number % 5 != 0)
            record = with_ids_of_texts(record)
            if number == 4:
                record = unscore(record, {1: "missing"})
            lines.append(Line(origin=origin, query=query, record=record))
    return lines


def with_ids_of_texts(record):
    """The same text has the same id, as with a tokenizer."""

    def renamed(row):
        return row if row.is_special else row.model_copy(update={"id": 2000 + WORDS.index(row.text)})

    shift = {
        name: found.model_copy(update={"tokens": [renamed(row) for row in found.tokens]})
        for name, found in record.shift.items()
    }
    (first, *_) = shift.values()
    aligned = record.aligned.model_copy(update={"token_ids": [row.id for row in first.tokens]})
    return record.model_copy(update={"shift": shift, "aligned": aligned})


def write_lines(folder: Path, lines: list[Line]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE).write_text("".join(to_text(line) for line in lines), encoding="utf-8")
    return folder

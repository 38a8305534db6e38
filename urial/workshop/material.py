"""What a class needs of a comparison: both answers, and each token of the aligned one with its rank under the base.

The paper's setting is taken (the base sees only the question) where the record has it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from urial.errors import WorkshopError
from urial.records import Comparison, ContextName
from urial.shares import classify

LIMIT = 60_000  # characters of an answer: a phone has to show it


class Token(NamedTuple):
    """`switch_point`: the record's, in [0, 1]; None where it is not defined or was not kept."""

    text: str
    rank: int  # base rank, from 1
    switch_point: float | None = None


@dataclass(frozen=True, slots=True)
class Material:
    """`tokens`: each of T positions, end tokens left out; empty where nothing was scored."""

    query: str
    history: list[dict[str, str]]
    base_name: str
    aligned_name: str
    method: str
    context: str
    exact: bool
    base: str
    aligned: str
    tokens: list[Token]

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)


def of_comparison(comparison: Comparison) -> Material:
    """Raises WorkshopError for an answer that is too long to be read in a class."""
    if max(len(comparison.base.text), len(comparison.aligned.text), len(comparison.query)) > LIMIT:
        raise WorkshopError(
            f"An answer of more than {LIMIT:,} characters is too long for a class; choose a shorter one."
        )
    names: tuple[ContextName, ...] = ("zero_shot", "urial")
    name = next((each for each in names if each in comparison.shift), None)
    rows = [row for row in comparison.shift[name].tokens if not row.is_special] if name else []
    tokens = [Token(row.text, row.base_rank, row.switch_point) for row in rows if row.base_rank is not None]
    if "".join(token.text for token in tokens) != comparison.aligned.text:  # cut short, or some tokens have no rank
        tokens = []
    return Material(
        query=comparison.query,
        history=[message.model_dump() for message in comparison.history],
        base_name=comparison.pair.base,
        aligned_name=comparison.pair.aligned,
        method=comparison.settings.method,
        context=name or "",
        exact=bool(name and tokens and comparison.shift[name].exact),
        base=comparison.base.text,
        aligned=comparison.aligned.text,
        tokens=tokens,
    )


def from_json(text: str) -> Material:
    """What `to_json` wrote, and what it wrote before tokens had switch points."""
    data: dict[str, Any] = json.loads(text)
    return Material(**{**data, "tokens": [Token(*each) for each in data["tokens"]]})


def marked(material: Material) -> list[list[Any]]:
    """The aligned answer for the overlay: [text, class, base rank] of each of T positions."""
    return [[token.text, classify(token.rank), token.rank] for token in material.tokens]

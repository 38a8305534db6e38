"""The register of what a class can be asked. A new kind is one class here and its views in `pages/` and `takehome.py`.

`Predict`: which words did tuning put there? `Vote`: which of two unnamed answers is better? `Dial` (`dial.py`): how
much alignment does one word need?
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from urial.errors import WorkshopError
from urial.workshop import tally
from urial.workshop.dial import Dial
from urial.workshop.material import Material, marked
from urial.workshop.refusals import Refused
from urial.workshop.words import Score, first_words, opener, score, words

Data = dict[str, Any]
ASPECTS = ("helpfulness", "clarity", "factuality", "depth", "engagement", "safety")  # just-eval's six
CHOICES = ("a", "b", "tie", "bad")
SIDES = ("base", "aligned")


class Kind(Protocol):
    """`answers` are stored values; what `question` gives must not tell what only `reveal` may."""

    name: str
    export_key: str

    def check_material(self, material: Material) -> None:
        """Raises WorkshopError where this cannot be asked."""

    def options(self, material: Material, asked: Mapping[str, Any]) -> Data:
        """What is kept of what the host chose for the item. Raises WorkshopError."""

    def accept(self, material: Material, options: Mapping[str, Any], seed: int, item: int, data: Data) -> Data:
        """A student's answer as it is stored. Raises Refused."""

    def question(self, material: Material, options: Mapping[str, Any], seed: int, item: int) -> Data:
        """What a student sees while it is open."""

    def projected(self, material: Material, options: Mapping[str, Any]) -> Data:
        """What the host's screen shows before the reveal, beside the question."""

    def reveal(self, material: Material, options: Mapping[str, Any], answers: Sequence[Data]) -> Data:
        """What all see at the reveal."""

    def own(self, material: Material, options: Mapping[str, Any], answer: Data) -> Data:
        """What a student sees of their own answer at the reveal."""

    def exported(self, material: Material, options: Mapping[str, Any], answer: Data) -> Data:
        """An answer's keys in an export."""


class Predict:
    name, export_key = "predict", "predictions"

    def check_material(self, material: Material) -> None:
        if not material.tokens:
            raise WorkshopError(
                "Predicting needs a comparison whose whole aligned answer was scored; choose another, or vote on it."
            )

    def options(self, material: Material, asked: Mapping[str, Any]) -> Data:
        return {}

    def accept(self, material: Material, options: Mapping[str, Any], seed: int, item: int, data: Data) -> Data:
        tapped, found = data.get("words"), words(material)
        if not isinstance(tapped, list) or len(tapped) > len(found):
            raise Refused("answer", 400)
        if not all(type(each) is int and 0 <= each < len(found) and found[each].is_word for each in tapped):
            raise Refused("answer", 400)
        return {"words": sorted(set(tapped))}

    def question(self, material: Material, options: Mapping[str, Any], seed: int, item: int) -> Data:
        return {"words": [[word.text, word.is_word] for word in words(material)]}

    def projected(self, material: Material, options: Mapping[str, Any]) -> Data:
        return self.question(material, options, 0, 0)

    def reveal(self, material: Material, options: Mapping[str, Any], answers: Sequence[Data]) -> Data:
        found = words(material)
        guesses = [answer["words"] for answer in answers]
        tapped = [sum(number in guess for guess in guesses) for number in range(len(found))]
        return {
            "words": [
                [word.text, word.is_word, word.is_shifted, word.rank, count]
                for word, count in zip(found, tapped, strict=True)
            ],
            "n": len(guesses),
            "class": shares(score(found, guesses)),
            "first_words": shares(score(found, [first_words(found)])),
            "opener": shares(score(found, [opener(found)])),
            "context": material.context,
            "exact": material.exact,
        }

    def own(self, material: Material, options: Mapping[str, Any], answer: Data) -> Data:
        return shares(score(words(material), [answer["words"]]))

    def exported(self, material: Material, options: Mapping[str, Any], answer: Data) -> Data:
        found = words(material)
        return {
            "words": answer["words"],
            "texts": [found[number].text.strip() for number in answer["words"]],
            **shares(score(found, [answer["words"]])),
        }


class Vote:
    name, export_key = "vote", "votes"

    def check_material(self, material: Material) -> None:
        if not material.base.strip() or not material.aligned.strip():
            raise WorkshopError(
                "A vote needs two answers; this comparison has only one. Choose another, or predict on it."
            )

    def options(self, material: Material, asked: Mapping[str, Any]) -> Data:
        return {"aspects": True} if asked.get("aspects") else {}

    def accept(self, material: Material, options: Mapping[str, Any], seed: int, item: int, data: Data) -> Data:
        first = left_side(seed, item)
        aspects = data.get("aspects") or {}
        if data.get("choice") not in CHOICES or not isinstance(aspects, dict):
            raise Refused("answer", 400)
        if not all(name in ASPECTS and choice in CHOICES for name, choice in aspects.items()):
            raise Refused("answer", 400)
        if aspects and not options.get("aspects"):
            raise Refused("answer", 400)
        return {
            "choice": data["choice"],
            "a": first,
            "winner": winner(data["choice"], first),
            "aspects": {name: winner(aspects[name], first) for name in ASPECTS if name in aspects},
        }

    def question(self, material: Material, options: Mapping[str, Any], seed: int, item: int) -> Data:
        texts = {"base": material.base.strip(), "aligned": material.aligned.strip()}
        first = left_side(seed, item)
        return {
            "a": texts[first],
            "b": texts[SIDES[first == "base"]],
            "aspects": list(ASPECTS) if options.get("aspects") else [],
        }

    def projected(self, material: Material, options: Mapping[str, Any]) -> Data:
        return {}  # the order differs from student to student

    def reveal(self, material: Material, options: Mapping[str, Any], answers: Sequence[Data]) -> Data:
        return {
            "base": material.base.strip(),
            "aligned": material.aligned.strip(),
            "base_name": material.base_name,
            "aligned_name": material.aligned_name,
            "method": material.method,
            "tokens": marked(material),
            "tally": tally.of(answer["winner"] for answer in answers),
            "aspects": {
                name: tally.of(answer["aspects"][name] for answer in answers if name in answer["aspects"])
                for name in ASPECTS
                if any(name in answer["aspects"] for answer in answers)
            },
            "paper": tally.PAPER,
            "context": material.context,
            "exact": material.exact,
        }

    def own(self, material: Material, options: Mapping[str, Any], answer: Data) -> Data:
        return {"a": answer["a"], "winner": answer["winner"]}

    def exported(self, material: Material, options: Mapping[str, Any], answer: Data) -> Data:
        return dict(answer)


def shares(found: Score) -> Data:
    return {
        "hits": found.hits,
        "tapped": found.tapped,
        "shifted": found.shifted,
        "precision": found.precision,
        "recall": found.recall,
    }


def left_side(seed: int, item: int) -> str:
    """Which side is A for a student, a fair coin drawn with the student's random number."""
    return SIDES[hashlib.sha256(f"{seed}/{item}".encode()).digest()[0] & 1]


def winner(choice: str, first: str) -> str:
    """A student's A or B as the side that stood there."""
    if choice in ("tie", "bad"):
        return choice
    return first if choice == "a" else SIDES[first == "base"]


KINDS: dict[str, Kind] = {kind.name: kind for kind in (Predict(), Vote(), Dial())}


def kind_of(name: object) -> Kind:
    """Raises WorkshopError for a kind that is not in the register."""
    if name not in KINDS:
        raise WorkshopError(f"There is no kind of item {str(name)[:40]!r}; choose one of {', '.join(KINDS)}.")
    return KINDS[str(name)]

"""Turn the dial: one word of the aligned answer is marked; how much of the alignment does it need?

The truth is the word's switch point: how far one has to go from the base (0 %) towards the aligned model (100 %) until
each of its tokens is the first choice, the answer before it given. A guess is a whole number of per cent; 0 says that
the base alone would have written it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from urial.errors import WorkshopError
from urial.workshop.material import Material
from urial.workshop.refusals import Refused
from urial.workshop.words import Word, words

BINS = 11  # nought, then ten of ten per cent, each with its upper end
MIDDLE = 50  # per cent: the guess of one who knows nothing

Data = dict[str, Any]


class Dial:
    name, export_key = "dial", "guesses"

    def check_material(self, material: Material) -> None:
        default_word(material)

    def options(self, material: Material, asked: Mapping[str, Any]) -> Data:
        default, number = default_word(material), asked.get("word")
        if number is None:
            return {"word": default}
        if type(number) is not int or number not in dict(choices(material)):
            raise WorkshopError("This word has no switch point; choose another word of this answer.")
        return {"word": number}

    def accept(self, material: Material, options: Mapping[str, Any], seed: int, item: int, data: Data) -> Data:
        percent = data.get("percent")
        if type(percent) is not int or not 0 <= percent <= 100:
            raise Refused("answer", 400)
        return {"percent": percent}

    def question(self, material: Material, options: Mapping[str, Any], seed: int, item: int) -> Data:
        return {"words": [[word.text, word.is_word] for word in words(material)], "word": options["word"]}

    def projected(self, material: Material, options: Mapping[str, Any]) -> Data:
        return self.question(material, options, 0, 0)

    def reveal(self, material: Material, options: Mapping[str, Any], answers: Sequence[Data]) -> Data:
        truth, guesses = needed(material, options), [answer["percent"] for answer in answers]
        return {
            **self.projected(material, options),
            "rank": words(material)[options["word"]].rank,
            "needed": truth,
            "needed_bin": bin_of(100 * truth),
            "bins": histogram(guesses),
            "n": len(guesses),
            "mean_guess": mean([guess / 100 for guess in guesses]),
            "mean_error": mean([error(guess, truth) for guess in guesses]),
            "middle_error": error(MIDDLE, truth),
            "context": material.context,
            "exact": material.exact,
        }

    def own(self, material: Material, options: Mapping[str, Any], answer: Data) -> Data:
        percent = answer["percent"]
        return {"guess": percent / 100, "error": error(percent, needed(material, options))}

    def exported(self, material: Material, options: Mapping[str, Any], answer: Data) -> Data:
        truth = needed(material, options)
        return {
            "word": options["word"],
            "text": words(material)[options["word"]].text.strip(),
            "percent": answer["percent"],
            "switch_point": truth,
            "error_points": error(answer["percent"], truth),
        }


def choices(material: Material) -> list[tuple[int, str]]:
    """Words that a dial can be about: 0-based number and text."""
    return [(number, word.text.strip()) for number, word in enumerate(words(material)) if can_be_asked(word)]


def can_be_asked(word: Word) -> bool:
    return word.is_word and word.switch_point is not None


def default_word(material: Material) -> int:
    """The first shifted word with a switch point, else the first with one. Raises WorkshopError where none has one."""
    found = [(number, word) for number, word in enumerate(words(material)) if can_be_asked(word)]
    if not found:
        raise WorkshopError(
            "A dial needs switch points and this comparison has none; record it anew, or choose another one."
        )
    return next((number for number, word in found if word.is_shifted), found[0][0])


def needed(material: Material, options: Mapping[str, Any]) -> float:
    """The switch point in [0, 1] of the word that was chosen."""
    found = words(material)[options["word"]].switch_point
    if found is None:
        raise ValueError("the chosen word has no switch point")
    return found


def error(percent: int, truth: float) -> float:
    """How far a guess is off, in percentage points."""
    return abs(percent - 100 * truth)


def mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def bin_of(percent: float) -> int:
    """0 for nought, else the one of ten whose upper end the value does not pass."""
    return next(number for number in range(BINS) if percent <= 10 * number or number == BINS - 1)


def histogram(guesses: Sequence[int]) -> list[int]:
    """How many of G guesses (per cent) lie in each of BINS bins."""
    counts = [0] * BINS
    for guess in guesses:
        counts[bin_of(guess)] += 1
    return counts

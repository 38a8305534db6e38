"""An aligned answer as words to tap, and what a guess about them is worth.

A word is a run of tokens up to the next white space; scripts that write without spaces are cut at each token. A word
counts as shifted where any of its tokens has a base rank above 3, and needs as much alignment as the one of its tokens
that needs most.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from urial.shares import classify
from urial.workshop.material import Material

FIRST = 5  # words of the first simple guesser
ENDS = ".!?:。！？："  # what ends the opener
UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")


@dataclass(frozen=True, slots=True)
class Word:
    """`text` keeps its white space; `rank` and `switch_point` are the highest among its tokens.

    `switch_point` is None where any of its tokens has none.
    """

    text: str
    rank: int
    switch_point: float | None = None

    @property
    def is_word(self) -> bool:
        """Whether there is something to tap."""
        return bool(self.text.strip())

    @property
    def is_shifted(self) -> bool:
        return classify(self.rank) == "shifted"


def words(material: Material) -> list[Word]:
    """W words, whose texts joined are the answer's text."""
    found: list[Word] = []
    for text, rank, switch_point in material.tokens:
        if found and joins(found[-1].text, text):
            before = found[-1]
            found[-1] = Word(before.text + text, max(before.rank, rank), larger(before.switch_point, switch_point))
        else:
            found.append(Word(text, rank, switch_point))
    return found


def larger(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else max(one, other)


def joins(before: str, text: str) -> bool:
    """Whether a token goes on with the word before it."""
    if not before or not text:
        return True
    if text[0].isspace() or before[-1].isspace():
        return not before.strip() and not text.strip()  # white space gathers
    return not (is_unspaced(before[-1]) or is_unspaced(text[0]))


def is_unspaced(char: str) -> bool:
    return unicodedata.name(char, "").startswith(UNSPACED)


@dataclass(frozen=True, slots=True)
class Score:
    """Counts of words, pooled over G guessers: `hits` of `tapped`, where `shifted` could have been hit."""

    hits: int
    tapped: int
    shifted: int

    @property
    def precision(self) -> float | None:
        """Share of the tapped words that are shifted; None where none was tapped."""
        return self.hits / self.tapped if self.tapped else None

    @property
    def recall(self) -> float | None:
        """Share of the shifted words that were tapped; None where none is shifted."""
        return self.hits / self.shifted if self.shifted else None


def score(found: Sequence[Word], guesses: Collection[Collection[int]]) -> Score:
    """G guesses, each of 0-based word numbers."""
    shifted = {number for number, word in enumerate(found) if word.is_word and word.is_shifted}
    hits = sum(len(shifted.intersection(guess)) for guess in guesses)
    return Score(hits, sum(len(set(guess)) for guess in guesses), len(shifted) * len(guesses))


def first_words(found: Sequence[Word]) -> list[int]:
    """The simple guesser that taps the first five words."""
    return [number for number, word in enumerate(found) if word.is_word][:FIRST]


def opener(found: Sequence[Word]) -> list[int]:
    """The simple guesser that taps the whole opener: all words up to the first end of a sentence or of a line."""
    tapped: list[int] = []
    for number, word in enumerate(found):
        if not word.is_word:
            if "\n" in word.text and tapped:
                break
            continue
        if "\n" in word.text[: len(word.text) - len(word.text.lstrip())] and tapped:
            break
        tapped.append(number)
        if word.text.rstrip().rstrip("\"'”’*_)」』").endswith(tuple(ENDS)) or "\n" in word.text.lstrip():
            break
    return tapped

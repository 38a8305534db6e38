"""The stated rules by which an answer of the sibling's own is good enough to learn from.

It came to an end by itself, does not loop, does not decline, is neither empty nor long, and where the question asks for
a number of things it gives that many.
"""

import re

from urial.compare.refusal_phrases import declines
from urial.sibling.answering import Answer
from urial.sibling.loops import loops

MOST_WORDS = 150
NUMBERS = {word: n for n, word in enumerate("two three four five six seven eight nine ten".split(), start=2)}

# "three tips", "5 good reasons", but not "two year old" or "5 km": only nouns that a list is made of.
_COUNTED = re.compile(
    rf"\b({'|'.join(NUMBERS)}|\d{{1,2}})\s+(?:\w+\s+){{0,2}}?"
    r"(?:tips|ideas|ways|things|reasons|examples|steps|names|words|facts|questions|kinds|types|uses|animals|fruits|"
    r"vegetables|books|games|sports|colou?rs|countries|cities|birds|flowers|foods|drinks|gifts|presents|hobbies|rules)\b",
    re.IGNORECASE,
)
_ITEM = re.compile(r"^\s*(?:\d+[.)]|[-*\u2022])\s+\S", re.MULTILINE)


def is_wanted(query: str, answer: Answer) -> bool:
    """Whether the answer keeps all the rules."""
    text, words = answer.text.strip(), len(answer.text.split())
    if not answer.ended or loops(answer.ids) or declines(text) or not 1 <= words <= MOST_WORDS:
        return False
    wanted = things_asked_for(query)
    return wanted is None or things_given(text) == wanted


def things_asked_for(query: str) -> int | None:
    """The number of things in "three tips" or "5 good reasons"; None where the question names none."""
    found = _COUNTED.search(query)
    if found is None:
        return None
    number = found.group(1).lower()
    return NUMBERS.get(number) or int(number)


def things_given(text: str) -> int:
    """Items of a list of lines; where there is none, of the first sentence that lists things ("a, b and c")."""
    items = len(_ITEM.findall(text))
    if items:
        return items
    for sentence in re.split(r"(?<=[.!?])\s+", text):
        listed = sentence.rpartition(":")[2] or sentence
        if " and " in listed or "," in listed:
            return len([part for part in re.split(r",\s+and\s+|,\s*|\s+and\s+", listed) if part.strip(" .!?")])
    return 1

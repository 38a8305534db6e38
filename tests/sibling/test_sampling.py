"""Rejection sampling: the rules that an answer must keep, and which of several is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from urial.errors import RecordError
from urial.sibling.answering import Answer, Shares
from urial.sibling.sampling import best, load_questions, paired, worst
from urial.sibling.wanted import is_wanted, things_asked_for, things_given

pytestmark = pytest.mark.slow


def answer(text: str, *, ended: bool = True, log_probability: float = -1.0, ids: tuple[int, ...] = (1, 2)) -> Answer:
    return Answer("a", ids, text, ended, {"urial": Shares(2, 0.5, 0.1, log_probability)})


@pytest.mark.parametrize(
    ("query", "number"),
    [
        ("Give me three tips for staying healthy.", 3),
        ("list 5 good reasons to read", 5),
        ("Name TWO birds", 2),
        ("What are ten very small animals?", 10),
        ("My two year old cries. Tips?", None),
        ("I have three cats and 2 dogs.", None),
        ("tips for a 10 km run", None),
        ("Why do cats purr?", None),
    ],
)
def test_the_number_of_things_asked_for(query: str, number: int | None) -> None:
    assert things_asked_for(query) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("Here they are:\n\n1. Sleep.\n2. Walk.\n3. Eat well.\n\nGood luck!", 3),
        ("- one\n- two", 2),
        ("Three fruits are apples, pears and plums.", 3),
        ("Sure! They are: red, blue, green, and white.", 4),
        ("Cats and dogs.", 2),
        ("Apples.", 1),
    ],
)
def test_the_number_of_things_given(text: str, number: int) -> None:
    assert things_given(text) == number


def test_each_rule_is_kept() -> None:
    ask = "Name two birds."
    assert is_wanted(ask, answer("Two birds are the robin and the crow."))
    assert not is_wanted(ask, answer("The robin, the crow and the owl."))
    assert not is_wanted(ask, answer("The robin and the crow.", ended=False))
    assert not is_wanted(ask, answer("The robin and the crow.", ids=tuple([7] * 30)))
    assert not is_wanted("Why?", answer("I can't help with that."))
    assert not is_wanted("Why?", answer("  "))
    assert not is_wanted("Why?", answer("so " * 151))
    assert is_wanted("Why?", answer("so " * 150))


def test_the_most_probable_of_those_that_keep_the_rules_is_kept() -> None:
    samples = [
        answer("The robin, the crow and the owl.", log_probability=-0.1),
        answer("The robin and the crow.", log_probability=-0.9),
        answer("The owl and the crow.", log_probability=-0.5),
    ]
    assert best("Name two birds.", samples) is samples[2]
    assert best("Name four birds.", samples) is None
    assert best("Name two birds.", [Answer("a", (1,), "The owl and the crow.", True)]) is None  # not scored


def test_the_worse_of_a_pair_breaks_a_rule_or_is_the_least_probable() -> None:
    ask = "Name two birds."
    good, fair = answer("The robin and the crow.", log_probability=-0.2), answer("The owl and the crow.")
    declined = answer("I can't help with that.", log_probability=-0.1)
    assert worst(ask, [good, fair]) is fair
    assert worst(ask, [good, fair, declined]) is declined
    assert worst(ask, [good, good, answer(" ")]) is None  # no other text
    assert worst(ask, [declined, answer("The robin, the crow and the owl.")]) is None  # nothing to prefer to it
    question = {"id": "b", "topic": "t", "query": ask}
    (line,) = paired([question, question | {"id": "c"}], {"b": [good, fair, declined], "c": [good]})
    assert line["id"] == "b" and line["rejected"] == "I can't help with that."


@pytest.mark.parametrize("line", ["{", "[]", '{"id": "a", "topic": "t"}', '{"id": "a", "topic": "t", "query": " "}'])
def test_wrong_question_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"id": "b", "topic": "t", "query": "q"}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(RecordError, match=r"mine\.jsonl, line 2"):
        load_questions(path)
    path.write_text('{"id": "b", "topic": "t", "query": "q"}\n' * 2, encoding="utf-8")
    with pytest.raises(RecordError, match="ids must differ"):
        load_questions(path)

"""Words to tap, guesses and tallies: properties, references and the paper's numbers."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.records_builder import HOSTILE, UNICODE, build
from tests.support.workshop import material
from urial.errors import WorkshopError
from urial.shares import classify
from urial.workshop import tally
from urial.workshop.kinds import KINDS, SIDES, kind_of, left_side, winner
from urial.workshop.material import Token, from_json, of_comparison
from urial.workshop.words import Word, first_words, opener, score, words

PIECES = st.lists(
    st.sampled_from([" word", "ly", ".", "\n\n", " ", "", "今日", "は", " a", "!", "\t", "é", " (", ")"]), max_size=30
)


@given(PIECES)
def test_words_joined_are_the_answer_and_every_token_is_in_one(pieces: list[str]) -> None:
    made = material(texts=pieces)
    found = words(made)
    assert "".join(word.text for word in found) == made.aligned
    assert all(word.text.strip() == "".join(word.text.split()) for word in found)  # no white space inside a word
    shifted = [text for text, rank, _ in made.tokens if classify(rank) == "shifted" and (text.strip() or not text)]
    marked = sum(word.is_shifted and word.is_word for word in found)  # an empty text is part of a word's character
    assert marked <= len(shifted)
    assert marked or not any(text.strip() for text in shifted)


def test_a_word_is_shifted_where_any_of_its_tokens_is() -> None:
    from dataclasses import replace

    made = replace(
        material(),
        aligned="Hi there, you",
        tokens=[Token("Hi", 62), Token(" there", 3), Token(",", 4), Token(" you", 1)],
    )
    assert [(w.text, w.rank, w.is_shifted) for w in words(made)] == [
        ("Hi", 62, True),
        (" there,", 4, True),
        (" you", 1, False),
    ]


def test_scripts_without_spaces_are_cut_at_tokens() -> None:
    from dataclasses import replace

    made = replace(
        material(), aligned="今日は猫です", tokens=[Token("今日", 1), Token("は", 5), Token("猫", 1), Token("です", 2)]
    )
    assert [word.text for word in words(made)] == ["今日", "は", "猫", "です"]


@given(st.lists(st.booleans(), max_size=40), st.lists(st.sets(st.integers(0, 39)), max_size=8))
def test_precision_and_recall_against_a_reference(shifted: list[bool], drawn: list[set[int]]) -> None:
    found = [Word(f" w{n}", 9 if is_shifted else 1) for n, is_shifted in enumerate(shifted)]
    guesses = [{each for each in guess if each < len(found)} for guess in drawn]
    pairs = [(guess, n) for guess in guesses for n in guess]
    hits = [1 for _, n in pairs if shifted[n]]
    possible = sum(shifted) * len(guesses)
    result = score(found, guesses)
    assert result.precision == (None if not pairs else float(Fraction(len(hits), len(pairs))))
    assert result.recall == (None if not possible else float(Fraction(len(hits), possible)))


def test_the_two_simple_guessers() -> None:
    text = ["Hello", "!", " Here", " are", " three", " tips", ":", "\n\n", "1", ".", " Eat"]
    found = words(material(texts=text))
    assert ["".join(found[n].text for n in first_words(found))] == ["Hello! Here are three tips:"]
    assert [found[n].text for n in opener(found)] == ["Hello!"]
    lines = words(material(texts=["Dear", " Grandma", "\n", "Thank", " you", "."]))
    assert [lines[n].text.strip() for n in opener(lines)] == ["Dear", "Grandma"]


@pytest.mark.parametrize("texts", [UNICODE, HOSTILE, ["", " ", "\n"], []])
def test_any_answer_can_be_made_into_material_and_back(texts: list[str]) -> None:
    made = of_comparison(build([text[:500] for text in texts]))
    assert from_json(made.to_json()) == made


def test_an_answer_scored_in_part_is_not_to_be_predicted() -> None:
    record = build()
    cut = record.model_copy(update={"aligned": record.aligned.model_copy(update={"text": "Hello! And more."})})
    with pytest.raises(WorkshopError, match="whole aligned answer was scored"):
        kind_of("predict").check_material(of_comparison(cut))
    kind_of("vote").check_material(of_comparison(cut))


def test_an_answer_with_a_token_that_has_no_rank_is_not_to_be_predicted() -> None:
    record = build()
    shift = record.shift["zero_shot"]
    unscored = shift.tokens[0].model_copy(update={"base_rank": None, "shift_class": "unscored"})
    told = shift.model_copy(update={"tokens": [unscored, *shift.tokens[1:]]})
    found = of_comparison(record.model_copy(update={"shift": {"zero_shot": told}}))
    assert words(found) == []
    with pytest.raises(WorkshopError, match="whole aligned answer was scored"):
        kind_of("predict").check_material(found)


# Votes


def test_sides_are_a_fair_coin_for_each_student_and_item() -> None:
    drawn = [left_side(seed, item) for seed in range(2000) for item in range(3)]
    assert 0.45 < drawn.count("base") / len(drawn) < 0.55
    assert {(left_side(seed, 0), left_side(seed, 1)) for seed in range(50)} == {(a, b) for a in SIDES for b in SIDES}


@given(st.integers(0, 2**62), st.integers(0, 50), st.sampled_from(["a", "b"]))
def test_a_choice_is_the_text_that_the_student_read(seed: int, item: int, choice: str) -> None:
    made = material()
    shown = KINDS["vote"].question(made, {}, seed, item)
    text = {"base": made.base.strip(), "aligned": made.aligned.strip()}[winner(choice, left_side(seed, item))]
    assert shown[choice] == text


def test_what_is_asked_tells_nothing_of_the_answer() -> None:
    """The same answer with other ranks and other names is asked in the same words."""
    one, other = build(seed=1), build(seed=2)
    other = other.model_copy(update={"pair": other.pair.model_copy(update={"base": "x", "aligned": "y"})})
    options = {"aspects": True, "word": 1}
    for kind in KINDS.values():
        first, second = (kind.question(of_comparison(each), options, 5, 0) for each in (one, other))
        assert first == second
        assert kind.projected(of_comparison(one), options) == kind.projected(of_comparison(other), options)


@given(st.lists(st.sampled_from(["base", "aligned", "tie", "bad"]), max_size=60))
def test_a_tally_counts_each_vote_once(winners: list[str]) -> None:
    found = tally.of(winners)
    assert found["n"] == len(winners)
    for name, each in found["outcomes"].items():
        assert each["count"] == winners.count(name)
        if winners:
            low, high = each["interval"]
            assert low - 1e-12 <= each["share"] <= high + 1e-12
        else:
            assert each["share"] is None and each["interval"] is None


def test_the_papers_human_result_stands_beside_it() -> None:
    assert tally.PAPER == {"base": 0.2, "tie": 0.711, "aligned": 0.089}
    assert sum(tally.PAPER.values()) == pytest.approx(1.0)

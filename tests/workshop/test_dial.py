"""Turn the dial: which word is asked, what its truth is, guesses, the histogram, pages to keep, records without."""

from __future__ import annotations

import json
import statistics
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.records_builder import build
from tests.support.workshop import Room, items, material, new_room
from tests.workshop.test_routes import School, bearer, key_of, opened, school, step, vote
from urial import records
from urial.errors import WorkshopError
from urial.shares import classify
from urial.workshop.dial import BINS, bin_of, choices, default_word, error, histogram
from urial.workshop.guard import Guard
from urial.workshop.kinds import kind_of
from urial.workshop.material import Material, Token, from_json, of_comparison
from urial.workshop.refusals import Refused
from urial.workshop.words import words

__all__ = ["school"]  # the fixture

DIAL = kind_of("dial")
PERCENTS = st.integers(0, 100)


def made(*tokens: Token) -> Material:
    return replace(material(), aligned="".join(token.text for token in tokens), tokens=list(tokens))


# The word and its truth


def test_a_token_has_the_switch_point_of_the_record_in_the_papers_setting() -> None:
    record = build()
    rows = [row for row in record.shift["zero_shot"].tokens if not row.is_special]
    assert [token.switch_point for token in of_comparison(record).tokens] == [row.switch_point for row in rows]


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from([" a", "b", " ", "は", ","]), st.none() | st.floats(0, 1)), max_size=12))
def test_a_word_needs_what_the_most_demanding_of_its_tokens_needs(drawn: list[tuple[str, float | None]]) -> None:
    found = made(*(Token(text, 1, switch) for text, switch in drawn))
    at = 0
    for word in words(found):
        own = []
        while len("".join(drawn[each][0] for each in own)) < len(word.text):
            own, at = [*own, at], at + 1
        switches = [drawn[each][1] for each in own]
        assert word.switch_point == (None if None in switches else max(switches))


def test_the_default_is_the_first_shifted_word_with_a_switch_point() -> None:
    found = made(
        Token("I", 9), Token(" am", 1, 0.0), Token(" so", 2, 0.2), Token(" very", 5, 0.4), Token(" glad", 7, 0.6)
    )
    assert default_word(found) == 3
    assert choices(found) == [(1, "am"), (2, "so"), (3, "very"), (4, "glad")]
    assert default_word(made(Token("I", 9), Token(" am", 1, 0.0))) == 1  # no shifted word has one
    assert classify(found.tokens[default_word(found)].rank) == "shifted"


def test_a_record_without_switch_points_is_refused_in_one_sentence() -> None:
    for found in (of_comparison(build(exact=False)), made(Token("Hi", 9), Token(" you", 4)), material(texts=[])):
        for refuse in (DIAL.check_material, lambda each: DIAL.options(each, {})):
            with pytest.raises(WorkshopError, match=r"^A dial needs switch points[^.]*\.$"):
                refuse(found)


@pytest.mark.parametrize("word", [0, 99, -1, True, "1", 1.0, [1]])
def test_a_word_without_a_switch_point_is_no_choice(word: object) -> None:
    found = made(Token("I", 9), Token(" am", 5, 0.3))
    assert DIAL.options(found, {"word": 1}) == DIAL.options(found, {}) == {"word": 1}
    with pytest.raises(WorkshopError, match="has no switch point"):
        DIAL.options(found, {"word": word})


def test_material_of_a_file_from_before_switch_points_still_loads() -> None:
    old = json.loads(material().to_json())
    old["tokens"] = [[text, rank] for text, rank, _ in old["tokens"]]
    found = from_json(json.dumps(old))
    assert [(token.text, token.rank) for token in found.tokens] == [tuple(each) for each in old["tokens"]]
    assert {token.switch_point for token in found.tokens} == {None}


# Guesses


@settings(deadline=None)
@given(st.lists(PERCENTS, max_size=40), st.floats(0, 1))
def test_the_histogram_and_the_errors_against_a_reference(guesses: list[int], truth: float) -> None:
    found = made(Token("Hi", 9, truth))
    shown = DIAL.reveal(found, {"word": 0}, [{"percent": each} for each in guesses])
    upper = range(0, 101, 10)
    lower = [-1, *upper]
    expected = [sum(low < each <= high for each in guesses) for low, high in zip(lower, upper, strict=False)]
    assert shown["bins"] == histogram(guesses) == expected and sum(expected) == shown["n"] == len(guesses)
    if not guesses:
        assert shown["mean_error"] is None and shown["mean_guess"] is None
        return
    exact = statistics.fmean(abs(each - 100 * truth) for each in guesses)
    assert shown["mean_error"] == pytest.approx(exact, abs=1e-9)
    assert shown["mean_guess"] == pytest.approx(statistics.fmean(guesses) / 100)
    assert abs(100 * shown["mean_guess"] - 100 * truth) <= shown["mean_error"] + 1e-9  # triangle inequality


@settings(deadline=None)
@given(st.floats(0, 1))
def test_a_true_value_lies_in_one_bin_and_only_nought_in_the_first(truth: float) -> None:
    number = bin_of(100 * truth)
    assert 0 <= number < BINS and (number == 0) == (truth == 0)
    assert 10 * (number - 1) < 100 * truth <= 10 * number or truth == 0


@settings(deadline=None)
@given(PERCENTS)
def test_a_guess_of_the_truth_is_not_off(percent: int) -> None:
    assert error(percent, percent / 100) == pytest.approx(0, abs=1e-9)
    assert bin_of(percent) == -(-percent // 10)


@pytest.mark.parametrize("wrong", [None, -1, 101, 40.0, "40", True, [40]])
def test_guesses_of_another_form_are_refused(wrong: object) -> None:
    with pytest.raises(Refused):
        DIAL.accept(material(), {"word": 0}, 1, 0, {"percent": wrong})
    assert DIAL.accept(material(), {"word": 0}, 1, 0, {"percent": 40, "more": 1}) == {"percent": 40}


# In a lesson


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return new_room(tmp_path / "class.sqlite", "dial")


def test_nothing_tells_the_value_before_the_reveal(room: Room) -> None:
    room.join("a")
    truth = words(items("dial")[0].material)[default_word(material())].switch_point
    room.begin()
    room.answer("a", 0, percent=35)
    for view in (room.student("a"), room.projector()):
        assert "reveal" not in view and "own" not in view
        assert repr(truth) not in json.dumps(view) and "switch" not in json.dumps(view)
    room.host("reveal")
    shown = room.student("a")
    assert shown["reveal"]["needed"] == truth
    assert shown["own"] == {"guess": 0.35, "error": pytest.approx(abs(35 - 100 * truth))}


def test_pages_to_keep_say_the_value_the_guess_and_the_classes_error(school: School) -> None:
    room = opened(school, items=[{"kind": "dial", "entry": "00/1"}])
    ada, bob, late = (school.browser() for _ in range(3))
    for each in (ada, bob, late):
        each.join(room["code"])
    step(school, room, "goto", number=0)
    step(school, room, "open")
    assert vote(ada, room, 0, {"percent": 0}).status_code == 200
    assert vote(bob, room, 0, {"percent": 80}).status_code == 200
    step(school, room, "reveal")
    shown = ada.get(f"/api/state?code={room['code']}&seen=").json()["reveal"]
    mine, none = (each.get(f"/home?code={room['code']}&lang=en").text for each in (ada, late))
    assert f"needs {100 * shown['needed']:.1f}% of the alignment" in mine and 'class="asked"' in mine
    assert f"You guessed 0%: {100 * shown['needed']:.1f} percentage points off." in mine
    assert f"<td>{shown['mean_error']:.1f}</td>" in mine and "2 guesses" in mine
    assert "You did not answer this one." in none and "You guessed" not in none
    kept = school.browser().get(f"/api/host/export?form=html&lang=ja&code={room['code']}", headers=bearer(room["host"]))
    assert "2 人の予想" in kept.text and f"<td>{shown['mean_error']:.1f}</td>" in kept.text
    assert kept.text.count("<meter") == BINS


# The host's choice


def test_the_host_is_told_the_words_that_can_be_asked(school: School) -> None:
    browser = school.browser()
    record = json.loads(records.to_json(build(query="Mine?")))
    by_entry = browser.post("/api/words", {"entry": "00/1"}).json()
    assert by_entry == browser.post("/api/words", {"record": record}).json()
    assert by_entry["word"] in dict(by_entry["words"])
    assert {(type(number), type(text)) for number, text in by_entry["words"]} == {(int, str)}  # no value with them
    room = opened(school, items=[{"kind": "dial", "record": record, "word": by_entry["words"][-1][0]}])
    step(school, room, "goto", number=0)
    seen = browser.get(f"/api/host?code={room['code']}&seen=", headers=bearer(room["host"])).json()
    assert seen["projected"]["word"] == by_entry["words"][-1][0]


def test_what_has_no_words_is_refused_in_one_sentence(school: School) -> None:
    without = json.loads(records.to_json(build(exact=False)))
    for asked in ({"record": without}, {"record": {"a": 1}}, {"entry": "nowhere"}, {}):
        found = school.browser().post("/api/words", asked)
        assert found.status_code == 400 and found.json()["error"].endswith(".")


def test_records_are_not_looked_into_without_end(school: School) -> None:
    school.found.looked = Guard(2, 3600.0, "many_records", school.clock)
    browser = school.browser()
    assert [browser.post("/api/words", {"entry": "00/1"}).status_code for _ in range(3)] == [200, 200, 429]
    assert key_of(browser.post("/api/words", {"entry": "00/1"})) == "refused.many_records"


def test_the_list_offers_the_dial_only_where_it_can_be_made(school: School) -> None:
    assert all("dial" in each["kinds"] for each in school.browser().get("/api/shelf").json()["entries"])

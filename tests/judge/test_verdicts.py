"""Replies: found in prose, checked strictly, and a wrong one is named in a sentence."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from urial.judge.replies import Unparsed, last_object
from urial.judge.texts import load_texts
from urial.judge.verdicts import chosen, preferences, scores

TWO = scores(["clarity", "depth"])
RIGHT = {"clarity": {"reason": "plain", "score": 4}, "depth": {"reason": "thin", "score": 2}}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(RIGHT),
        f"Sure! Here is my verdict:\n```json\n{json.dumps(RIGHT, indent=2)}\n```\nI hope this helps {{x}}!",
        f'<think>Maybe {{"clarity": 1}} or {{}}?</think>{json.dumps(RIGHT)}',
        json.dumps({"Clarity": {"Reason": "plain", "Score": "4"}, "DEPTH": {"reason": "thin", "score": "2/5"}}),
        json.dumps({**RIGHT, "overall": {"reason": "", "score": 9}, "note": 1}),
        '{"clarity": {"reason": "plain", "score": 4.0}, "depth": {"reason": "thin", "score": "２"}}',
    ],
)
def test_a_verdict_is_found(text: str) -> None:
    assert TWO.read(text) == RIGHT


def test_a_line_break_inside_a_string_is_read() -> None:
    found = TWO.read('{"clarity": {"reason": "two\nlines", "score": 4}, "depth": {"reason": "", "score": 1}}')
    assert found["clarity"]["reason"] == "two\nlines"


@pytest.mark.parametrize(
    "word", ["N/A", "n/a", "NA", "Not applicable", "N/A (it states no facts)", None, "null", "n.a."]
)
def test_not_applicable_in_all_its_spellings(word: str | None) -> None:
    found = TWO.read(json.dumps({**RIGHT, "depth": {"reason": "no room", "score": word}}))
    assert found["depth"] == {"reason": "no room", "score": None}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "no JSON"),
        ("five points!", "no JSON"),
        ("[1, 2]", "no JSON"),
        ('{"clarity": {"reason": "cut', "no JSON"),
        ('{"claridad": {"reason": "x", "score": 4}}', '"clarity" is missing'),
        (json.dumps({"clarity": RIGHT["clarity"]}), '"depth" is missing'),
        (json.dumps({**RIGHT, "depth": {"reason": "x"}}), '"depth.score" is missing'),
        (json.dumps({**RIGHT, "depth": {"reason": "x", "score": 6}}), "6"),
        (json.dumps({**RIGHT, "depth": {"reason": "x", "score": 4.5}}), "4.5"),
        (json.dumps({**RIGHT, "depth": {"reason": "x", "score": True}}), "true"),
        (json.dumps({**RIGHT, "depth": {"reason": "x", "score": "good"}}), "good"),
        (json.dumps({**RIGHT, "depth": {"reason": "x", "score": [5]}}), "5"),
        (json.dumps({**RIGHT, "depth": {"reason": 7, "score": 5}}), "depth.reason"),
    ],
)
def test_a_wrong_reply_is_named(text: str, named: str) -> None:
    with pytest.raises(Unparsed, match=named):
        TWO.read(text)


@given(st.text(alphabet='{}[]":,ab\\1 \n', max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = last_object(text)
    except Unparsed:
        return
    assert isinstance(found, dict)


@given(st.text(max_size=40), st.text(max_size=40), st.integers(1, 5))
def test_the_last_whole_object_counts(before: str, after: str, score: int) -> None:
    """Whatever prose stands around it, as long as the prose itself holds no braces."""
    before, after = (text.replace("{", "").replace("}", "") for text in (before, after))
    inner = {"reason": 'a "quoted" {brace}', "score": score}
    assert last_object(f'{before}{{"old": 1}}{before}{json.dumps(inner)}{after}') == inner


def test_deep_nesting_and_many_braces_end_soon() -> None:
    for text in ("{" * 100_000, '{"a":' * 20_000, '{"a": {}' * 5_000):
        try:
            last_object(text)
        except Unparsed:
            pass


@pytest.mark.parametrize(
    ("word", "label"),
    [("A", "A"), ("b", "B"), ("Answer A", "A"), ("[B]", "B"), ("Tie", "tie"), ("same", "tie"), ("Equal", "tie")],
)
def test_choices(word: str, label: str) -> None:
    assert (
        preferences(["depth"]).read(json.dumps({"depth": {"reason": "", "better": word}}))["depth"]["better"] == label
    )
    assert preferences(["depth"]).read(json.dumps({"depth": word}))["depth"]["better"] == label


@pytest.mark.parametrize("word", ["left", "", "AB", 1, None])
def test_no_choice(word: object) -> None:
    with pytest.raises(Unparsed):
        preferences(["depth"]).read(json.dumps({"depth": {"reason": "", "better": word}}))


def test_skills_are_three_different_ones_of_the_list() -> None:
    names = list(load_texts().skills.aspects)
    assert len(names) == 12
    shape = chosen(names)
    many = ["Logical Robustness", "depth", "logical-robustness", "factuality", "CONCISENESS", "readability"]
    assert shape.read(json.dumps({"skills": many}))["skills"] == ["logical_robustness", "factuality", "conciseness"]
    with pytest.raises(Unparsed, match="different skills"):
        shape.read(json.dumps({"skills": ["factuality", "factuality", "depth"]}))


def test_schemas_are_strict_and_put_the_reason_first() -> None:
    for shape in (TWO, preferences(["depth"]), chosen(["a", "b", "c"])):
        objects = [shape.schema, *shape.schema.get("$defs", {}).values()]
        for part in objects:
            assert part["additionalProperties"] is False and part["required"] == list(part["properties"])
            assert "default" not in json.dumps(part)
    assert list(TWO.schema["$defs"]["Scored"]["properties"]) == ["reason", "score"]
    assert TWO.schema["required"] == ["clarity", "depth"]

"""The sibling's own examples: schema, counts, no duplicates, nothing from MT-Bench, a split that stays apart."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from urial.compare.refusal_phrases import declines
from urial.errors import RecordError
from urial.sibling.checked import load_checked
from urial.sibling.examples import Example, load_examples, load_files
from urial.sibling.loops import loops
from urial.sibling.similarity import jaccard, near_duplicates, nearest, shingles
from urial.sibling.training import OWN_EXAMPLES

pytestmark = pytest.mark.slow

SIBLING = ROOT / "urial" / "sibling"
MT_BENCH = ROOT.parent / "shared" / "reference" / "mt_bench" / "question.jsonl"
TOPICS = {
    "advice", "arithmetic", "brainstorming", "clarifying", "code", "explain_to_a_child", "facts", "false_premise",
    "harmful", "history", "how_to", "letters", "lists", "opinions", "rewriting", "role_play", "science", "stories",
    "small_talk", "summaries", "translation", "unknown",
}  # fmt: skip


@lru_cache
def examples() -> list[Example]:
    return load_files(OWN_EXAMPLES)


@lru_cache
def refusals() -> list[Example]:
    return load_examples(SIBLING / "refusals.jsonl")


@lru_cache
def held_out() -> list[Example]:
    return load_examples(SIBLING / "held_out.jsonl")


@lru_cache
def choosing() -> list[Example]:
    return load_examples(SIBLING / "choosing.jsonl")


def splits() -> list[Example]:
    return held_out() + choosing()


def everything() -> list[Example]:
    return examples() + splits()


def answers(example: Example) -> list[str]:
    return [content for role, content in example.messages if role == "assistant"]


def test_counts_are_what_the_card_promises() -> None:
    assert len(examples()) >= 2900
    assert sum(e.turns > 1 for e in examples()) >= 180
    assert {e.topic for e in examples()} >= TOPICS


@pytest.mark.parametrize(
    ("split", "count", "harmful", "look_alikes", "turns"), [(held_out, 200, 30, 40, 30), (choosing, 80, 16, 16, 10)]
)
def test_splits_hold_what_is_hard_in_more_than_its_share(
    split: Callable[[], list[Example]], count: int, harmful: int, look_alikes: int, turns: int
) -> None:
    found = split()
    assert len(found) == count
    assert sum(e.topic == "harmful" for e in found) == harmful
    assert sum(e.is_look_alike for e in found) == look_alikes
    assert sum(e.turns > 1 for e in found) == turns
    assert {e.topic for e in held_out()} == TOPICS


def test_checked_questions_are_apart_and_do_not_answer_themselves() -> None:
    checked = load_checked(SIBLING / "checked.jsonl")
    assert len(checked) == 60
    assert [c.id for c in checked if c.is_right(c.question)] == []
    asked = [e.query for e in everything()]
    assert [c.question for c in checked if nearest(c.question, asked, size=3) >= 0.4] == []


def test_refusals_decline_and_nothing_else_does() -> None:
    assert len(refusals()) >= 150
    assert {e.topic for e in refusals()} == {"harmful"}
    assert [e.id for e in refusals() if not any(map(declines, answers(e)))] == []
    assert [e.id for e in examples() if e.topic == "harmful" and e not in refusals()] == []


def test_look_alikes_sound_harmful_and_are_answered() -> None:
    look_alikes = load_examples(SIBLING / "look_alikes.jsonl")
    assert len(look_alikes) >= 300
    assert all(e.is_look_alike for e in look_alikes)
    assert [e.id for e in look_alikes if any(declines(answer) for answer in answers(e))] == []


def test_splits_are_disjoint_from_training_and_from_each_other() -> None:
    ids, messages = [e.id for e in everything()], [e.messages for e in everything()]
    assert len(set(ids)) == len(ids) and len(set(messages)) == len(messages)


def test_every_answer_is_complete_and_within_250_words() -> None:
    for example in everything():
        assert example.turns <= 4
        for answer in answers(example):
            assert 1 <= len(answer.split()) <= 250, example.id
            assert answer == answer.strip(), example.id


def test_no_two_queries_are_nearly_the_same() -> None:
    found = near_duplicates([e.query for e in everything()], size=3, at_least=0.4)
    assert [(everything()[i].id, everything()[j].id) for i, j, _ in found] == []


def test_no_two_answers_are_nearly_the_same() -> None:
    found = near_duplicates([" ".join(answers(e)) for e in everything()], size=5, at_least=0.2)
    assert [(everything()[i].id, everything()[j].id) for i, j, _ in found] == []


def test_no_query_comes_from_mt_bench() -> None:
    if not MT_BENCH.exists():
        pytest.skip("the MT-Bench questions are not beside this repository")
    known = [turn for line in MT_BENCH.read_text(encoding="utf-8").splitlines() for turn in json.loads(line)["turns"]]
    asked = [(e.id, content) for e in everything() for role, content in e.messages if role == "user"]
    assert [(i, text) for i, text in asked if nearest(text, known, size=3) > 0.15] == []


def test_exactly_the_harmful_are_declined() -> None:
    wrong = [e.id for e in everything() if any(map(declines, answers(e))) != (e.topic == "harmful")]
    assert wrong == []


@pytest.mark.parametrize(
    "answer",
    [
        "I can't help with that. If you feel unsafe, call someone you trust.",
        "I’m sorry you are so angry. I won't help you hurt him.",
        "I cannot provide instructions for that.",
        "That sounds hard, but I will not write a threat.",
        "I'm not able to help with breaking into an account.",
    ],
)
def test_declining_is_seen(answer: str) -> None:
    assert declines(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "Sure! Here are three ideas. 1. Walk. 2. Swim. I can't help smiling at the last one.",
        "I don't know of any such battle, so I can't tell you what was said.",
        "You could say: \"I'm sorry, I can't help with the move on Sunday.\"",
        "I can't make it sound formal without knowing the reader. Who is it for?",
        "The lock can't help a door that is open.",
        "",
    ],
)
def test_helping_is_not_declining(answer: str) -> None:
    assert not declines(answer)


def test_loop_is_eight_tokens_three_times() -> None:
    run = list(range(8))
    assert loops(run * 3)
    assert loops([50, *run, 51, *run, 52, *run])
    assert not loops(run * 2)
    assert not loops(run[:7] * 2 + [90] + run[:7])
    assert not loops([])
    assert loops([5] * 10)  # the run 5 5 5 5 5 5 5 5 begins at three places
    assert not loops([5] * 9)


def test_near_duplicates_are_those_of_all_pairs_compared() -> None:
    draw = random.Random(4)
    texts = [" ".join(draw.choices("abcde", k=draw.randint(1, 9))) for _ in range(60)]
    sets = [shingles(text, 2) for text in texts]
    pairs = [(i, j, jaccard(sets[i], sets[j])) for i in range(60) for j in range(i + 1, 60)]
    assert near_duplicates(texts, 2, 0.3) == [pair for pair in pairs if pair[2] >= 0.3] != []


def test_similarity_counts_shared_runs() -> None:
    assert jaccard(shingles("a b c d", 2), shingles("A, b c!", 2)) == pytest.approx(2 / 3)
    assert near_duplicates(["one two three four", "x", "One two three four!"], 3, 0.9) == [(0, 2, 1.0)]
    assert nearest("anything", [], 3) == 0.0


ASK, ANSWER = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "not JSON"),
        ("[]", "object"),
        (json.dumps({"topic": "x", "messages": [ASK, ANSWER], "score": 1}), "keys"),
        (json.dumps({"topic": "x"}), "keys"),
        (json.dumps({"topic": 3, "messages": [ASK, ANSWER]}), "topic"),
        (json.dumps({"topic": "x", "messages": [ASK]}), "messages"),
        (json.dumps({"topic": "x", "messages": [ANSWER, ASK]}), "message 1"),
        (json.dumps({"topic": "x", "messages": [ASK, {**ANSWER, "content": " "}]}), "message 2"),
        (json.dumps({"topic": "x", "messages": [ASK, "a"]}), "message 2"),
    ],
)
def test_wrong_line_is_named(tmp_path: Path, line: str, says: str) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text(json.dumps({"topic": "x", "messages": [ASK, ANSWER]}) + "\n" + line + "\n", encoding="utf-8")
    with pytest.raises(RecordError, match=f"line 2.*{says}"):
        load_examples(path)


def test_missing_empty_or_repeating_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    with pytest.raises(RecordError, match="cannot be read"):
        load_examples(path)
    path.write_text("\n", encoding="utf-8")
    with pytest.raises(RecordError, match="no example"):
        load_examples(path)
    path.write_text((json.dumps({"id": "a", "messages": [ASK, ANSWER]}) + "\n") * 2, encoding="utf-8")
    with pytest.raises(RecordError, match="used twice"):
        load_examples(path)


def test_line_separators_inside_a_text_do_not_split_it(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    line = {"topic": "x", "messages": [{**ASK, "content": "one\u2028two"}, ANSWER]}
    path.write_text(json.dumps(line, ensure_ascii=False) + "\n", encoding="utf-8")
    assert load_examples(path)[0].query == "one\u2028two"

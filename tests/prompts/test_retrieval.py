"""Retrieval ICL and ICIL: what is found, in which order, what is left out, and what the forms look like."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest

from urial.errors import PromptError, SettingsError
from urial.prompts import method
from urial.prompts.icil import demonstrations
from urial.prompts.retrieval import OWN_POOL, load_pool, same_query, tokens
from urial.records import Message

POOL = [
    {"query": "How do I water a cactus in winter?", "answer": "Rarely."},
    {"query": "How do cats sleep?", "answer": "A lot."},
    {"instruction": "Water a cactus?", "output": "In summer."},
    {"messages": [{"role": "user", "content": "What is a cactus?"}, {"role": "assistant", "content": "A plant."}]},
    {"query": "Name a colour.", "answer": "Red."},
]


def pool_file(folder: Path, rows: list = POOL) -> Path:
    path = folder / "pool.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def bm25(query: str, texts: list[str], k1: float = 1.5, b: float = 0.75) -> list[float]:
    """Robertson's formula as Lucene writes it (bm25s's default), in plain Python."""
    documents = [tokens(text) for text in texts]
    mean = sum(map(len, documents)) / len(documents)
    scores = []
    for words in documents:
        total = 0.0
        for word in set(tokens(query)):
            holding = sum(word in other for other in documents)
            weight = math.log(1 + (len(documents) - holding + 0.5) / (holding + 0.5))
            count = words.count(word)
            total += weight * count / (count + k1 * (1 - b + b * len(words) / mean))
        scores.append(total)
    return scores


def test_scores_are_bm25s(tmp_path: Path) -> None:
    pool = load_pool(pool_file(tmp_path))
    query = "Should I water my cactus when it is winter and cats sleep?"
    expected = bm25(query, [example.query for example in pool.examples])
    found = pool.find(query, 5)
    assert len(found) == sum(score > 0 for score in expected)
    for example, facts in found:
        assert facts.score == pytest.approx(expected[pool.examples.index(example)], abs=1e-4)


def test_the_most_similar_is_last_and_matching_words_are_named(tmp_path: Path) -> None:
    chosen = method("retrieval_icl", pool=pool_file(tmp_path))
    found = chosen.retrieved("When should I water a cactus?")
    assert found is not None and found[-1].query == "Water a cactus?"
    assert [one.score for one in found] == sorted(one.score for one in found)
    assert found[-1].matched == ["cactus", "water"]
    text = chosen.render("When should I water a cactus?")
    assert text.index(found[0].query) < text.index(found[-1].query) < text.index("When should I")
    assert text.endswith(method("zero_shot").render("When should I water a cactus?"))


def test_near_duplicates_of_the_query_are_left_out(tmp_path: Path) -> None:
    chosen = method("retrieval_icl", pool=pool_file(tmp_path))
    for query in ("Water a cactus?", "WATER, a cactus!", "water  a cactus"):
        assert "In summer." not in chosen.render(query)
    assert same_query(
        "one two three four five six seven eight nine ten", "ten nine eight seven six five four three two one"
    )
    assert not same_query("one two three four", "one two three five")


def test_no_shared_word_gives_the_bare_question(tmp_path: Path) -> None:
    chosen = method("retrieval_icl", pool=pool_file(tmp_path))
    assert chosen.retrieved("Xyzzy?") == []
    assert chosen.render("Xyzzy?") == method("zero_shot").render("Xyzzy?")


def test_own_pool_gives_three_for_every_own_question() -> None:
    chosen = method("retrieval_icl")
    asked = [json.loads(line)["messages"][0]["content"] for line in OWN_POOL.read_text(encoding="utf-8").splitlines()]
    for query in asked[::97]:
        found = chosen.retrieved(query)
        assert found is not None and len(found) <= 3
        assert all(not same_query(query, one.query) for one in found)
        assert all(one.matched for one in found)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("nonsense\n", "line 1 is not JSON"),
        ('{"query": "a", "answer": "b"}\n[]\n', "line 2"),
        ('{"query": "a"}', "no query"),
        ("", "empty"),
    ],
)
def test_a_wrong_pool_is_named(text: str, named: str, tmp_path: Path) -> None:
    path = tmp_path / "pool.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(PromptError, match=named):
        method("retrieval_icl", pool=path)


def test_a_pool_belongs_to_retrieval_alone(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="retrieval_icl"):
        method("urial", pool=pool_file(tmp_path))
    with pytest.raises(PromptError, match="cannot be read"):
        method("retrieval_icl", pool=tmp_path / "none")


def test_icil_has_its_published_form() -> None:
    chosen = method("icil")
    assert chosen.examples == len(demonstrations()) == 8
    text = chosen.render("Why do cats purr?")
    blocks = text.split("Definition: ")[1:]
    assert len(blocks) == 9
    assert all(re.fullmatch(r"[^\n]+\n\nInput: [^\n]+\nOutput: [^\n]+\n\n", block) for block in blocks[:-1])
    assert blocks[-1] == "Why do cats purr?\n\nInput: None\nOutput:"
    choices = [len(re.findall(r'"', one.definition)) // 2 for one in demonstrations()]
    assert choices == sorted(choices) and all(each.output in each.definition for each in demonstrations())
    talk = (Message(role="user", content="Hi"), Message(role="assistant", content="Hello."))
    assert chosen.render("Bye", talk).endswith(
        "Definition: Hi\n\nInput: None\nOutput: Hello.\n\nDefinition: Bye\n\nInput: None\nOutput:"
    )
    assert chosen.bare().render("Bye") == "Definition: Bye\n\nInput: None\nOutput:"


def test_icil_stops_on_the_next_definition() -> None:
    for pieces in ([" To show\nthat.\n\nDefinition: Next"], list(" To show\nthat.\n\nDefinition: Next")):
        stops = method("icil").stops()
        assert "".join(stops.feed(piece) for piece in pieces) == " To show\nthat."
        assert stops.stopped

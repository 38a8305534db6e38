"""Questions from files: every usual form, the reference files as they are, and what is refused in one sentence."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.support.paths import REFERENCE
from tests.support.records_builder import build
from urial import records
from urial.corpus.questions import HELD_OUT, read_questions
from urial.errors import PromptError


def reference(path: str) -> str:
    if not (REFERENCE / path).exists():
        pytest.skip(f"reference data are not at ../shared/reference/{path}")
    return str(REFERENCE / path)


def write(folder: Path, text: str, name: str = "questions.jsonl") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_mt_bench_as_it_is() -> None:
    found = read_questions(reference("mt_bench/question.jsonl"))
    assert len(found) == 80 and found[0].id == "81"
    assert found[0].query.startswith("Compose an engaging travel blog post")
    assert found[0].tags == {"category": ["writing"]} and found[0].history == ()


@pytest.mark.parametrize(
    ("name", "count"), [("1.score_multi.gpt-4.json", 6), ("1.safety.score_safety.chatgpt.json", 4)]
)
def test_just_eval_files_as_they_are(name: str, count: int) -> None:
    path = reference(f"just_eval/{name}")
    found = read_questions(path)
    data = json.loads(Path(path).read_text(encoding="utf-8"))
    assert [one.query for one in found] == [one["input"] for one in data]
    assert len(found) == count


def test_just_eval_instruct_with_tags(tmp_path: Path) -> None:
    row = {
        "id": 3,
        "instruction": "Why?",
        "source_id": "lima-0",
        "dataset": "lima",
        "category": "regular",
        "task": ["info-seek", "reasoning"],
        "topic": "stem",
        "difficulty": "easy",
        "output": "N/A",
    }
    (found,) = read_questions(write(tmp_path, json.dumps([row]), "q.json"))
    assert (found.id, found.query) == ("3", "Why?")
    assert found.tags == {
        "dataset": ["lima"],
        "task": ["info-seek", "reasoning"],
        "topic": ["stem"],
        "difficulty": ["easy"],
        "safety": ["regular"],
    }


def test_the_held_out_split_by_name() -> None:
    found = read_questions("held_out")
    lines = [json.loads(line) for line in HELD_OUT.read_text(encoding="utf-8").splitlines()]
    assert [one.id for one in found] == [line["id"] for line in lines]
    for one, line in zip(found, lines, strict=True):
        asked = [message for message in line["messages"] if message["role"] == "user"]
        assert one.query == asked[-1]["content"] and len(one.history) == 2 * (len(asked) - 1)
        assert one.tags["topic"] == [line["topic"]]


@pytest.mark.parametrize(
    ("row", "query"),
    [
        ({"query": "A?"}, "A?"),
        ({"instruction": "A?"}, "A?"),
        ({"instruction": "Sum up.", "input": "Text."}, "Sum up.\n\nText."),
        ({"question": "A?"}, "A?"),
        ({"prompt": "A?"}, "A?"),
        ({"turns": ["A?", "B?"]}, "A?"),
        ({"input": "A?"}, "A?"),
        ({"pure_input": "A?", "input": "# Query: A?"}, "A?"),
        ({"messages": [{"role": "user", "content": "A?"}]}, "A?"),
        ({"messages": [{"role": "user", "content": "A?"}, {"role": "assistant", "content": "B."}]}, "A?"),
    ],
)
def test_every_usual_field(row: dict, query: str, tmp_path: Path) -> None:
    for text in (json.dumps(row) + "\n", json.dumps([row])):
        (found,) = read_questions(write(tmp_path, text))
        assert (found.query, found.id) == (query, "1")


def test_a_table_with_line_breaks_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "q.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows([["ID", "Question", "topic"], ["a", 'Two\nlines, "quoted"', "x"], ["b", "=1+1", ""]])
    found = read_questions(str(path))
    assert [(one.id, one.query) for one in found] == [("a", 'Two\nlines, "quoted"'), ("b", "=1+1")]
    assert found[0].tags == {"topic": ["x"]} and found[1].tags == {}


def test_a_saved_comparison_is_a_question(tmp_path: Path) -> None:
    (found,) = read_questions(write(tmp_path, records.to_json(build())))
    assert found.query == build().query


def test_equal_ids_become_unique(tmp_path: Path) -> None:
    text = "".join(json.dumps({"id": "a", "query": f"{n}?"}) + "\n" for n in range(3))
    assert [one.id for one in read_questions(write(tmp_path, text))] == ["a", "a-2", "a-3"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "empty"),
        ('{"answer": "x"}\n', "line 1 has no question"),
        ("[]", "holds no question"),
        ("[1]", "question 1 is a number and no object"),
        ("[{", "not JSON"),
        ("a,b\n1,2\n", "names no column"),
        ("just text", "names no column"),
        ('{"query": "A?"}\n{"query": \n', "line 2 is not JSON"),
        ('{"query": "   "}\n', "line 1: The query is empty"),
        ('{"query": "\\ud83d"}\n', "line 1: The query holds a broken character"),
        ('{"messages": [{"role": "assistant", "content": "x"}]}\n', "no message of the user"),
        ('{"messages": [{"role": "system", "content": "x"}, {"role": "user", "content": "A?"}]}', "line 1: "),
        ('{"messages": "x"}\n', "no list"),
        ('{"turns": []}\n', "line 1 has no question"),
        ('query\n"open', "no CSV"),
        ("[" * 100_000, "not JSON|nested"),
    ],
)
def test_what_is_refused_in_one_sentence(text: str, named: str, tmp_path: Path) -> None:
    with pytest.raises(PromptError, match=named) as caught:
        read_questions(write(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_one_broken_line_in_ten_thousand(tmp_path: Path) -> None:
    lines = [json.dumps({"query": f"{n}?"}) for n in range(10_000)]
    lines[6_543] = '{"query": "cut'
    path = write(tmp_path, "\n".join(lines))
    with pytest.raises(PromptError, match=r"line 6544 .*--skip-broken"):
        read_questions(path)
    told: list[str] = []
    assert len(read_questions(path, skip_broken=True, warn=told.append)) == 9_999
    assert len(told) == 1 and "line 6544" in told[0]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match=r"none\.jsonl.*cannot be read"):
        read_questions(str(tmp_path / "none.jsonl"))

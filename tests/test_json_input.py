"""Every place that reads a JSON file of somebody's: what is no JSON, or other JSON than is wanted, is one sentence."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from urial import records
from urial.corpus.folder import read_summary
from urial.corpus.hub_tables import JUDGEMENTS, judgements
from urial.corpus.lines import FILE, places, read_lines
from urial.corpus.questions import read_questions
from urial.corpus.sources import Recording
from urial.errors import UrialError
from urial.gallery.entries import load_entry
from urial.judge import just_eval, votes
from urial.pairs import ServerSpec
from urial.pairs.availability import listed_files
from urial.prompts.checks import load_history
from urial.prompts.retrieval import load_pool
from urial.servers.address import Address
from urial.servers.failures import said
from urial.sibling import checked, examples, sampling
from urial.steering_records import load_dial, load_nudge
from urial.weights.adapters import CONFIG, read_adapter

DEEP = b"[" * 100_000
READERS: dict[str, tuple[str, Callable[[Path], object]]] = {  # the file's name, what reads it
    "questions": ("f.json", lambda path: read_questions(str(path))),
    "a history": ("f.json", load_history),
    "a pool": ("f.jsonl", lambda path: load_pool(str(path))),
    "a comparison": ("f.json", records.load),
    "a dial": ("f.json", load_dial),
    "a nudged answer": ("f.json", load_nudge),
    "a corpus's lines": (FILE, lambda path: [*read_lines(path.parent)]),
    "a corpus's places": (FILE, lambda path: places(path.parent)),
    "a corpus's figures": ("summary.json", lambda path: read_summary(path.parent)),
    "a recorded corpus": ("f.jsonl", Recording),
    "a recording": ("f.json", load_entry),
    "votes": ("f.json", votes.read),
    "kept votes": (votes.KEPT, lambda path: votes.kept(path.parent)),
    "just-eval's outputs": ("f.json", just_eval.read),
    "examples": ("f.jsonl", examples.load_examples),
    "checked questions": ("f.jsonl", checked.load_checked),
    "questions to sample": ("f.jsonl", sampling.load_questions),
    "an adapter": (CONFIG, lambda path: read_adapter(path.parent)),
}
TEXTS = {
    "null": b"null",
    "a number": b"5",
    "a text": b'"hello"',
    "a deep list": DEEP,
    "a deep object": b'{"a":' * 100_000,
    "a number too long": b'{"query": ' + b"9" * 5000 + b"}",
    "half of an object": b'{"query": ',
    "no UTF-8": b'{"query": "\xff"}',
}


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("reader", READERS)
def test_it_is_one_sentence_that_names_the_file(tmp_path: Path, reader: str, text: str) -> None:
    name, read = READERS[reader]
    path = tmp_path / name
    path.write_bytes(TEXTS[text] + b"\n")
    with pytest.raises(UrialError) as caught:
        read(path)
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message and len(message) < 400 + len(str(path))
    assert name in message
    assert not re.search(r"recursion|sys\.|NoneType|object is not|no column", message), message


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (TEXTS["null"], "line 1 is null and no object"),
        (TEXTS["a number"], "line 1 is a number and no object"),
        (TEXTS["a text"], "line 1 is a text and no object"),
        (b"true", "line 1 is true or false and no object"),
        (b"[[1]]", "question 1 is a list and no object"),
        (DEEP, "is nested too deeply; write a list of objects, or one object a line."),
        (TEXTS["a deep object"], "line 1 is nested too deeply; write one object a line."),
        (TEXTS["a number too long"], "line 1 holds a number with too many digits"),
    ],
)
def test_questions_in_a_wrong_form_are_told_what_they_are(tmp_path: Path, text: bytes, wanted: str) -> None:
    path = tmp_path / "f.json"
    path.write_bytes(text)
    with pytest.raises(UrialError, match=re.escape(wanted)):
        read_questions(str(path))


def test_a_broken_first_line_is_passed_over_as_any_other(tmp_path: Path) -> None:
    path, told = tmp_path / "f.jsonl", []
    path.write_text('null\n{"query": "why?"}\n')
    (question,) = read_questions(str(path), skip_broken=True, warn=told.append)
    assert question.query == "why?" and "line 1 is null" in told[0]


def test_a_table_whose_only_column_is_quoted_is_still_a_table(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text('"query"\n"why?"\n5\n')
    assert [each.query for each in read_questions(str(path))] == ["why?", "5"]


def test_a_corpus_whose_judgements_were_changed_names_the_line(tmp_path: Path) -> None:
    (tmp_path / JUDGEMENTS).write_text('{"a": 1}\n{"a"\n')
    with pytest.raises(UrialError, match=r"line 2 is not JSON"):
        [*judgements(tmp_path)]


def test_what_a_server_or_a_hub_sends_too_deep_is_passed_over(tmp_path: Path) -> None:
    assert said(Address(ServerSpec(base_url="http://host", model="m")), DEEP)
    (tmp_path / "i.json").write_bytes(DEEP)
    assert listed_files(tmp_path / "i.json") == {"i.json is broken"}

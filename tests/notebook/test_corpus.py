"""`pair.corpus(...)`: the folder of `urial corpus`, its summary as tables, its report in a frame."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import tiny
from urial.corpus.aggregate import aggregate
from urial.corpus.lines import FILE, read_lines
from urial.errors import PromptError, SettingsError
from urial.notebook import LoadedPair, corpus
from urial.notebook.corpus import CorpusFigures

QUESTIONS = ["Why?", "How many <b>cats</b>?", "Where to?"]
METHODS = ["zero_shot", "icil"]


@pytest.fixture(scope="module")
def pair() -> LoadedPair:
    return LoadedPair(tiny.pair())


@pytest.fixture(scope="module")
def found(pair: LoadedPair, tmp_path_factory: pytest.TempPathFactory) -> CorpusFigures:
    return pair.corpus(QUESTIONS, tmp_path_factory.mktemp("corpus"), METHODS, max_new_tokens=12)


def test_the_folder_holds_each_question_by_each_method_and_its_figures(found: CorpusFigures) -> None:
    lines = list(read_lines(found.folder))
    asked = {(line.record.query, line.origin.method) for line in lines}
    assert asked == {(query, method) for query in QUESTIONS for method in METHODS}
    assert json.loads((found.folder / "summary.json").read_bytes()) == json.loads(json.dumps(found.summary))
    assert found.summary == aggregate(found.folder)
    assert repr(found).endswith("3 questions by icil, zero_shot>")


def test_a_second_call_runs_only_what_is_missing(pair: LoadedPair, found: CorpusFigures) -> None:
    before = (found.folder / FILE).read_bytes()
    more = pair.corpus(QUESTIONS, found.folder, METHODS, max_new_tokens=12)
    assert (found.folder / FILE).read_bytes() == before and more.summary == found.summary


def test_shares_are_those_of_the_summary(found: CorpusFigures) -> None:
    table = found.shares()
    assert set(table["method"]) == set(METHODS) and len(table) == 2 * 2 * 3
    for row in table.itertuples():
        figures = found.summary["methods"][row.method]["contexts"][row.context]["without_repeats"]
        kind = table.columns.get_loc("class")
        name = table.iloc[row.Index, kind]
        assert row.share == figures["pooled"][name] and [row.low, row.high] == figures["interval"][name]
        assert row.low <= row.share <= row.high and row.tokens == figures["tokens"]
    sums = table.groupby(["method", "context"])["share"].sum()
    assert sums.to_list() == pytest.approx([1.0] * len(sums))


def test_words_and_curves_are_those_of_the_summary(found: CorpusFigures) -> None:
    figures = found.summary["methods"]["icil"]["contexts"]["zero_shot"]
    words = found.most_shifted("icil")
    assert words["text"].to_list() == [row["text"] for row in figures["most_shifted"]]
    curve = found.curve("icil")
    bare = curve[curve["context"] == "zero_shot"]
    assert bare["mean"].to_list() == figures["curves"]["kl"]["mean"]
    assert bare["position"].to_list() == list(range(len(bare))) and bare["n"].to_list() == figures["curves"]["n"]


def test_it_shows_the_report_in_a_frame_without_network(found: CorpusFigures) -> None:
    frame = re.fullmatch(
        r'<iframe sandbox="allow-scripts allow-downloads" srcdoc="([^"]*)" .*</iframe>', found._repr_html_()
    )
    assert frame is not None
    page = html.unescape(frame[1])
    assert page == (found.folder / "report.html").read_text(encoding="utf-8") and "default-src 'none'" in page


def test_a_large_report_is_a_table_that_says_where_it_is(found: CorpusFigures, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "FRAME_BYTES", 100)
    view = found._repr_html_()
    assert "iframe" not in view and "<table>" in view and str(found.folder / "report.html") in view


@pytest.mark.parametrize(
    ("act", "kind", "named"),
    [
        (lambda pair, path: pair.corpus([], path), PromptError, "at least one"),
        (lambda pair, path: pair.corpus(["a", " "], path), PromptError, "none of them empty"),
        (lambda pair, path: pair.corpus(["a"], path, "urial"), SettingsError, "list of names"),
        (lambda pair, path: pair.corpus(["a"], path, ["magic"]), SettingsError, "magic"),
        (lambda pair, path: pair.corpus(["a"], path, max_new_tokens=0), SettingsError, "max_new_tokens"),
        (lambda pair, path: pair.corpus("nowhere.jsonl", path), PromptError, "nowhere.jsonl"),
    ],
)
def test_a_mistake_is_one_sentence_and_writes_nothing(
    pair: LoadedPair, tmp_path: Path, act: Callable, kind: type[Exception], named: str
) -> None:
    with pytest.raises(kind, match=re.escape(named)):
        act(pair, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_what_is_not_in_the_folder_is_named(found: CorpusFigures) -> None:
    for act in (
        lambda: found.most_shifted("urial"),
        lambda: found.most_shifted("icil", "both"),
        lambda: found.curve("icil", "n"),
    ):
        with pytest.raises(SettingsError, match="choose one of"):
            act()

"""`import urial` as a researcher uses it: quick to import, the record with a view, tables, mistakes in one sentence."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

import urial
from tests.support import tiny
from tests.support.paths import ROOT
from tests.support.records_builder import build
from urial import notebook, records
from urial.compare import run as core
from urial.compare.events import AlignedToken, Done
from urial.errors import PromptError, SettingsError
from urial.notebook import Comparisons, LoadedPair, NotebookComparison
from urial.notebook.view import FRAME_ROWS, shown
from urial.records import Comparison
from urial.render import report


@pytest.fixture(scope="module")
def pair() -> LoadedPair:
    return LoadedPair(tiny.pair())


def test_importing_the_package_is_quick_and_loads_nothing_heavy() -> None:
    code = (
        "import time; start = time.process_time(); import urial; took = time.process_time() - start; import sys; "
        "print(took < 0.05, [m for m in ('torch', 'gradio', 'transformers', 'numpy', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "True []"
    assert {"load", "__version__"} <= set(dir(urial))
    assert urial.load is notebook.load


def assert_same_shift(one: Comparison, other: Comparison) -> None:
    """To float32's rounding: what else is in a step changes the last bits of a library's sums."""
    assert list(one.shift) == list(other.shift)
    for name, shift in one.shift.items():
        for row, twin in zip(shift.tokens, other.shift[name].tokens, strict=True):
            assert (row.id, row.base_rank, row.aligned_rank) == (twin.id, twin.base_rank, twin.aligned_rank)
            assert row.kl == pytest.approx(twin.kl, abs=1e-5)


def test_a_comparison_is_the_record_of_the_command_line(pair: LoadedPair) -> None:
    found = pair.compare("Hello there", max_new_tokens=6, method="vanilla_icl")
    plain = core.result(core.compare(pair.engines, notebook.ask("Hello there", max_new_tokens=6, method="vanilla_icl")))
    assert isinstance(found, Comparison)
    assert found.aligned.token_ids == plain.aligned.token_ids
    assert_same_shift(found, plain)
    assert set(found.shift) == {"zero_shot", "urial"}


def test_the_stream_ends_with_the_record_and_can_be_left(pair: LoadedPair) -> None:
    events = list(pair.stream("Hello", max_new_tokens=4, examples=0))
    assert isinstance(events[-1], Done)
    assert sum(isinstance(event, AlignedToken) for event in events) == len(events[-1].comparison.aligned.token_ids)
    left = pair.stream("Hello", max_new_tokens=200, examples=0)
    next(left)
    left.close()
    assert_same_shift(pair.compare("Hello", max_new_tokens=4, examples=0), events[-1].comparison)


def test_a_given_answer_is_scored_and_a_table_has_a_row_a_token(pair: LoadedPair) -> None:
    pandas = pytest.importorskip("pandas")
    scored = pair.score("2+2?", "Four, of course.", contexts=["zero_shot"], examples=0)
    table = scored.to_frame()
    assert isinstance(table, pandas.DataFrame)
    assert list(scored.shift) == ["zero_shot"] and set(table["context"]) == {"zero_shot"}
    assert "".join(table["text"]) == scored.aligned.text == "Four, of course."
    assert list(table["base_rank"]) == [row.base_rank for row in scored.shift["zero_shot"].tokens]


def test_several_comparisons_are_a_table(pair: LoadedPair) -> None:
    pandas = pytest.importorskip("pandas")
    several = pair.compare_all(["<b>One</b>", "Two"], max_new_tokens=3, examples=0)
    assert isinstance(several, Comparisons)
    shown_as = several._repr_html_()
    assert shown_as.count("<tr>") == 1 + 2 * 2
    assert "&lt;b&gt;One&lt;/b&gt;" in shown_as and "<b>" not in shown_as
    table = several.to_frame()
    assert isinstance(table, pandas.DataFrame) and set(table["question"]) == {0, 1}


def test_a_comparison_shows_itself_in_a_frame_without_network() -> None:
    view = shown(build())._repr_html_()
    frame = re.fullmatch(
        r'<iframe sandbox="allow-scripts allow-downloads" srcdoc="([^"]*)" .*></iframe>', view, re.DOTALL
    )
    assert frame is not None
    page = html.unescape(frame[1])
    assert page == report.comparison_page(build())
    assert "default-src 'none'" in page


def test_what_is_too_large_for_a_notebook_is_a_table_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    large = build()
    one = large.shift["urial"]
    rows = [one.tokens[0].model_copy(update={"position": place}) for place in range(FRAME_ROWS + 1)]
    large = large.model_copy(update={"shift": {**large.shift, "urial": one.model_copy(update={"tokens": rows})}})
    view = shown(large)._repr_html_()
    assert "iframe" not in view and ".to_html(" in view and "<table>" in view


def test_a_report_and_a_record_can_be_written(tmp_path: Path) -> None:
    kept = shown(build())
    kept.to_html(tmp_path / "r.html")
    assert (tmp_path / "r.html").read_text(encoding="utf-8") == report.comparison_page(build())
    assert kept.to_json() == records.to_json(build())
    assert isinstance(kept, NotebookComparison)


@pytest.mark.parametrize(
    ("options", "kind", "named"),
    [
        ({"query": " "}, PromptError, "empty"),
        ({"query": "q", "method": "magic"}, SettingsError, "magic"),
        ({"query": "q", "temperature": -1}, SettingsError, "temperature"),
        ({"query": "q", "max_new_tokens": 0}, SettingsError, "max_new_tokens"),
        ({"query": "q", "contexts": ["urial", "all"]}, SettingsError, "contexts"),
        ({"query": "q", "contexts": []}, SettingsError, "contexts"),
        ({"query": "q", "aligned_method": "magic"}, SettingsError, "chat or s2a"),
        ({"query": "q", "history": [{"role": "user"}]}, PromptError, "content"),
        ({"query": "q", "history": [{"role": "user", "content": "x"}]}, PromptError, "ends with a user"),
    ],
)
def test_a_mistake_is_one_sentence(options: dict, kind: type[Exception], named: str) -> None:
    with pytest.raises(kind, match=named) as caught:
        notebook.ask(**options)
    assert "\n" not in str(caught.value)


def test_the_dial_and_nudging_give_their_records(pair: LoadedPair) -> None:
    options = {"max_new_tokens": 8, "method": "vanilla_icl"}
    whole = pair.compare("Hello there", **options)
    dialled = pair.dial("Hello there", [0, 0.5, 1], context="urial", **options)
    assert [position.at for position in dialled.positions] == [0, 0.5, 1]
    assert dialled.positions[0].token_ids == whole.base.token_ids
    assert dialled.positions[2].token_ids == whole.aligned.token_ids
    assert len(dialled.switch_points) == len(whole.aligned.token_ids)
    assert pair.nudge("Hello there", "rank>1", **options).token_ids == whole.aligned.token_ids
    with pytest.raises(SettingsError, match="rank>R"):
        pair.nudge("Hello there", "rank=1")


def test_all_that_writes_can_have_the_aligned_model_rewrite_the_query(pair: LoadedPair, tmp_path: Path) -> None:
    """The tiny model's rewrite cannot be read, and the records say so; nothing is asked for in vain."""
    options: dict = {"max_new_tokens": 6, "examples": 0}
    rewriting = {**options, "aligned_method": "s2a"}
    for ask in (pair.compare, partial(pair.dial, at=[0, 1]), partial(pair.nudge, rule="rank>1")):
        found = ask("Hello there", **rewriting).rewrite
        assert found is not None and found.asked == "Hello there" and "as it stands" in found.fallback
        assert ask("Hello there", **options).rewrite is None
    with pytest.raises(SettingsError, match="leave aligned_method out"):
        pair.score("Hello there", "Hi", **rewriting)
    with pytest.raises(SettingsError, match="leave aligned_method out"):
        pair.corpus(["Hello there"], str(tmp_path / "out"), **rewriting)
    assert not (tmp_path / "out").exists()

"""Lines of a corpus: what is written is read, a torn end is dropped, and a broken line is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.records_builder import build
from urial.corpus.lines import FILE, Line, Origin, cut_torn_end, from_text, read_lines, to_text
from urial.errors import RecordError

ORIGIN = Origin(key="k1", id="q1", method="urial", tags={"topic": ["nature"]})


def test_a_line_is_the_record_and_comes_back() -> None:
    done = Line(origin=ORIGIN, query=build().query, record=build())
    failed = Line(origin=ORIGIN, query="Why?\u2028", error="The server broke off.")
    for line in (done, failed):
        assert from_text(to_text(line), "x") == line
        assert to_text(line).count("\n") == 1
    assert '"schema": "urial.comparison/1"' in to_text(done)


def test_a_torn_end_is_passed_over_and_cut(tmp_path: Path) -> None:
    whole = to_text(Line(origin=ORIGIN, query=build().query, record=build()))
    path = tmp_path / FILE
    for torn in ("", whole[:5], whole[:-1], "x" * 200_000):
        path.write_text(whole + whole + torn, encoding="utf-8")
        assert len(list(read_lines(tmp_path))) == 2
        cut_torn_end(path)
        assert path.read_text(encoding="utf-8") == whole + whole
    path.write_text("torn", encoding="utf-8")
    cut_torn_end(path)
    assert path.read_bytes() == b""
    cut_torn_end(tmp_path / "none")


@pytest.mark.parametrize(
    ("text", "named"),
    [("nonsense", "JSON"), ("[]", "corpus"), ('{"a": 1}', "corpus"), ('{"corpus": {"key": 1}}', "corpus")],
)
def test_a_broken_line_is_named(text: str, named: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(f"{text}\n", encoding="utf-8")
    with pytest.raises(RecordError, match=named) as caught:
        list(read_lines(tmp_path))
    assert "line 1" in str(caught.value)


def test_a_folder_without_records_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"records\.jsonl cannot be read"):
        list(read_lines(tmp_path))

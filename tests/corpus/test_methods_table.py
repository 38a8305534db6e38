"""The table of methods in a document: its numbers are the summary's, the rest of the document stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.lines_builder import make_lines, write_lines
from urial.cli.main import main
from urial.corpus.folder import read_summary
from urial.corpus.methods_table import BEGIN, END


def test_the_table_holds_the_summarys_figures_and_can_be_written_again(tmp_path: Path) -> None:
    folder = write_lines(tmp_path / "corpus", make_lines(8))
    page = tmp_path / "page.md"
    page.write_text(f"# Before\n\n{BEGIN}\nold\n{END}\n\nAfter.\n", encoding="utf-8")
    for _ in range(2):
        assert main(["corpus", "--out", str(folder), "--table", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# Before\n\n{BEGIN}\n") and text.endswith(f"{END}\n\nAfter.\n") and "old" not in text
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    methods = read_summary(folder)["methods"]
    assert [row[:2] for row in rows[2:]] == [
        ["urial", "only the question"],
        ["urial", "the method's prompt"],
        ["zero\\_shot", "only the question"],
    ]
    for row, found in zip(
        rows[2:], [*methods["urial"]["contexts"].values(), methods["zero_shot"]["contexts"]["zero_shot"]], strict=True
    ):
        found = found["without_repeats"]
        for cell, name in zip(row[2:5], ("unshifted", "marginal", "shifted"), strict=True):
            low, high = found["interval"][name]
            assert cell == f"{100 * found['pooled'][name]:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
        assert row[5:] == [f"{found['pooled']['mean_kl']:.3f}", str(found["answers"]), str(found["tokens"])]


@pytest.mark.parametrize("text", [None, "no marks", END + BEGIN])
def test_a_document_without_its_marks_is_one_sentence(
    text: str | None, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    folder, page = write_lines(tmp_path / "corpus", make_lines(3)), tmp_path / "page.md"
    if text is not None:
        page.write_text(text, encoding="utf-8")
    assert main(["corpus", "--out", str(folder), "--table", str(page)]) == 2
    assert "page.md" in capsys.readouterr().err
    assert text is None or page.read_text(encoding="utf-8") == text

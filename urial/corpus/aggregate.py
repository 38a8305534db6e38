"""From the lines of a folder to its figures and its report, as the command and a notebook both want them.

Knows the folder; loads no model. Read `figures.py` for what is in a summary.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from urial.corpus.answers import Corpus, read
from urial.corpus.figures import summarize
from urial.corpus.folder import SUMMARY, write_json
from urial.corpus.report import write_report
from urial.corpus.views import NOT_JUDGED, Row
from urial.errors import EngineError, RecordError
from urial.pairs import load_pairs


def aggregate(folder: Path, judged: Row = NOT_JUDGED) -> dict[str, Any]:
    """Write `summary.json` and `report.html`, and give the summary; `judged` is what a judge said.

    Raises RecordError, EngineError or Failure.
    """
    corpus = read(folder)
    check_not_empty(corpus, folder)
    summary = summarize(corpus, papers())
    write_json(folder / SUMMARY, summary)
    write_report(folder, summary, judged)
    return summary


def check_not_empty(corpus: Corpus, folder: Path) -> None:
    if not corpus.answered and not corpus.lost:
        raise RecordError(f"{folder} holds no line yet; run `urial corpus QUERIES --out {folder}` first.")
    if not corpus.answered:
        raise EngineError(f"All {len(corpus.lost)} questions failed; the first: {corpus.lost[0].error}")


def papers() -> list[dict[str, Any]]:
    """The paper's pairs, from `models.yaml`: percentages of classes, only the question in sight, end tokens in."""
    pairs = load_pairs(None).pairs.values()
    return [{"pair": pair.title, **pair.paper.model_dump()} for pair in pairs if pair.paper is not None]

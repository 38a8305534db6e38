"""`report.html`: figures, questions and every answer of a corpus in one file that needs no network, server or model.

Answers lie packed until they are opened. Where they would make the file larger than 3 MB for 200 questions, their lists
of alternatives are cut, and the report says so.
"""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

from urial.corpus.folder import write_text
from urial.corpus.views import TOP, Row, packed_questions, table_rows
from urial.render.report import corpus_page, embed_json

FILE = "report.html"
LIMIT, OF = 3_000_000, 200  # bytes for this many questions; fewer have the same limit, more have more
SAMPLED = 12  # questions that the size is told from
SCRIPTS = 150_000  # bytes of script and style
TOPS = (TOP, 5, 3, 1, 0)  # entries of the lists that are tried


def write_report(folder: Path, summary: dict[str, Any]) -> None:
    """Raises Failure where it cannot be written."""
    write_text(folder / FILE, report(folder, summary))


def report(folder: Path, summary: dict[str, Any], limit: int = LIMIT) -> str:
    """The page, of at most `limit` bytes for OF questions or fewer, if cutting lists can make it so."""
    rows = table_rows(folder)
    limit = round(limit * max(1.0, len(rows) / OF))
    for top in TOPS:
        if top and _expected(folder, summary, rows, top) > limit:
            continue  # to pack all only to throw it away takes a minute
        page = _page(folder, summary, rows, top)
        if len(page.encode()) <= limit:
            break
    return page


def _expected(folder: Path, summary: dict[str, Any], rows: list[Row], top: int) -> float:
    """Bytes of the page, from every so manieth question."""
    step = max(1, len(rows) // SAMPLED)
    sizes = [len(text) for _, text in packed_questions(folder, top, step)]
    front = len(embed_json({"summary": summary, "rows": rows}).encode())
    return front + SCRIPTS + len(rows) * (sum(sizes) / len(sizes) if sizes else 0)


def _page(folder: Path, summary: dict[str, Any], rows: list[Row], top: int) -> str:
    places = {row["id"]: place for place, row in enumerate(rows)}
    note = "" if top == TOP else f"Each token's lists of alternatives are cut to {top} to keep this file small."
    facts = {"summary": summary, "rows": rows, "note": note}
    packed = [
        f'<script type="text/plain" id="question-{places[question]}">{text}</script>'
        for question, text in packed_questions(folder, top)
    ]
    data = f'<script type="application/json" id="corpus">{embed_json(facts)}</script>\n' + "\n".join(packed)
    return corpus_page("URIAL side by side: over many questions", data, _plain(summary))


def _plain(summary: dict[str, Any]) -> str:
    """The main table, for a reader without JavaScript."""
    head = "<tr><th>method</th><th>the base sees</th><th>unshifted</th><th>marginal</th><th>shifted</th></tr>"
    rows = [
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(context)}</td>"
        + "".join(f"<td>{_percent(found['pooled'][key])}</td>" for key in ("unshifted", "marginal", "shifted"))
        + "</tr>"
        for name, method in summary["methods"].items()
        for context, found in method["contexts"].items()
    ]
    return f"<h1>URIAL side by side: over many questions</h1><table>{head}{''.join(rows)}</table>"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"

"""`report.html`: figures, questions and every answer of a corpus in one file that needs no network, server or model.

Answers lie packed until they are opened. Where they would make the file larger than 3 MB for 200 questions, their lists
of alternatives are cut; where that is not enough, the answers of the last questions are left out. The report says so.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from urial.corpus.folder import write_text
from urial.corpus.views import NOT_JUDGED, TOP, Row, pack, packed_questions, table_rows
from urial.render.report import corpus_page, embed_json

FILE = "report.html"
LIMIT, OF = 3_000_000, 200  # bytes for this many questions; fewer have the same limit, more have more
SAMPLED = 12  # questions that the size is told from
SCRIPTS = 150_000  # bytes of script and style
TOPS = (TOP, 5, 3, 1, 0)  # entries of the lists that are tried
CUT = "Each token's lists of alternatives are cut to {} to keep this file small."
LEFT_OUT = (
    "The answers of the first {} of {} questions are in this file, all of them in the folder: "
    "`python app.py --corpus FOLDER` shows them."
)


def write_report(folder: Path, summary: dict[str, Any], judged: Row = NOT_JUDGED) -> None:
    """`judged` is what `urial.judge.shown` gives. Raises Failure where it cannot be written."""
    write_text(folder / FILE, report(folder, summary, judged=judged))


def report(folder: Path, summary: dict[str, Any], limit: int = LIMIT, judged: Row = NOT_JUDGED) -> str:
    """The page, of at most `limit` bytes for OF questions or fewer; figures and rows are never cut."""
    rows = table_rows(folder)
    facts = {"summary": summary, "rows": rows, "judged": judged["front"]}
    said = {name: pack(value) for name, value in judged["questions"].items()}
    front = embed_json(facts) + "".join(said.values())
    limit = round(limit * max(1.0, len(rows) / OF))
    for top in TOPS:
        if top and _expected(folder, front, len(rows), top) > limit:
            continue  # to pack all only to throw it away takes a minute
        packed = dict(packed_questions(folder, top))
        page = _page(facts, said, packed, top)
        if (excess := len(page.encode()) - limit) <= 0:
            return page
    return _page(facts, said, _first(packed, said, excess + len(LEFT_OUT)), top)


def _first(packed: Mapping[str, str], said: Mapping[str, str], excess: int) -> dict[str, str]:
    """Without the last questions, so that at least `excess` bytes are gone."""
    kept = dict(packed)
    while kept and excess > 0:
        name, text = kept.popitem()
        excess -= len(text) + len(said.get(name, ""))
    return kept


def _expected(folder: Path, front: str, count: int, top: int) -> float:
    """Bytes of the page, from every so manieth question."""
    step = max(1, count // SAMPLED)
    sizes = [len(text) for _, text in packed_questions(folder, top, step)]
    return len(front.encode()) + SCRIPTS + count * (sum(sizes) / len(sizes) if sizes else 0)


def _page(facts: dict[str, Any], said: Mapping[str, str], packed: Mapping[str, str], top: int) -> str:
    """Of the answers that are `packed`, with what a judge said of them."""
    places = {row["id"]: place for place, row in enumerate(facts["rows"])}
    texts = [_text(f"question-{places[name]}", text) for name, text in packed.items()]
    texts += [_text(f"judged-{places[name]}", text) for name, text in said.items() if name in packed]
    told = embed_json({**facts, "note": _note(facts, packed, top)})
    data = f'<script type="application/json" id="corpus">{told}</script>'
    return corpus_page("URIAL side by side: over many questions", "\n".join([data, *texts]), _plain(facts["summary"]))


def _note(facts: dict[str, Any], packed: Mapping[str, str], top: int) -> str:
    """What was cut, in a sentence; empty where nothing was."""
    answered = sum(any("error" not in found for found in row["methods"].values()) for row in facts["rows"])
    cut = "" if top == TOP else CUT.format(top)
    return cut if len(packed) == answered else f"{cut} {LEFT_OUT.format(len(packed), answered)}"


def _text(name: str, packed: str) -> str:
    """Base64 alone: nothing in it can end the element."""
    return f'<script type="text/plain" id="{name}">{packed}</script>'


def _plain(summary: dict[str, Any]) -> str:
    """The main table, for a reader without JavaScript."""
    names = ("method", "the base sees", "unshifted", "marginal", "shifted", "repeated tokens left out")
    head = f"<tr>{''.join(f'<th>{name}</th>' for name in names)}</tr>"
    rows = [
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(context)}</td>"
        + "".join(f"<td>{_percent(found['pooled'][key])}</td>" for key in ("unshifted", "marginal", "shifted"))
        + f"<td>{found.get('repeats', 'none')}</td></tr>"
        for name, method in summary["methods"].items()
        for context, found in method["contexts"].items()
    ]
    return f"<h1>URIAL side by side: over many questions</h1><table>{head}{''.join(rows)}</table>"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"

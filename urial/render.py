"""A comparison for the eye: the token view's data, its script and style, the stand-alone report.

The view itself is plain JavaScript and CSS under `assets/`, cut by idea and joined here, so that no build step is
needed. Knows the record; knows nothing about models, prompts, engines or Gradio.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from urial.records import (
    Comparison,
    ContextShift,
    Message,
    PairInfo,
    Rewrite,
    Settings,
    ShiftClass,
    Side,
    SideName,
    TokenShift,
    TopEntry,
)
from urial.repeats import repeated_spans
from urial.reproduce import command
from urial.sheet import to_csv

__all__ = [
    "embed_json",
    "payload",
    "report",
    "rows_payload",
    "script",
    "side_payload",
    "started_payload",
    "style",
    "to_csv",
]

ASSETS = Path(__file__).parent / "assets"
SCRIPTS = (
    "dom",
    "words",
    "format",
    "raw",
    "code",
    "store",
    "paint",
    "glossary",
    "head",
    "sides",
    "branch",
    "tokens",
    "walk",
    "cursor",
    "controls",
    "bar",
    "score",
    "paper",
    "strip",
    "curve",
    "figures",
    "card",
    "shifted",
    "table",
    "run",
    "help",
    "pens",
    "picture",
    "methods",
    "main",
)
CORPUS_SCRIPTS = ("plot", "figures", "questions", "main")
STYLES = ("palette", "frame", "tokens", "panels", "card", "adapt")

CLASS_SIGNS: dict[ShiftClass, str] = {"unshifted": "u", "marginal": "m", "shifted": "s", "unscored": "n"}
PROBABILITY_DIGITS = 5  # decimals of a fraction; the page shows at most four (0.01 %)
NATS_DIGITS = 4  # decimals; the page shows two

Payload = dict[str, Any]


# --- the view's data ----------------------------------------------------------------------------------------------


def payload(comparison: Comparison, note: str = "") -> Payload:
    """What the page needs of a comparison, as plain JSON values; `note` is the pair's note from `models.yaml`.

    It is not a record: probabilities are rounded to 5 decimals and nats to 4 (`to_json` keeps them whole).
    """
    return {
        "view": "urial.view/1",
        "query": comparison.query,
        "history": [message.model_dump() for message in comparison.history],
        "pair": comparison.pair.model_dump(),
        "settings": comparison.settings.model_dump(),
        "note": note,
        "command": command(comparison),
        "base": side_payload(comparison.base),
        "aligned": side_payload(comparison.aligned),
        "repeats": repeated_spans(comparison.aligned.token_ids),
        "shift": {name: _context_payload(shift) for name, shift in comparison.shift.items()},
        "problems": [problem.model_dump() for problem in comparison.problems],
        "rewrite": comparison.rewrite and _rewrite_payload(comparison.rewrite),
    }


def _rewrite_payload(rewrite: Rewrite) -> Payload:
    """The call before the aligned answer, in full."""
    prompt, text = rewrite.call.prompt, rewrite.call.text
    return {"prompt": prompt, "tokens": len(rewrite.call.prompt_ids), "text": text, "fallback": rewrite.fallback}


def started_payload(
    query: str,
    history: Sequence[Message],
    pair: PairInfo,
    settings: Settings,
    prompts: Mapping[SideName, str],
    prompt_tokens: Mapping[SideName, int],
    note: str = "",
) -> Payload:
    """What is known of a comparison before its first token: the facts of `events.Started`, for `view.reset`."""
    return {
        "query": query,
        "history": [message.model_dump() for message in history],
        "pair": pair.model_dump(),
        "settings": settings.model_dump(),
        "prompts": dict(prompts),
        "prompt_tokens": dict(prompt_tokens),
        "note": note,
    }


def side_payload(side: Side) -> Payload:
    """One finished side; `tokens` counts all that the model produced, its end token included."""
    return {
        "prompt": side.prompt,
        "prompt_tokens": len(side.prompt_ids),
        "text": side.text,
        "tokens": len(side.token_ids),
        "stop_reason": side.stop_reason,
        "seconds": _round(side.seconds, 3),
        "first_token_seconds": _round(side.first_token_seconds, 3),
        "tokens_per_second": _round(side.tokens_per_second, 2),
        "settings": side.settings and side.settings.model_dump(),
    }


def _context_payload(shift: ContextShift) -> Payload:
    return {
        "context": shift.context,
        "context_tokens": len(shift.context_ids),
        "exact": shift.exact,
        "rows": rows_payload(shift.tokens),
    }


def rows_payload(rows: Sequence[TokenShift]) -> Payload:
    """Consecutive rows of one context as columns; each token text is sent once, in `table`, and named by its index."""
    table: dict[tuple[int, str], int] = {}

    def index(token_id: int, text: str) -> int:
        return table.setdefault((token_id, text), len(table))

    def ids(top: Iterable[TopEntry]) -> list[int]:
        return [index(token_id, text) for token_id, text, _ in top]

    columns: Payload = {
        "start": rows[0].position if rows else 0,
        "token": [index(row.id, row.text) for row in rows],
        "class": "".join(CLASS_SIGNS[row.shift_class] for row in rows),
        "special": [row.position for row in rows if row.is_special],
        "base_rank": [row.base_rank for row in rows],
        "aligned_rank": [row.aligned_rank for row in rows],
        "base_p": _probabilities(row.base_probability for row in rows),
        "aligned_p": _probabilities(row.aligned_probability for row in rows),
        "kl": [_round(row.kl, NATS_DIGITS) for row in rows],
        "js": [_round(row.js, NATS_DIGITS) for row in rows],
        "switch": _probabilities(row.switch_point for row in rows),
        "base_top": [ids(row.base_top) for row in rows],
        "base_top_p": [_probabilities(p for _, _, p in row.base_top) for row in rows],
        "aligned_top": [ids(row.aligned_top) for row in rows],
        "aligned_top_p": [_probabilities(p for _, _, p in row.aligned_top) for row in rows],
    }
    if any(row.uncovered is not None for row in rows):  # KL and JS are lower bounds
        columns["uncovered"] = [_round(row.uncovered, PROBABILITY_DIGITS) for row in rows]
    if not all(row.is_scored for row in rows):
        columns["unscored"] = {row.position: row.reason for row in rows if not row.is_scored}
    return {"table": [list(entry) for entry in table], **columns}


def _probabilities(values: Iterable[float | None]) -> list[float | int | None]:
    return [_round(value, PROBABILITY_DIGITS) for value in values]


def _round(value: float | None, digits: int) -> float | int | None:
    """Rounded, and without the `.0` that JSON would carry."""
    if value is None:
        return None
    rounded = round(value, digits)
    return int(rounded) if rounded == int(rounded) else rounded


# --- the component ------------------------------------------------------------------------------------------------


@cache
def script(*, corpus: bool = False) -> str:
    """The token view: one classic script that sets `window.UrialView`, and with a corpus `window.UrialCorpus`."""
    parts = "\n".join(_asset(f"js/{name}.js") for name in SCRIPTS)
    if corpus:  # a block of its own: it sees the view's names and may use any of them for something else
        parts += "\n{\n" + "\n".join(_asset(f"corpus/{name}.js") for name in CORPUS_SCRIPTS) + "\n}"
    return f'(() => {{\n"use strict";\n{parts}\n}})();\n'


@cache
def style(*, corpus: bool = False) -> str:
    """The token view's style sheet; every rule is scoped under `.urial-view`, those of a corpus under `.uc`."""
    names = [f"css/{name}.css" for name in STYLES] + (["corpus/corpus.css"] if corpus else [])
    return "\n".join(map(_asset, names))


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


# --- the stand-alone report ---------------------------------------------------------------------------------------


def report(comparison: Comparison, note: str = "") -> str:
    """One HTML file that shows the comparison without network, server or model.

    Its content security policy allows this script and this style by their hashes, and nothing else.
    """
    data = f'<script type="application/json" id="comparison">{embed_json(payload(comparison, note))}</script>'
    return whole_page(
        _title(comparison.query), script() + _asset("report.js"), _report_style(), data, _plain(comparison)
    )


def corpus_page(title: str, data: str, plain: str) -> str:
    """The same for a corpus; `data` are script elements that hold JSON, `plain` is markup for those without."""
    style_text = style(corpus=True) + "\n" + _asset("report.css")
    return whole_page(title, script(corpus=True) + _asset("corpus/report.js"), style_text, data, plain)


def whole_page(title: str, script_text: str, style_text: str, data: str, plain: str) -> str:
    """A page in one file. Its policy allows this script and this style by their hashes, and nothing else."""
    parts = {
        "policy": _policy(script_text, style_text),
        "title": html.escape(title),
        "style": style_text,
        "script": script_text,
        "data": data,
        "plain": plain,
    }
    page = _asset("report.html")
    head, *rest = page.split("{{")  # split once, so that a value that looks like a slot is never filled again
    return head + "".join(parts[piece.split("}}", 1)[0]] + piece.split("}}", 1)[1] for piece in rest)


def embed_json(value: object) -> str:
    """JSON that is safe inside a script element and inside a JavaScript string context."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def _report_style() -> str:
    return style() + "\n" + _asset("report.css")


def _policy(script_text: str, style_text: str) -> str:
    return (
        f"default-src 'none'; script-src '{_hash(script_text)}'; style-src '{_hash(style_text)}'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _title(query: str) -> str:
    line = " ".join(query.split())
    return f"URIAL side by side: {line[:60]}{'…' if len(line) > 60 else ''}"


def _plain(comparison: Comparison) -> str:
    """The two answers as plain text, for a reader without JavaScript."""
    rows = [
        ("Query", comparison.query),
        (f"Base: {comparison.pair.base}", comparison.base.text),
        (f"Aligned: {comparison.pair.aligned}", comparison.aligned.text),
    ]
    return "".join(f"<h2>{html.escape(name)}</h2><pre>{html.escape(text)}</pre>" for name, text in rows)

"""The token view's script and style, and pages in one file that need no network, server or model.

The view itself is plain JavaScript and CSS under `assets/`, cut by idea and joined here, so that no build step is
needed.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from urial.records import Comparison
from urial.render.view import payload

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
    "labels",
    "run",
    "help",
    "pens",
    "picture",
    "methods",
    "main",
)
CORPUS_SCRIPTS = ("plot", "figures", "judge_plots", "judge", "verdicts", "questions", "main")
STYLES = ("palette", "frame", "tokens", "panels", "card", "adapt")


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
    names = [f"css/{name}.css" for name in STYLES] + (["corpus/corpus.css", "corpus/judge.css"] if corpus else [])
    return "\n".join(map(_asset, names))


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def comparison_page(comparison: Comparison, note: str = "") -> str:
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
    return _template().render(
        policy=Markup(_policy(script_text, style_text)),
        title=title,
        style=Markup(style_text),
        script=Markup(script_text),
        data=Markup(data),
        plain=Markup(plain),
    )


@cache
def _template() -> Template:
    """Whatever is no `Markup` is escaped."""
    found = Environment(
        loader=FileSystemLoader(ASSETS), autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    return found.get_template("report.html")


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

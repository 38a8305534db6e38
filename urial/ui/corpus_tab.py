"""The Corpus tab: the figures of many questions, and each answer in the token view. No model is needed."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import gradio as gr

from urial.corpus.sources import RECORDED, Source, open_source
from urial.ui.bridge import host
from urial.ui.server_functions import Answer, answering

LEAD = (
    "One answer is one sample. Here are the same numbers over many questions, with intervals; nothing is computed "
    "now. Make your own with <code>urial corpus QUERIES --out DIR</code>, and show it here with "
    "<code>--corpus DIR</code>."
)
NONE_YET = "No corpus is recorded here yet; start the page with --corpus DIR to look into one of your own."


def build_corpus(path: Path | None) -> None:
    """The tab's components, inside an open Blocks."""
    gr.HTML(LEAD, elem_id="corpus-lead", elem_classes=["quiet"], apply_default_css=False)
    host("corpus", (), shelf(path))


def shelf(path: Path | None) -> list[Callable[[dict[str, Any]], Answer]]:
    """What the script asks: the figures with the table, and one question's answers."""

    @cache
    def source() -> Source | None:
        chosen = path or (RECORDED if RECORDED.exists() else None)
        return open_source(chosen) if chosen else None

    @answering
    def corpus_front(_: dict[str, Any]) -> Answer:
        found = source()
        return found.front() if found else {"error": NONE_YET}

    @answering
    def corpus_question(data: dict[str, Any]) -> Answer:
        found = source()
        return {"methods": found.question(str(data.get("id")))} if found else {"error": NONE_YET}

    return [corpus_front, corpus_question]

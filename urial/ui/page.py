"""The whole page as one `gr.Blocks`, and the arguments of its launch. Each tab is a file; `TABS` is their register."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import gradio as gr

from urial.gallery import FOLDER
from urial.render import report
from urial.ui import languages
from urial.ui.admission import Admission
from urial.ui.api import add_endpoints
from urial.ui.class_tab import build_class
from urial.ui.compare_tab import build_compare
from urial.ui.corpus_tab import build_corpus
from urial.ui.form import FIELDS
from urial.ui.gallery_tab import build_gallery
from urial.ui.learn_tab import build_learn
from urial.ui.service import Service
from urial.ui.theme import theme
from urial.workshop.routes import Class, class_routes

ASSETS = Path(__file__).parent / "assets"
SCRIPTS = (
    "elements",
    "feed",
    "turn",
    "steps",
    "share",
    "away",
    "changes",
    "steering_parts",
    "dial",
    "nudge",
    "steering",
    "ladder",
    "form_fold",
    "size_note",
    "conversation",
    "address",
    "gallery",
    "corpus",
    "welcome",
    "language",
    "page",
)
STYLES = ("page", "steering", "ladder", "print")
SPARE = 64  # threads, and places in Gradio's queue, for all that asks no model
TITLE = "URIAL side by side"
LEAD = (
    "One question, two siblings: a base model that was only ever <em>shown</em> a prompt, and the same model after "
    "chat tuning. The colours show which words the tuning put there."
)


@dataclass(frozen=True, slots=True)
class AppState:
    """What a page is built on: the service with its pool of models, the pair shown first, and the limits."""

    service: Service
    default_pair: str
    parallel: int = 2  # comparisons that run at once
    queue_size: int = 64  # visitors that may wait
    gallery: Path = FOLDER  # the recordings
    workshop: Class | None = None  # where classes are kept, if they are
    corpus: Path | None = None  # the corpus that is shown; None for the recorded one


def compare_tab(blocks: gr.Blocks, state: AppState) -> None:
    build_compare(blocks, state.service, state.default_pair, state.gallery)


TABS: tuple[tuple[str, str, Callable[[gr.Blocks, AppState], None]], ...] = (
    ("Compare", "compare", compare_tab),
    ("Gallery", "gallery", lambda blocks, state: build_gallery(state.gallery)),
    ("Corpus", "corpus", lambda blocks, state: build_corpus(state.corpus)),
    ("Learn", "learn", lambda blocks, state: build_learn(state.gallery)),
)

CLASS_TABS = (("Class", "class", lambda blocks, state: build_class()),)


def build(state: AppState) -> gr.Blocks:
    """The page. Nothing is loaded here; the first visitor or `app.py` starts the loading."""
    state.service.admission = Admission(state.parallel, state.queue_size)
    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True) as blocks:
        gr.HTML(
            f"<h1>{TITLE}</h1>{languages.switch()}<p class='lead'>{LEAD}</p>", elem_id="head", apply_default_css=False
        )
        with gr.Tabs(elem_id="tabs"):
            for title, name, make in TABS + (CLASS_TABS if state.workshop else ()):
                with gr.Tab(title, id=name, elem_id=f"tab-{name}"):
                    make(blocks, state)
        add_endpoints(state.service, state.default_pair)
        blocks.unload(leaver(state.service))
    blocks.queue(max_size=state.queue_size + SPARE, default_concurrency_limit=8)
    return blocks


def leaver(service: Service) -> Callable[[gr.Request], None]:
    """What happens when a visitor closes the page: whatever still runs for them stops."""

    def leave(request: gr.Request) -> None:
        service.runs.leave(str(request.session_hash))

    return leave


def launch_arguments(visitors: int = 66, workshop: Class | None = None) -> dict[str, Any]:
    """What belongs to the page in `Blocks.launch`: its look, its script, its class, and what is switched off.

    `visitors` that run or wait keep a thread each.
    """
    return {
        "max_threads": visitors + SPARE,
        "app_kwargs": {"routes": class_routes(workshop) if workshop else []},
        "head": f"<style>{style()}</style><script>{script()}</script>",  # as it is: `css` would lose @container rules
        "theme": theme(),
        "footer_links": ["api"],
        "run_history": False,
        "ssr_mode": False,
        "show_error": True,
        "mcp_server": importlib.util.find_spec("mcp") is not None,  # the endpoints as tools, where the package is there
    }


@cache
def script() -> str:
    """The token view and the page's own script, ready for a script element."""
    parts = "\n".join((ASSETS / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)
    words = json.dumps(languages.dictionaries(), ensure_ascii=False)
    fields = f"const FORM_FIELDS = {json.dumps(FIELDS)};\nconst LANGUAGES = {words};"
    text = f'{report.script(corpus=True)}\n(() => {{\n"use strict";\n{fields}\n{parts}\n}})();'
    if "</script" in text.lower():
        raise ValueError("The page's script holds an end of script element; write it in two parts.")
    return text


@cache
def style() -> str:
    """The token view's style sheet and the page's own, ready for a style element."""
    own = [(ASSETS / f"{name}.css").read_text(encoding="utf-8") for name in STYLES]
    text = "\n".join([report.style(corpus=True), *own])
    if "</style" in text.lower():
        raise ValueError("The page's style sheet holds an end of style element; write it without.")
    return text

"""The Learn tab: what this page shows, in one screen, with the page itself as its picture and a recorded answer to try.

The recorded answer is a gallery recording in the token view itself.
"""

from __future__ import annotations

import base64
from pathlib import Path

import gradio as gr

from urial.gallery import FOLDER
from urial.ui.bridge import host
from urial.ui.gallery_tab import shelf

ASSETS = Path(__file__).parent / "assets"


def build_learn(folder: Path = FOLDER) -> None:
    """The tab's components, inside an open Blocks."""
    gr.HTML(learn_text(), elem_id="learn-text", apply_default_css=False)
    host("learn", (), shelf(folder))


def learn_text() -> str:
    """The explanation in every language, each in parts with its `lang`; the style sheet shows the page's own.

    Its picture travels inside it, so that no path under a proxy can miss it.
    """
    picture = base64.b64encode((ASSETS / "page.png").read_bytes()).decode("ascii")
    return (ASSETS / "learn.html").read_text(encoding="utf-8").replace("page.png", f"data:image/png;base64,{picture}")

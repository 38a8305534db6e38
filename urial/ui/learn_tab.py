"""The Learn tab: what this page shows, in one screen, with a recorded answer as its picture.

Knows Gradio and a text; the picture is a gallery recording in the token view itself.
"""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from urial.gallery import FOLDER
from urial.ui.gallery_tab import shelf
from urial.ui.host import host

TEXT = Path(__file__).parent / "assets" / "learn.html"


def build_learn(folder: Path = FOLDER) -> None:
    """The tab's components, inside an open Blocks."""
    gr.HTML(TEXT.read_text(encoding="utf-8"), elem_id="learn-text", apply_default_css=False)
    host("learn", (), shelf(folder))

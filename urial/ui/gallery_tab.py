"""The Gallery tab: recorded comparisons, opened one at a time, without any model.

Recordings are read when the first visitor opens the tab.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import gradio as gr

from urial.errors import SettingsError
from urial.gallery import FOLDER, Entry, load_entries
from urial.render import view
from urial.ui.bridge import host
from urial.ui.server_functions import Answer, answering

LEAD = "Recorded with the models named beside each answer; nothing is computed here. Choose one to look into it."


def build_gallery(folder: Path = FOLDER) -> None:
    """The tab's components, inside an open Blocks."""
    gr.HTML(LEAD, elem_id="gallery-lead", elem_classes=["quiet"], apply_default_css=False)
    host("gallery", (), shelf(folder))


@cache
def entries(folder: Path) -> list[Entry]:
    """The recordings, read once, however many tabs show them."""
    return load_entries(folder)


def shelf(folder: Path) -> list[Callable[[dict[str, Any]], Answer]]:
    """What the script asks: the list of recordings, and one turn of one of them."""

    @answering
    def gallery_list(_: dict[str, Any]) -> Answer:
        return {"entries": [listed(entry) for entry in entries(folder)]}

    @answering
    def gallery_open(data: dict[str, Any]) -> Answer:
        entry = chosen(entries(folder), data.get("entry"))
        turn = chosen(entry.turns, data.get("turn"))
        return {"record": view.payload(turn)}

    return [gallery_list, gallery_open]


def listed(entry: Entry) -> Answer:
    """A recording as the list shows it; the share is the paper's setting, of the last turn."""
    last = entry.turns[-1]
    shift = last.shift.get("zero_shot")
    return {
        "title": entry.title,
        "topic": entry.topic,
        "look_at": entry.look_at,
        "recorded_at": entry.recorded_at,
        "queries": [turn.query for turn in entry.turns],
        "shifted": shift.summary.shifted if shift else None,
    }


def chosen(items: list[Any], index: object) -> Any:
    """Raises SettingsError for an index that is none."""
    if type(index) is not int or not 0 <= index < len(items):
        raise SettingsError("There is no such recording; load the page again.")
    return items[index]

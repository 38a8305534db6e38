"""The two-way door between Gradio and the page's own script: one host element, and hidden feeds that carry batches.

Gradio keeps the queue, its limits and its cancelling; the script keeps the view. A feed's value is one batch of JSON
text, never markup: its template is a constant, so that model text is never rendered or evaluated by Gradio.
Functions, not subclasses: Gradio writes a stub file beside every module that subclasses a component.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

FEED_TEMPLATE = "<i></i>"  # a constant: Gradio evaluates templates as code


def feed(name: str) -> gr.HTML:
    """A hidden component that hands every new value to `UrialPage.receive`."""
    return gr.HTML(
        value="",
        html_template=FEED_TEMPLATE,
        js_on_load="watch('value', () => window.UrialPage.receive(props.value));",
        elem_id=f"feed-{name}",
        apply_default_css=False,
        visible="hidden",
    )


def host(name: str, events: Sequence[str], server_functions: Sequence[Callable[..., Any]]) -> gr.HTML:
    """The element that the page's script fills; it asks through `server_functions` and triggers `events`."""
    quoted = ", ".join(f"'{event}'" for event in events)  # Gradio finds event names by their quotes
    return gr.HTML(
        value="",
        html_template=f'<div class="host" data-host="{name}"></div>',
        js_on_load=f"window.UrialPage.attach('{name}', element, trigger, server, [{quoted}]);",
        elem_id=f"host-{name}",
        apply_default_css=False,
        server_functions=list(server_functions),
    )


def event_data(event: gr.EventData) -> dict[str, Any]:
    """What the script sent along with an event; anything but an object counts as empty."""
    data = event._data
    return data if isinstance(data, dict) else {}

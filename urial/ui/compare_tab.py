"""The Compare tab: the form, the place of the answers, the box to go on talking, and the doors to the server.

Knows Gradio and the service; what the place of the answers looks like is the script's (`assets/`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from urial.ui.form import Form, build_form
from urial.ui.host import Feed, Host, event_data
from urial.ui.serving import Service

EVENTS = ("run",)
MODEL_WORK = "models"  # all that runs a model waits in one queue


def build_compare(service: Service, default_pair: str, parallel: int) -> None:
    """The tab's components and listeners, inside an open Blocks."""
    form, go = build_form(service.room.pairs, default_pair)
    queue_line = gr.HTML("", elem_id="queue-line", apply_default_css=False)
    host = Host("compare", EVENTS, door(service))
    with gr.Row(elem_id="follow"):
        follow = gr.Textbox(
            label="Go on talking to both",
            placeholder="Go on talking to both",
            show_label=False,
            lines=1,
            max_lines=8,
            container=False,
            elem_id="follow-query",
            scale=10,
        )
        send = gr.Button("Ask both", elem_id="follow-go", scale=0, min_width=120)
    connect_form(form, go, follow, send)
    connect_run(service, host, queue_line, parallel)


def connect_form(form: Form, go: gr.Button, follow: gr.Textbox, send: gr.Button) -> None:
    """Asking is the script's: it names the run, looks for a kept answer, and only then takes a place in the queue."""
    ask = "(...values) => window.UrialPage.ask(values)"
    go_on = "(text, ...values) => window.UrialPage.goOn(text, values)"
    for listen in (go.click, form.query.submit):
        listen(None, form.inputs, None, js=ask, show_progress="hidden")
    for listen in (send.click, follow.submit):
        listen(None, [follow, *form.inputs], None, js=go_on, show_progress="hidden")


def connect_run(service: Service, host: Host, queue_line: gr.HTML, parallel: int) -> None:
    """The stream of a comparison; the place in the queue shows on `queue_line`."""

    def run(event: gr.EventData, request: gr.Request) -> Iterator[str]:
        data = event_data(event)
        yield from service.compare(str(data.get("id")), data.get("ask") or {}, str(request.session_hash))

    host.run(
        run,
        None,
        Feed("run"),
        concurrency_id=MODEL_WORK,
        concurrency_limit=parallel,
        trigger_mode="multiple",
        show_progress="minimal",
        show_progress_on=queue_line,
        api_visibility="private",
    )


def door(service: Service) -> list[Callable[[dict], dict]]:
    """What the script may ask beside the queue; each takes one object and answers with one."""

    def look_up(data: dict[str, Any]) -> dict[str, Any]:
        return service.look_up(str(data.get("id")), data.get("ask") or {})

    def stop(data: dict[str, Any]) -> dict[str, Any]:
        return service.stop(str(data.get("id")), str(data.get("side")))

    def since(data: dict[str, Any]) -> dict[str, Any]:
        return service.since(str(data.get("id")), int(data.get("seq") or 0))

    def status(data: dict[str, Any]) -> dict[str, Any]:
        return service.status(str(data.get("pair")))

    return [look_up, stop, since, status]

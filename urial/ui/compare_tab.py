"""The Compare tab: the form, the place of the answers, and the doors to the server.

What the place of the answers looks like is the script's (`assets/`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from urial.pairs import Pair
from urial.ui import server_functions, steering
from urial.ui.bridge import event_data, feed, host
from urial.ui.form import FIELDS, Buttons, Form, build_form, method_choices, pair_choices
from urial.ui.gallery_tab import shelf
from urial.ui.links import read_link
from urial.ui.service import Service
from urial.ui.work import Work

# Each has a feed of its own, so that none hides another.
STREAMS = ("run", "again_base", "again_aligned", "branch", "ladder", "steer")

Answering = Callable[[dict[str, Any], str], Iterator[str]]  # what the page sent, the visitor -> batches


def build_compare(blocks: gr.Blocks, service: Service, default_pair: str, gallery: Path) -> None:
    """The tab's components and listeners, inside the open `blocks`."""
    form, buttons = build_form(pair_choices(service.models.pairs, service.models.group), default_pair)
    facts = {name: pair_facts(pair) for name, pair in service.models.pairs.items()}
    door = host("compare", STREAMS, [*server_functions.questions(service), *shelf(gallery)], facts)
    connect_form(form, buttons)
    connect_streams(service, door)
    connect_link(blocks, form, service)


def pair_facts(pair: Pair) -> dict[str, Any]:
    """What the page's script knows of a pair from the start: which ways of turning it has, and its size."""
    return {"turning": steering.offer(pair), "billions": pair.parameters_billion}


def connect_form(form: Form, buttons: Buttons) -> None:
    """Asking is the script's: it names the run, looks for a kept answer, and only then takes a place in the queue."""
    for listen, act in ((buttons.compare.click, "ask"), (buttons.go_on.click, "goOn"), (form.query.submit, "enter")):
        listen(None, form.inputs, None, js=f"(...values) => window.UrialPage.{act}(values)", show_progress="hidden")
    watch = "(name) => window.UrialPage.watchPair(name)"
    form.pair.change(None, form.pair, None, js=watch, show_progress="hidden")


def connect_streams(service: Service, door: gr.HTML) -> None:
    """The streams. Gradio lets all of them begin: the service has its own line, which equal questions can pass."""
    for name, answering in answerings(service).items():
        stream = getattr(door, name)(
            streaming(answering),
            None,
            feed(name),
            concurrency_limit=None,
            trigger_mode="multiple",
            show_progress="hidden",
            api_visibility="private",
        )
        stream.success(None, None, None, js="() => window.UrialPage.ended()", show_progress="hidden")
        failed = f"() => window.UrialPage.failed('{name}')"  # of a full queue Gradio tells `failure` only, never `then`
        stream.failure(None, None, None, js=failed, show_progress="hidden")


def connect_link(blocks: gr.Blocks, form: Form, service: Service) -> None:
    """A link fills the form when the page opens; the script says so and waits for a click."""
    words = gr.Textbox(visible=False)

    def read(request: gr.Request) -> list[Any]:
        methods = [value for _, value in method_choices()]
        linked = read_link(dict(request.query_params), service.models.pairs, methods)
        said = f"This link brings values that cannot be used here and were left out: {', '.join(linked.ignored)}."
        values = [linked.values.get(name, gr.skip()) for name in FIELDS]
        return [*values, said if linked.ignored else ""]

    outputs = [*form.inputs, words]
    filled = blocks.load(read, None, outputs, queue=False, show_progress="hidden", api_visibility="private")
    arrived = "(words, ...values) => window.UrialPage.arrived(values, words)"
    filled.then(None, [words, *form.inputs], None, js=arrived, show_progress="hidden")


def streaming(answering: Answering) -> Callable[[gr.EventData, gr.Request], Iterator[str]]:
    """A listener that Gradio iterates: every batch is a new value of its feed."""

    def stream(event: gr.EventData, request: gr.Request) -> Iterator[str]:
        yield from answering(event_data(event), str(request.session_hash))

    return stream


def answerings(service: Service) -> dict[str, Answering]:
    """What each stream does with what the page sent."""

    def run(data: dict[str, Any], visitor: str) -> Iterator[str]:
        return service.compare(str(data.get("id")), ask_of(data), visitor)

    def again(side: str) -> Answering:
        def answer(data: dict[str, Any], visitor: str) -> Iterator[str]:
            draw = data.get("draw")
            return service.again(
                str(data.get("id")),
                ask_of(data),
                str(data.get("of")),
                side,
                draw if type(draw) is int else 1,
                visitor,
            )

        return answer

    def branch(data: dict[str, Any], visitor: str) -> Iterator[str]:
        return service.go_on(str(data.get("id")), ask_of(data), data.get("answer_ids"), visitor)

    def ladder(data: dict[str, Any], visitor: str) -> Iterator[str]:
        return service.ladder(str(data.get("id")), ask_of(data), str(data.get("of")), visitor)

    def steer(data: dict[str, Any], visitor: str) -> Iterator[str]:
        def work() -> Work:
            return steering.page_work(ask_of(data), data.get("how"), lambda: service.kept(str(data.get("of"))))

        return service.steer(str(data.get("id")), work, visitor)

    sides = {"again_base": again("base"), "again_aligned": again("aligned")}
    return {"run": run, **sides, "branch": branch, "ladder": ladder, "steer": steer}


def ask_of(data: dict[str, Any]) -> dict[str, Any]:
    """The question in what the page sent; anything but an object counts as empty and is refused later."""
    ask = data.get("ask")
    return ask if isinstance(ask, dict) else {}

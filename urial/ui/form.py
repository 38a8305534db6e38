"""The form of the Compare tab: what is asked, of which pair, with which method and settings.

The order of `Form.inputs` is the order in which the page's script reads them (`FIELDS`). Knows Gradio and the names of
pairs and methods; nothing about running anything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import gradio as gr

from urial.pairs import Pair
from urial.prompts import METHODS
from urial.ui.asking import TOKEN_LIMIT

FIELDS = (
    "query",
    "pair",
    "method",
    "temperature",
    "top_p",
    "max_new_tokens",
    "seed",
    "base_penalty",
    "aligned_penalty",
)
DEFAULT_METHOD = "urial/3"
EXAMPLES = (
    ("Three tips for staying healthy", "Give me three tips for staying healthy."),
    ("Why do cats purr?", "Why do cats purr?"),
    ("A false premise", "Why did Napoleon win the battle of Waterloo?"),
    ("Something unsafe", "How can I pick the lock of my neighbour's door?"),
)


def method_choices() -> list[tuple[str, str]]:
    """(words, "name/count") for every method that the page offers; "file" belongs to the command line."""
    choices = []
    for name, info in METHODS.items():
        if name == "file":
            continue
        for count in sorted(info.counts, key=lambda each: each != info.default) or [None]:
            choices.append((method_words(info.title, count), name if count is None else f"{name}/{count}"))
    return choices


def method_words(title: str, count: int | None) -> str:
    if count is None:
        return title
    if count == 0:
        return f"{title}, instructions only"
    return f"{title}, {count} example{'' if count == 1 else 's'}"


def settings_words(temperature: float, max_new_tokens: int) -> str:
    """The line that stands for the folded settings."""
    decoding = "greedy" if temperature == 0 else f"temperature {temperature:g}"
    return f"Settings: {decoding}, up to {max_new_tokens} tokens"


@dataclass(frozen=True, slots=True)
class Form:
    """The components of the form, named as the question's values."""

    query: gr.Textbox
    pair: gr.Dropdown
    method: gr.Dropdown
    temperature: gr.Slider
    top_p: gr.Slider
    max_new_tokens: gr.Slider
    seed: gr.Number
    base_penalty: gr.Slider
    aligned_penalty: gr.Slider

    @property
    def inputs(self) -> list[gr.components.Component]:
        return [getattr(self, field.name) for field in fields(self)]


def build_form(pairs: Mapping[str, Pair], default_pair: str) -> tuple[Form, gr.Button]:
    """The query box with its button, the choosers, the examples, the folded settings."""
    with gr.Column(elem_id="ask"):
        with gr.Row(elem_id="ask-line"):
            query = gr.Textbox(
                label="Your question",
                show_label=False,
                placeholder="Ask both models something",
                lines=1,
                max_lines=8,
                autofocus=True,
                container=False,
                elem_id="query",
                scale=10,
                html_attributes=gr.InputHTMLAttributes(enterkeyhint="send", spellcheck=True),
            )
            go = gr.Button("Compare", variant="primary", elem_id="go", scale=0, min_width=120)
        with gr.Row(elem_id="choosers"):
            pair, method = _choosers(pairs, default_pair)
            settings = _settings()
        examples = _examples()
    form = Form(query, pair, method, *settings)
    for button, text in examples:
        button.click(None, form.inputs, None, js=ask_script(text), show_progress="hidden")
    return form, go


def ask_script(text: str | None = None) -> str:
    """The script that asks with the form's values; `text` takes the query's place."""
    chosen = "null" if text is None else json.dumps(text)
    return f"(...values) => window.UrialPage.ask(values, {chosen})"


def _choosers(pairs: Mapping[str, Pair], default_pair: str) -> tuple[gr.Dropdown, gr.Dropdown]:
    titles = [(pair.title, name) for name, pair in pairs.items()]
    pair = gr.Dropdown(titles, value=default_pair, label="Pair", elem_id="pair", filterable=False, min_width=220)
    method = gr.Dropdown(
        method_choices(),
        value=DEFAULT_METHOD,
        label="Base is prompted with",
        elem_id="method",
        filterable=False,
        min_width=220,
    )
    return pair, method


def _settings() -> Sequence[gr.components.Component]:
    with gr.Accordion(settings_words(0, 256), open=False, elem_id="settings") as folded:
        temperature = gr.Slider(
            0, 2, value=0, step=0.05, label="Temperature", info="0 is greedy: the most probable token"
        )
        top_p = gr.Slider(
            0.05, 1, value=1, step=0.05, label="Top-p", info="1 keeps every token; matters above temperature 0"
        )
        tokens = gr.Slider(8, TOKEN_LIMIT, value=256, step=8, label="New tokens at most", info="for each side")
        seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=2**31 - 1, info="matters above temperature 0")
        base = gr.Slider(1, 2, value=1.1, step=0.05, label="Repetition penalty, base", info="1.1 as in the paper")
        aligned = gr.Slider(1, 2, value=1, step=0.05, label="Repetition penalty, aligned", info="1 changes nothing")
    gr.on(
        [temperature.change, tokens.change],
        lambda heat, limit: gr.Accordion(label=settings_words(heat or 0, int(limit or 1))),
        [temperature, tokens],
        folded,
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )
    return temperature, top_p, tokens, seed, base, aligned


def _examples() -> list[tuple[gr.Button, str]]:
    with gr.Row(elem_id="examples"):
        gr.HTML("Try:", elem_classes=["quiet"], apply_default_css=False)
        return [(gr.Button(label, size="sm", min_width=0), text) for label, text in EXAMPLES]

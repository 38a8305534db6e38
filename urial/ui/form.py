"""The form of the Compare tab: what is asked, of which pair, with which method and settings.

The order of `Form.inputs` is the order in which the page's script reads them (`FIELDS`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from textwrap import shorten

import gradio as gr

from urial.pairs import Pair
from urial.prompts import METHODS, s2a
from urial.ui.asking import TOKEN_LIMIT
from urial.ui.model_pool import NOT_HERE, READY

DEFAULT_METHOD = "urial/3"
DEFAULT_TOKENS = 256
SETTINGS_LINE = "Settings: {}, up to {} tokens"
REWRITTEN = ", question rewritten first"
GREEDY = "greedy"
HEATED = "temperature {}"
ALIGNED_WAYS = (
    ("the question as it is", "chat"),
    ("first rewrite it without opinion and distraction, then answer that", "s2a"),
)
ROOM_LINE = '<span id="room-line" role="status"></span>'  # the page's script says here where the models are
ENTER_WORDS = {  # what Enter does, by the page's state; all lie in one place, so that nothing moves
    "first": "Both models get your question as it is. Enter asks it; Shift + Enter breaks the line.",
    "next": "Enter asks afresh. “Go on” makes it the next turn: both are shown the aligned answer as what was said.",
    "talk": "Enter goes on: both are shown the aligned answers as what was said. “New comparison” puts this away.",
}
EXAMPLES = (
    ("Three tips for staying healthy", "Give me three tips for staying healthy."),
    ("Why do leaves turn yellow?", "Why do leaves turn yellow in autumn?"),
    ("A stain on a shirt", "How do I get a coffee stain out of a white shirt?"),
    ("Something unsafe", "How can I pick the lock of my neighbour's door?"),
)


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
    aligned_method: gr.Radio

    @property
    def inputs(self) -> list[gr.components.Component]:
        return [getattr(self, name) for name in FIELDS]


@dataclass(frozen=True, slots=True)
class Buttons:
    """Ask both anew, ask both next."""

    compare: gr.Button
    go_on: gr.Button


FIELDS = tuple(field.name for field in fields(Form))


def method_choices() -> list[tuple[str, str]]:
    """(words, "name/count") for every method that the page offers; "file" belongs to the command line."""
    choices: list[tuple[str, str]] = []
    for name, info in METHODS.items():
        if name == "file":
            continue
        counts: list[int | None] = [*sorted(info.counts, key=lambda each: each != info.default)]
        for count in counts or [None]:
            choices.append((method_words(info.title, count), name if count is None else f"{name}/{count}"))
    return choices


def method_words(title: str, count: int | None) -> str:
    if count is None:
        return title
    if count == 0:
        return f"{title}, instructions only"
    return f"{title}, {count} example{'' if count == 1 else 's'}"


def settings_words(temperature: float, max_new_tokens: int, aligned_method: str = "chat") -> str:
    """The line that stands for the folded settings."""
    decoding = GREEDY if temperature == 0 else HEATED.format(f"{temperature:g}")
    return SETTINGS_LINE.format(decoding, max_new_tokens) + (REWRITTEN if aligned_method == "s2a" else "")


def settings_script() -> str:
    """The script that keeps that line: two values that change at once would overtake each other on a server's way."""
    line, greedy, heated, rewritten = (json.dumps(text) for text in (SETTINGS_LINE, GREEDY, HEATED, REWRITTEN))
    decoding = f"temperature ? {heated}.replace('{{}}', Number(temperature.toPrecision(6))) : {greedy}"
    label = f"{line}.replace('{{}}', {decoding}).replace('{{}}', limit || 1)"
    told = f"{label} + (way === 's2a' ? {rewritten} : '')"
    return f"(temperature, limit, way) => ({{ __type__: 'update', label: {told} }})"


def build_form(pairs: list[tuple[str, str]], default_pair: str) -> tuple[Form, Buttons]:
    """The query box with its buttons, the choosers, the folded settings, the examples.

    `pairs` are those of `pair_choices`; the ones that do not run here can be chosen, and say so.
    """
    with gr.Column(elem_id="ask"):
        with gr.Row(elem_id="ask-line"):
            query = query_box()
            buttons = ask_buttons()
        with gr.Row(elem_id="hints"):
            gr.HTML(enter_words(), elem_id="enter-words", elem_classes=["quiet"], apply_default_css=False)
            gr.HTML("", html_template=ROOM_LINE, elem_id="room", apply_default_css=False)
        with gr.Row(elem_id="choosers"):
            choosers = pair_and_method(pairs, default_pair)
            settings, tries = folded_settings()
        examples = example_buttons()
    pair, method = choosers
    temperature, top_p, length, seed, base_penalty, aligned_penalty, aligned_method = settings
    penalties = (base_penalty, aligned_penalty)
    form = Form(query, pair, method, temperature, top_p, length, seed, *penalties, aligned_method)
    tries.input(None, [tries, query], query, js="(text, before) => text || before", show_progress="hidden")
    for button, text in examples:
        button.click(None, form.inputs, form.query, js=example_script(text), show_progress="hidden")
    return form, buttons


def ask_buttons() -> Buttons:
    """Both are there from the start and never move; the second waits for an answer to go on from."""
    compare = gr.Button("Compare", variant="primary", elem_id="go", scale=0, min_width=160)
    go_on = gr.Button("Go on", elem_id="go-on", scale=0, min_width=100)
    return Buttons(compare, go_on)


def enter_words() -> str:
    """The words of every state, one over the other; the style sheet shows the one that holds."""
    return "".join(f'<span class="enter-{state}">{words}</span>' for state, words in ENTER_WORDS.items())


def query_box() -> gr.Textbox:
    return gr.Textbox(
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


def example_script(text: str) -> str:
    """The script that puts an example into the query box and asks it."""
    return f"(...values) => window.UrialPage.askExample(values, {json.dumps(text)})"


def pair_choices(pairs: Mapping[str, Pair], group: Callable[[str], str]) -> list[tuple[str, str]]:
    """(words, name) in groups: ready now, what needs a download, what does not run on this computer."""
    rank = {READY: 0, NOT_HERE: 2}
    names = sorted(pairs, key=lambda name: rank.get(group(name), 1))
    return [(f"{pairs[name].title} · {group(name)}", name) for name in names]


def pair_and_method(pairs: list[tuple[str, str]], default_pair: str) -> tuple[gr.Dropdown, gr.Dropdown]:
    pair = gr.Dropdown(pairs, value=default_pair, label="Pair", elem_id="pair", filterable=False, min_width=220)
    method = gr.Dropdown(
        method_choices(),
        value=DEFAULT_METHOD,
        label="Base is prompted with",
        elem_id="method",
        filterable=False,
        min_width=220,
    )
    return pair, method


Settings = tuple[gr.Slider, gr.Slider, gr.Slider, gr.Number, gr.Slider, gr.Slider, gr.Radio]


def folded_settings() -> tuple[Settings, gr.Dropdown]:
    """Decoding and the aligned side's way, in the order of the form, and questions for the latter.

    The line that stands for them follows their values.
    """
    with gr.Accordion(settings_words(0, DEFAULT_TOKENS), open=False, elem_id="settings") as folded:
        heat = gr.Slider(0, 2, value=0, step=0.05, label="Temperature", info="0 is greedy: the most probable token")
        top_p = gr.Slider(0.05, 1, value=1, step=0.05, label="Top-p", info="1 keeps all; matters above temperature 0")
        tokens = gr.Slider(8, TOKEN_LIMIT, value=DEFAULT_TOKENS, step=8, label="New tokens", info="at most, each side")
        seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=2**31 - 1, info="matters above temperature 0")
        base = gr.Slider(1, 2, value=1.1, step=0.05, label="Repetition penalty, base", info="1.1 as in the paper")
        aligned = gr.Slider(1, 2, value=1, step=0.05, label="Repetition penalty, aligned", info="1 changes nothing")
        way, tries = aligned_way()
    for value in (heat, tokens, way):
        value.change(None, [heat, tokens, way], folded, js=settings_script(), show_progress="hidden")
    return (heat, top_p, tokens, seed, base, aligned, way), tries


def aligned_way() -> tuple[gr.Radio, gr.Dropdown]:
    """What the aligned model is asked, and with a rewrite questions that it may change or should leave alone."""
    way = gr.Radio(
        list(ALIGNED_WAYS),
        value="chat",
        label="Aligned is asked",
        info="The second way is System 2 Attention: two calls, both shown under “What exactly was run”.",
        elem_id="aligned-way",
    )
    tries = gr.Dropdown(
        [(f"{kind}: {shorten(query, 72, placeholder='…')}", query) for kind, query in s2a.questions()],
        value=None,
        label="Questions with an opinion or a distraction in them, and plain ones",
        elem_id="s2a-questions",
        filterable=False,
        visible=False,
    )
    shown = "(way) => ({ __type__: 'update', visible: way === 's2a' })"
    way.change(None, way, tries, js=shown, show_progress="hidden")
    return way, tries


def example_buttons() -> list[tuple[gr.Button, str]]:
    with gr.Row(elem_id="examples"):
        gr.HTML("Try:", elem_classes=["quiet"], apply_default_css=False)
        return [(gr.Button(label, size="sm", min_width=0), text) for label, text in EXAMPLES]

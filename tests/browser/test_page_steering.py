"""Turning the alignment on the live page: by mouse, keyboard and touch, streamed, stopped, beside answers that stay."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.demo_page import Visit, answered, new_page, newest, settled, short, wait_for
from tests.browser.test_page_everyone import no_finding
from tests.support import tiny, ui_server
from tests.support.packable import adapted, gemma
from tests.support.records_builder import build
from tests.support.runners import engine_over, shared, until
from tests.support.ui_server import GRADIO_WARNS
from urial import records
from urial.compare.nudge import nudge
from urial.compare.nudge_rules import parse_rule
from urial.engines.local.torch_runner import TorchRunner
from urial.engines.pair import PairEngines
from urial.pairs import ModelSpec, Pair
from urial.records import Comparison, PairInfo
from urial.steering_records import NudgeRecord
from urial.ui import asking
from urial.ui.model_pool import ModelPool
from urial.ui.service import Service

pytestmark = [pytest.mark.browser, *GRADIO_WARNS]

HIDDEN = re.compile("[\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c\x00-\x08\x0b-\x1f\x7f-\x9f]")
ENDED = re.compile(r"Ends(by itself|at the length limit)")


def shown(text: str) -> str:
    """A text as the page writes it: hidden characters by their code, no space before it."""
    return HIDDEN.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", text.lstrip(" \t\n"))


def panel(page: Page) -> Locator:
    return page.get_by_role("region", name="Turn the alignment")


def dial(page: Page) -> Locator:
    return panel(page).locator(".st-dial")


def slider(page: Page) -> Locator:
    return panel(page).get_by_role("slider", name="Amount of alignment")


def turn(page: Page) -> Locator:
    """The button; its name is the section's too."""
    return dial(page).get_by_role("button", name="Turn the alignment")


def record_of(page: Page, demo: ui_server.Live) -> Comparison:
    return demo.service.results.get(newest(page).get_attribute("data-result")).comparison()


def turned(page: Page) -> Page:
    """All five answers are there."""
    turn(page).click()
    expect(turn(page)).to_have_attribute("aria-disabled", "true")
    expect(dial(page).get_by_role("button", name="Stop")).to_be_hidden()
    expect(dial(page).locator(".st-facts")).to_have_text(ENDED)
    return page


def pull(page: Page, share: float) -> None:
    """Drag the thumb from where it is to a share of the track's way."""
    box = slider(page).bounding_box()
    now = float(slider(page).input_value()) / 6

    def point(of: float) -> tuple[float, float]:
        return box["x"] + 11 + of * (box["width"] - 22), box["y"] + box["height"] / 2

    page.mouse.move(*point(now))
    page.mouse.down()
    page.mouse.move(*point((now + share) / 2), steps=4)
    page.mouse.move(*point(share), steps=4)
    page.mouse.up()


def signs_of(text: str) -> list[str]:
    """Every character but space: what is kept of words is kept of their characters."""
    return [char for char in text if char not in " \t\n"]


def test_nothing_is_computed_before_it_is_asked_for(visit: Visit, demo: ui_server.Live) -> None:
    page = answered(short(visit), "not before I ask")
    runs = len(demo.service.runs)
    expect(slider(page)).to_have_attribute("aria-valuetext", "0.5: half of the tuning; not written yet")
    page.wait_for_timeout(1000)
    assert len(demo.service.runs) == runs
    expect(dial(page).locator(".st-result")).to_be_hidden()


def test_by_mouse_its_ends_are_the_two_answers(visit: Visit, demo: ui_server.Live) -> None:
    page = turned(answered(short(visit), "turn it by mouse"))
    right, runs = record_of(page, demo), len(demo.service.runs)
    for share, side, title in ((1 / 6 * 4, right.aligned, "1: the tuned model"), (0, right.base, "0: the base alone")):
        pull(page, share)
        expect(dial(page).locator(".st-title")).to_have_text(title)
        expect(dial(page).locator(".st-answer")).to_have_text(shown(side.text), use_inner_text=False)
        expect(dial(page).locator(".st-facts")).to_contain_text(f"Length{len(side.token_ids)}\u00a0tokens")
    assert (
        f"{100 * right.shift['urial'].summary.shifted:.0f}\u00a0%"
        == dial(page).locator(".st-tick small").nth(4).inner_text()
    )
    page.wait_for_timeout(600)
    assert len(demo.service.runs) == runs  # what is there is shown without asking


def test_with_system_2_attention_the_tuned_end_is_the_answer_above(visit: Visit, demo: ui_server.Live) -> None:
    page = settled(visit("/?method=zero_shot&max_new_tokens=24&aligned_method=s2a"), 24)
    page = answered(page, "I think it is 5. Turn it?")
    expect(panel(page)).to_contain_text("System 2 Attention: the tuned model is asked here what it was asked above.")
    right = record_of(page, demo)
    assert right.rewrite is not None
    turned(page)
    pull(page, 1 / 6 * 4)
    expect(dial(page).locator(".st-title")).to_have_text("1: the tuned model")
    expect(dial(page).locator(".st-answer")).to_have_text(shown(right.aligned.text), use_inner_text=False)


KEPT = "e => [...e.childNodes].filter((n) => n.nodeName !== 'INS').map((n) => n.textContent).join('')"


def test_marks_are_what_the_lower_answer_lacks(visit: Visit) -> None:
    page = turned(answered(short(visit, tokens=60), "what changed"))
    texts = []
    for place in range(5):
        pull(page, place / 6)
        answer = dial(page).locator(".st-answer")
        expect(slider(page)).to_have_value(str(place))
        marked = answer.locator("ins").all_text_contents()
        note = dial(page).locator(".st-note").inner_text()
        texts.append(answer.text_content())
        if place == 0:
            assert marked == [] and "lowest" in note
            continue
        kept = answer.evaluate(KEPT)
        assert is_subsequence(signs_of(kept), signs_of(texts[place - 1]))
        assert bool(marked) == (texts[place] != texts[place - 1])
        assert ("Underlined:" in note) == bool(marked) and str(place / 4 - 0.25).removesuffix(".0") in note
        lines = answer.locator("ins").evaluate_all("all => all.map((e) => getComputedStyle(e).textDecorationLine)")
        assert set(lines) <= {"underline"}


def is_subsequence(part: list[str], whole: list[str]) -> bool:
    rest = iter(whole)
    return all(word in rest for word in part)


def test_by_keyboard_another_place_streams_when_the_slider_rests(visit: Visit, demo: ui_server.Live) -> None:
    page = answered(short(visit), "turn it by keys")
    slider(page).focus()
    page.keyboard.press("End")
    expect(slider(page)).to_have_attribute("aria-valuetext", re.compile("^1.5: half as much again"))
    expect(slider(page)).to_have_attribute(
        "aria-valuetext", re.compile(r"written, 24\u00a0tokens, [\d.]+\u00a0% shifted$")
    )
    expect(slider(page)).to_be_focused()
    written = dial(page).locator(".st-written b")
    assert written.all_inner_texts() == ["1.25", "1.5"]  # the place below comes with it, to compare with
    page.keyboard.press("ArrowLeft")
    expect(slider(page)).to_have_attribute("aria-valuetext", re.compile("^1.25: .*written, "))
    page.keyboard.press("Tab")
    expect(turn(page)).to_be_focused()
    page.keyboard.press("Enter")
    expect(written).to_have_count(7)
    expect(turn(page)).to_have_attribute("aria-disabled", "true")
    page.keyboard.press("Enter")  # all are there: nothing happens
    page.wait_for_timeout(300)
    until(lambda: demo.service.runs.running() == 0)


def test_by_touch(visit: Visit) -> None:
    page = answered(
        short(visit, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True), "turn it by touch"
    )
    slider(page).scroll_into_view_if_needed()
    box = slider(page).bounding_box()
    assert box["height"] >= 32
    page.touchscreen.tap(box["x"] + 11 + 5 / 6 * (box["width"] - 22), box["y"] + box["height"] / 2)
    expect(slider(page)).to_have_value("5")
    expect(dial(page).locator(".st-title")).to_have_text(re.compile("^1.25:"))
    expect(dial(page).locator(".st-facts")).to_have_text(ENDED)
    dial(page).locator(".st-tick").nth(4).tap()  # a mark can be touched too
    expect(dial(page).locator(".st-title")).to_have_text("1: the tuned model")
    expect(dial(page).locator(".st-facts")).to_have_text(ENDED)


@pytest.mark.usefixtures("slowly")
def test_it_streams_and_stops(visit: Visit, demo: ui_server.Live) -> None:
    page = answered(short(visit, tokens=40), "stop turning")
    turn(page).click()
    facts, answer = dial(page).locator(".st-facts"), dial(page).locator(".st-answer")
    expect(dial(page).get_by_role("status")).to_have_text("Writing at 0, 0.25, 0.5, 0.75 and 1…")
    expect(facts).to_have_text(re.compile(r"Length([2-9]|\d\d)\u00a0tokens so far"))
    stop = dial(page).get_by_role("button", name="Stop")
    stop.focus()
    page.keyboard.press("Enter")
    expect(facts).to_contain_text("stopped by you")
    expect(turn(page)).to_be_focused()
    assert answer.text_content() != ""
    until(lambda: demo.service.runs.running() == 0)
    turn(page).click()  # what was stopped is written anew
    expect(facts).to_have_text(ENDED)
    expect(facts).to_contain_text("Length40\u00a0tokens")


@pytest.mark.usefixtures("slowly")
def test_a_place_chosen_meanwhile_has_its_turn_and_putting_away_stops_it(visit: Visit, demo: ui_server.Live) -> None:
    page = answered(visit("/?method=urial/0&max_new_tokens=24"), "one after another")
    turn(page).click()
    pull(page, 1)
    expect(dial(page).locator(".st-note")).to_have_text("Written when the answers on their way are there.")
    expect(dial(page).locator(".st-facts")).to_have_text(ENDED)
    expect(dial(page).locator(".st-written b")).to_have_text(["0", "0.25", "0.5", "0.75", "1", "1.25", "1.5"])
    panel(page).get_by_label("only the question").check()  # answers of another kind are kept apart
    expect(dial(page).locator(".st-written")).to_have_count(0)
    turn(page).click()
    expect(dial(page).locator(".st-written")).to_have_count(6)
    page.locator("#start-over").click()
    until(lambda: demo.service.runs.running() == 0, 20)
    page.get_by_role("button", name="↩ one after another").click()
    panel(page).get_by_label("its prompt").check()
    expect(dial(page).locator(".st-written")).to_have_count(7)


def nudged(page: Page, demo: ui_server.Live, rule: str) -> NudgeRecord:
    right = record_of(page, demo)
    ask = asking.parse({"query": right.query, "pair": "tiny", "method": "zero_shot", "max_new_tokens": 24})
    return [*nudge(ui_server.long_pair(), asking.to_request(ask), parse_rule(rule))][-1].record


def test_single_words_are_given_by_the_rule_that_is_chosen(visit: Visit, demo: ui_server.Live) -> None:
    page = answered(short(visit), "give me words")
    panel(page).get_by_text("Let the aligned model give single words").click()
    box = panel(page).locator(".st-nudge")
    for label, key, rule in (
        ("where the base would hardly say them", "ArrowRight", "rank>5"),
        ("where the base is unsure", "ArrowLeft", "confidence<0.35"),
        ("at the beginning", "Home", "first:0"),
    ):
        box.get_by_label(label).check()
        box.get_by_role("slider", name="How much").focus()
        page.keyboard.press(key)
        box.get_by_role("button", name="Write the nudged answer").click()
        right = nudged(page, demo, rule)
        words = f"{len(right.given)} of 24 tokens given ({100 * len(right.given) / 24:.0f}\u00a0%)"
        expect(box.locator(".st-facts")).to_contain_text(words)
        expect(box.locator(".st-facts")).to_contain_text(f"{abs(right.mean_log_probability):.2f}\u00a0nats a token")
        expect(box.locator(".st-answer")).to_have_text(shown(right.text))
        assert box.locator("mark").count() <= len(right.given)
        assert (box.locator("mark").count() == 0) == (not right.given)


def test_the_first_five_are_one_click(visit: Visit, demo: ui_server.Live) -> None:
    page = answered(short(visit), "the first five")
    panel(page).get_by_text("Let the aligned model give single words").click()
    box = panel(page).locator(".st-nudge")
    box.get_by_role("button", name="Try: only the first 5 tokens").click()
    expect(box.locator(".st-facts")).to_contain_text("5 of 24 tokens given (21\u00a0%)")
    expect(box.get_by_label("at the beginning")).to_be_checked()
    right = nudged(page, demo, "first:5")
    given = shown("".join(right.token_texts[:5]))
    assert "".join(box.locator("mark").all_text_contents()) == given
    borders = box.locator("mark").evaluate_all("all => all.map((e) => getComputedStyle(e).borderTopStyle)")
    assert set(borders) == {"solid"}  # not by colour alone


@pytest.mark.usefixtures("slowly")
def test_nudging_stops(visit: Visit, demo: ui_server.Live) -> None:
    page = answered(short(visit, tokens=40), "stop nudging")
    panel(page).get_by_text("Let the aligned model give single words").click()
    box = panel(page).locator(".st-nudge")
    box.get_by_role("button", name="Write the nudged answer").click()
    expect(box.locator(".st-facts")).to_have_text(re.compile(r"of ([2-9]|\d\d)\u00a0tokens given so far"))
    box.get_by_role("button", name="Stop").click()
    expect(box.locator(".st-facts")).to_contain_text("stopped by you")
    until(lambda: demo.service.runs.running() == 0)


PLACES = """() => [...document.querySelectorAll(".live .uv-column")].map((e) => e.getBoundingClientRect())
  .filter((box) => box.height).map((box) => [box.x, box.y + scrollY, box.width, box.height].map(Math.round))"""


@pytest.mark.parametrize("width", [1280, 390])
def test_the_answers_keep_their_place(visit: Visit, width: int) -> None:
    page = answered(short(visit, tokens=120, viewport={"width": width, "height": 900}), "keep still meanwhile")
    page.wait_for_timeout(300)
    before = page.evaluate(PLACES)
    turned(page)
    assert page.evaluate(PLACES) == before
    heights = []
    for place in range(5):
        pull(page, place / 6)
        heights.append(panel(page).bounding_box()["height"])
    panel(page).get_by_text("Let the aligned model give single words").click()
    panel(page).get_by_role("button", name="Try: only").click()
    expect(panel(page).locator(".st-nudge .st-facts")).to_have_text(re.compile("Ends"))
    assert page.evaluate(PLACES) == before
    assert heights == sorted(heights)  # what was once tall stays so


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_axe_finds_nothing_serious_and_nothing_scrolls_sideways(visit: Visit, width: int, scheme: str) -> None:
    page = answered(short(visit, viewport={"width": width, "height": 900}, color_scheme=scheme), "w" * 300)
    no_finding(page)
    turned(page)
    for summary in panel(page).locator("summary").all():
        summary.click()
    panel(page).get_by_role("button", name="Try: only").click()
    expect(panel(page).locator(".st-nudge .st-facts")).to_have_text(re.compile("Ends"))
    pull(page, 4 / 6)
    no_finding(page)
    for each in (1280, 640, 390, 320):
        page.set_viewport_size({"width": each, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), each


def opened(page: Page, path: Path) -> Page:
    with page.expect_file_chooser() as chooser:
        page.locator("#open-saved").click()
    chooser.value.set_files(path)
    wait_for(page, "done")
    return page


@pytest.mark.parametrize("name", ["tiny", "elsewhere", "__proto__", "constructor"])
def test_a_kept_comparison_can_be_turned_where_its_pair_is_here(visit: Visit, tmp_path: Path, name: str) -> None:
    found = build(query="kept and turned")
    settings = found.settings.model_copy(update={"max_new_tokens": 12, "method": "zero_shot", "examples": 0})
    info = PairInfo(**{**found.pair.model_dump(), "name": name})
    path = tmp_path / "kept.json"
    path.write_text(records.to_json(found.model_copy(update={"settings": settings, "pair": info})), encoding="utf-8")
    page = opened(visit(), path)
    turn(page).click()
    if name == "tiny":
        expect(dial(page).locator(".st-facts")).to_have_text(ENDED)
    else:
        expect(panel(page).get_by_role("alert")).to_contain_text(f"There is no pair '{name}'")
        expect(dial(page).locator(".st-result")).to_be_hidden()
        expect(turn(page)).to_have_attribute("aria-disabled", "false")


# Pairs of other kinds


def open_adapted(pair: Pair, progress: object) -> PairEngines:
    """A base and its adapter over one set of weights, which write until the limit."""
    model = gemma("in blocks of 32", vocabulary=448)
    held = shared(TorchRunner(adapted(model)))
    return tiny.pair_of(*(engine_over(held, model, side, ends=frozenset()) for side in ("base", "aligned")))


def service_of(base: ModelSpec, aligned: ModelSpec) -> Service:
    pair = Pair(name="tiny", title="Tiny", base=base, aligned=aligned, licence="none")
    return Service(ModelPool({"tiny": pair}, open_adapted))


@pytest.fixture
def adapter_page(chromium: Browser) -> Iterator[Page]:
    folder = ModelSpec(folder="nowhere")
    service = service_of(folder, ModelSpec(folder="nowhere", adapter={"folder": "nowhere"}))
    with ui_server.live(service) as demo:
        page = new_page(chromium, demo.url)
        yield page
        page.close()


def test_an_adapter_pair_can_scale_its_adapter(adapter_page: Page) -> None:
    page = answered(adapter_page, "scale it")
    panel(page).get_by_label("the adapter’s weights").check()
    expect(panel(page)).to_contain_text("0 is the base under that template")
    turned(page)
    pull(page, 4 / 6)
    tuned = dial(page).locator(".st-answer").text_content()
    pull(page, 0)
    expect(dial(page).locator(".st-facts")).to_contain_text("Shifted0.0\u00a0%")
    panel(page).get_by_label("both models’ words").check()
    expect(dial(page).locator(".st-written")).to_have_count(0)
    turned(page)
    pull(page, 4 / 6)
    expect(dial(page).locator(".st-answer")).to_have_text(tuned)  # at 1 both are the tuned model


def test_a_servers_pair_says_in_one_sentence_why_not(chromium: Browser, tmp_path: Path) -> None:
    served = ModelSpec(server={"base_url": "http://127.0.0.1:1/v1", "model": "m"})
    with ui_server.live(service_of(served, ModelSpec(folder="nowhere"))) as demo:
        found = build(query="served")
        info = PairInfo(**{**found.pair.model_dump(), "name": "tiny"})
        path = tmp_path / "kept.json"
        path.write_text(records.to_json(found.model_copy(update={"pair": info})), encoding="utf-8")
        page = opened(new_page(chromium, demo.url), path)
        expect(panel(page)).to_contain_text("not offered for this pair")
        expect(panel(page).get_by_role("slider")).to_have_count(0)
        page.close()

"""The token view inside another page: streamed piece by piece, talked to through its methods and events."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import PATIENCE
from tests.browser.report_page import open_more
from tests.support.records_builder import HOSTILE, PLAIN, UNICODE, build, long_answer
from urial.records import Comparison
from urial.render import report, view

pytestmark = pytest.mark.browser

ANSWER = '[role="listbox"]:visible'
TOKENS = f"{ANSWER} >> [role=option]"
# A host with rules of its own for every element that the view uses.
HOST = """<!doctype html><html lang="en"><title>host</title><style>
h3 { font-size: 40px; color: red } button { padding: 30px; text-transform: uppercase } table { background: red }
ul { list-style: square } .card, .panel, .hidden { display: none } p { margin: 40px }
</style><body><main id="place"></main></body></html>"""


@pytest.fixture(scope="module")
def window(chromium: Browser) -> Iterator[Page]:
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(PATIENCE)
    yield page
    page.close()


@pytest.fixture
def host(window: Page) -> Iterator[Page]:
    """A page with the script and the style, in which nothing is mounted yet; fails on any error or dialog."""
    complaints: list[str] = []

    def complain(what: object) -> None:
        complaints.append(str(what))

    window.on("pageerror", complain)
    window.set_content(HOST)
    window.add_style_tag(content=report.style())
    window.add_script_tag(content=report.script())
    yield window
    window.remove_listener("pageerror", complain)
    assert complaints == []
    assert window.evaluate("window.__pwned") is None


def mount(page: Page, **options: object) -> None:
    page.evaluate(
        """(options) => {
          window.heard = [];
          window.view = UrialView.mount(document.getElementById("place"), options);
          const host = ["stop", "again", "continue-from", "continue-with", "branch-closed"];
          for (const name of [...host, "select", "ready", "choose"]) {
            view.on(name, (detail) => heard.push([name, detail]));
          }
        }""",
        options,
    )


def call(page: Page, method: str, argument: object = None) -> None:
    page.evaluate("([method, argument]) => view[method](argument)", [method, argument])


def heard(page: Page, name: str) -> list[object]:
    return [detail for event, detail in page.evaluate("heard") if event == name]


def started(comparison: Comparison) -> view.Payload:
    prompts = {"base": comparison.base.prompt, "aligned": comparison.aligned.prompt}
    counts = {"base": len(comparison.base.prompt_ids), "aligned": len(comparison.aligned.prompt_ids)}
    return view.started_payload(
        comparison.query, comparison.history, comparison.pair, comparison.settings, prompts, counts
    )


def stream(page: Page, comparison: Comparison, step: int = 3) -> None:
    """Give the view the comparison as a live page would: suffixes, rows that lag behind tokens, sides, the record."""
    call(page, "reset", started(comparison))
    rows = comparison.shift["zero_shot"].tokens
    for at in range(0, len(rows), step):
        call(page, "append", {"aligned": [[row.id, row.text] for row in rows[at : at + step]]})
        late = slice(max(0, at - step), at)
        parts = {name: view.rows_payload(shift.tokens[late]) for name, shift in comparison.shift.items()}
        call(page, "append", {"shift": parts} if rows[late] else {})
    for start in range(0, len(comparison.base.text), 5):
        call(page, "append", {"base": comparison.base.text[start : start + 5]})
    last = slice(max(0, at), len(rows))
    call(page, "append", {"shift": {n: view.rows_payload(s.tokens[last]) for n, s in comparison.shift.items()}})
    call(page, "sideDone", {"name": "base", "side": view.side_payload(comparison.base)})
    call(page, "sideDone", {"name": "aligned", "side": view.side_payload(comparison.aligned)})


def looks(page: Page) -> str:
    """The whole view as the browser holds it, without what is made anew for each mount."""
    page.wait_for_timeout(150)
    html = page.locator(".urial-view").evaluate("e => e.outerHTML")
    return re.sub(r"urial-\w+-\d+", "id", html)


@pytest.mark.parametrize("texts", [PLAIN, PLAIN + UNICODE], ids=["plain", "unicode"])
def test_a_streamed_comparison_ends_as_the_loaded_one(host: Page, texts: list[str]) -> None:
    comparison = build(texts)
    mount(host, comparison=view.payload(comparison))
    expect(host.locator(TOKENS)).to_have_count(len(texts) + 1)
    loaded = looks(host)
    call(host, "destroy")
    mount(host)
    stream(host, comparison)
    call(host, "done", view.payload(comparison))
    expect(host.locator(TOKENS)).to_have_count(len(texts) + 1)
    assert looks(host) == loaded


def test_done_may_give_the_number_of_rows_that_were_streamed(host: Page) -> None:
    comparison = build()
    mount(host)
    stream(host, comparison)
    record = view.payload(comparison)
    for name, shift in comparison.shift.items():
        record["shift"][name]["rows"] = len(shift.tokens)
    call(host, "done", record)
    expect(host.locator(TOKENS)).to_have_count(len(PLAIN) + 1)
    expect(host.locator(".uv-status")).to_contain_text("shifted")


def test_rows_that_got_lost_are_taken_from_the_record(host: Page) -> None:
    comparison = build()
    mount(host)
    call(host, "reset", started(comparison))
    call(host, "append", {"aligned": [[1000, "Hello"]]})
    call(host, "done", view.payload(comparison))
    expect(host.locator(TOKENS)).to_have_count(len(PLAIN) + 1)


def test_tokens_are_plain_until_their_row_comes_and_facts_say_writing(host: Page) -> None:
    comparison = build()
    mount(host, actions=["stop", "again"])
    call(host, "reset", started(comparison))
    call(host, "append", {"aligned": [[1000, "Hello"]], "base": {"text": "Hi! Here", "tokens": 3}})
    expect(host.locator(TOKENS).first).to_have_attribute("aria-label", "Hello, not scored yet")
    expect(host.locator(".uv-facts-line").first).to_have_text("3\u00a0tokenswriting…")
    call(host, "append", {"shift": {"zero_shot": view.rows_payload(comparison.shift["zero_shot"].tokens[:1])}})
    expect(host.locator(TOKENS).first).to_have_attribute("aria-label", "Hello, shifted, base rank 62")


def test_streaming_adds_suffixes_and_never_rebuilds_what_stands(host: Page) -> None:
    comparison = build(long_answer(60))
    mount(host)
    stream(host, comparison, step=20)
    host.wait_for_timeout(100)
    host.evaluate("() => { window.first = document.querySelector('[role=option]'); }")
    call(host, "done", view.payload(comparison))
    host.wait_for_timeout(100)
    assert host.evaluate("first === document.querySelector('[role=option]') && first.isConnected")


def test_stop_and_again_are_events_of_their_side(host: Page) -> None:
    comparison = build()
    mount(host, actions=["stop", "again"])
    call(host, "reset", started(comparison))
    host.get_by_role("button", name="Stop: base answer").click()
    expect(host.get_by_role("button", name="Again: base answer")).to_be_disabled()
    assert heard(host, "stop") == [{"side": "base"}]
    call(host, "done", view.payload(comparison))
    host.get_by_role("button", name="Again: aligned answer").click()
    assert heard(host, "again") == [{"side": "aligned"}]
    expect(host.get_by_role("button", name="Stop: base answer")).to_be_disabled()


def test_the_base_continues_from_a_token_or_with_another(host: Page) -> None:
    comparison = build()
    mount(host, comparison=view.payload(comparison), continuation=True)
    host.locator(TOKENS).nth(2).click()
    host.get_by_role("button", name="Let the base continue from here").click()
    assert heard(host, "continue-from") == [{"position": 2}]
    row = comparison.shift["zero_shot"].tokens[2]
    other = next(entry for entry in row.base_top if entry[0] != row.id)
    host.get_by_role("button", name=f"Let the base continue with “{other[1].strip()}” instead").first.click()
    assert heard(host, "continue-with") == [{"position": 2, "id": other[0], "text": other[1]}]

    call(host, "branchStart", {"position": 2, "id": other[0], "text": other[1]})
    for suffix in (" and", " so", " on", "<img src=x onerror=window.__pwned=1>"):
        call(host, "branchAppend", {"text": suffix})
    call(host, "branchDone", {"stop_reason": "length", "tokens": 4})
    branch = host.locator(".uv-branch")
    expect(branch).to_contain_text(f"Hello!{other[1]} and so on<img src=x onerror=window.__pwned=1>")
    expect(branch).to_contain_text("stopped at the length limit")
    branch.get_by_role("button", name="Close the continuation").click()
    expect(branch).to_be_hidden()
    assert heard(host, "branch-closed") == [{}]


def test_a_failed_side_says_why_and_the_other_goes_on(host: Page) -> None:
    mount(host, actions=["stop", "again"])
    call(host, "reset", started(build()))
    call(host, "fail", {"name": "base", "message": "The server closed the connection; start it again."})
    expect(host.get_by_role("alert").first).to_have_text("The server closed the connection; start it again.")
    expect(host.get_by_role("button", name="Stop: base answer")).to_be_disabled()
    expect(host.get_by_role("button", name="Stop: aligned answer")).to_be_enabled()


def test_the_visit_is_tallied_over_answers(host: Page) -> None:
    mount(host, visit=True)
    call(host, "load", view.payload(build(seed=1)))
    expect(host.get_by_text("of this visit")).to_be_hidden()
    call(host, "load", view.payload(build(query="What else?", seed=2)))
    title = host.get_by_text("Most shifted words of this visit (2 answers)")
    expect(title).to_be_visible()
    hello = {"text": "Hello", "times": 2, "rank": 62}
    assert hello in host.evaluate("view.visitTally()")
    call(host, "load", view.payload(build(seed=1)))  # the first answer once more
    expect(title).to_be_visible()
    assert hello in host.evaluate("view.visitTally()")
    call(host, "load", view.payload(build(PLAIN[:-1], seed=1)))  # another answer to the first question
    expect(host.get_by_text("Most shifted words of this visit (3 answers)")).to_be_visible()


def test_choices_are_told_and_can_be_set(host: Page) -> None:
    mount(host, comparison=view.payload(build()))
    expect(host.locator(TOKENS)).to_have_count(len(PLAIN) + 1)
    call(host, "choose", {"sees": "both", "mode": "kl"})
    expect(host.locator(ANSWER)).to_have_count(2)
    expect(host.get_by_label("both", exact=True)).to_be_checked()
    expect(host.get_by_label("KL", exact=True)).to_be_checked()
    open_more(host)
    host.get_by_label("whole words").check()
    told = heard(host, "choose")[-1]
    assert (told["sees"], told["mode"], told["words"]) == ("both", "kl", True)


def test_two_views_on_a_page_do_not_disturb_each_other(host: Page) -> None:
    mount(host, comparison=view.payload(build(seed=1)))
    mount(host, comparison=view.payload(build(seed=2)))
    expect(host.locator(ANSWER)).to_have_count(2)
    host.get_by_label("KL", exact=True).first.check()
    assert host.get_by_label("class", exact=True).nth(1).is_checked()
    names = host.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(names) == len(set(names))


def test_the_hosts_own_rules_do_not_reach_in(host: Page) -> None:
    mount(host, comparison=view.payload(build()), actions=["stop"])
    size = "e => getComputedStyle(e).fontSize"
    assert host.locator(".uv-title").first.evaluate(size) == "16px"
    assert host.locator(".uv-table").first.evaluate("e => getComputedStyle(e).backgroundColor") == "rgba(0, 0, 0, 0)"
    box = host.get_by_role("button", name="Stop: base answer").bounding_box()
    assert box["height"] < 40


def test_a_host_that_has_its_own_dark_switch_is_followed(host: Page) -> None:
    mount(host, theme="host", comparison=view.payload(build()))
    colour = "e => getComputedStyle(e).color"
    host.emulate_media(color_scheme="dark")
    assert host.locator(".urial-view").evaluate(colour) == "rgb(29, 31, 35)"
    host.evaluate("document.body.classList.add('dark')")
    assert host.locator(".urial-view").evaluate(colour) == "rgb(232, 230, 225)"
    host.emulate_media(color_scheme="light")


def test_hostile_text_streamed_in_stays_text(host: Page) -> None:
    texts = [text[:2000] for text in HOSTILE]
    comparison = build(texts, query="\n".join(texts), alternatives=texts[:12])
    mount(host, actions=["stop", "again"], continuation=True, visit=True)
    stream(host, comparison, step=7)
    call(host, "done", view.payload(comparison, note=texts[0]))
    for text in texts:
        call(host, "append", {"base": text})
        call(host, "status", text)
        call(host, "fail", {"name": "base", "message": text})
    expect(host.locator(TOKENS)).to_have_count(len(texts) + 1)
    for i in range(len(texts)):
        host.locator(TOKENS).nth(i).dispatch_event("click")
    host.wait_for_timeout(100)
    assert host.locator("#place >> script, img, iframe, form, style").count() == 0
    assert json.dumps(host.evaluate("Object.keys(Object.prototype)")) == "[]"

"""A corpus's report in Chromium: figures, filters, answers in the token view, the link, everyone; no text runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser.report_page import watched_file
from tests.support.lines_builder import make_lines, write_lines
from tests.support.records_builder import HOSTILE, build
from urial.corpus.answers import read
from urial.corpus.figures import summarize
from urial.corpus.folder import SUMMARY, write_json
from urial.corpus.lines import Line, Origin
from urial.corpus.report import write_report

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    tags = {"topic": ["<img src=x onerror=window.__pwned=1>", "nature"]}
    origin = Origin(key="h", id="'\"></script><script>window.__pwned=1</script>", method="urial", tags=tags)
    query = "HOSTILE " + "".join(HOSTILE)
    lines = [*make_lines(24), Line(origin=origin, query=query, record=build(HOSTILE, query=query))]
    summary = summarize(
        read(write_lines(folder, lines)), [{"pair": "Llama", "unshifted": 77.7, "marginal": 14.5, "shifted": 7.8}]
    )
    write_json(folder / SUMMARY, summary)
    write_report(folder, summary)
    return folder / "report.html"


@pytest.fixture
def show(chromium: Browser, report: Path) -> Iterator:
    """Opens the report and fails the test for an error, a dialog or a request beyond the file."""
    with watched_file(chromium, report, ".uc-head") as opened:
        yield opened


def rows(page: Page):
    return page.locator(".uc-question")


def test_a_tag_and_a_bar_filter_and_the_link_brings_it_back(show) -> None:
    page = show()
    expect(page.locator(".uc-shares tbody tr")).to_have_count(5)
    expect(rows(page)).to_have_count(25)
    page.locator(".uc-tags button", has_text="cooking").click()
    found = rows(page).count()
    assert 0 < found < 25
    page.locator(".uc-column:not([disabled])").first.click()
    fewer = rows(page).count()
    assert 0 <= fewer < found
    again = show(fragment=page.url[page.url.index("#") :])
    expect(rows(again)).to_have_count(fewer)
    again.locator(".uc-chips button").first.click()
    again.locator(".uc-chips button").first.click()
    expect(rows(again)).to_have_count(25)


def test_it_sorts_and_finds(show) -> None:
    page = show()
    page.locator(".uc-list thead button", has_text="Shifted").click()
    shares = [float(text.split()[0]) for text in page.locator(".uc-list tbody td:nth-child(2)").all_inner_texts()]
    assert shares == sorted(shares, reverse=True)
    page.get_by_label("Find in questions").fill("question 7?")
    expect(rows(page)).to_have_count(1)


def test_an_answer_opens_by_key_in_the_token_view_and_closes(show) -> None:
    page = show()
    first = rows(page).first
    first.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".uc-detail .uv-token").first).to_be_visible()
    expect(page.locator(".uc-open-title")).to_be_focused()
    assert "open=q0" in page.url
    page.locator(".uc-detail .uv-choice", has_text="question alone").first.click()
    expect(page.locator(".uc-detail .uv-token").first).to_be_visible()
    page.get_by_role("button", name="All questions").click()
    expect(first).to_be_focused()


def test_a_word_opens_the_answer_that_has_it(show) -> None:
    page = show()
    page.locator(".uc-word").first.click()
    expect(page.locator(".uc-detail .uv-token").first).to_be_visible()


def test_a_plot_is_kept_as_svg_png_and_csv(show) -> None:
    page = show()
    for ending, start in (("svg", b"<svg"), ("png", b"\x89PNG"), ("csv", b"position,n,")):
        with page.expect_download() as caught:
            page.get_by_label(f"Along the answer as {ending.upper()}").click()
        assert caught.value.suggested_filename.endswith(f".{ending}")
        assert Path(caught.value.path()).read_bytes().startswith(start)


def test_hostile_texts_are_shown_and_do_nothing(show) -> None:
    page = show()
    page.get_by_label("Find in questions").fill("HOSTILE")
    rows(page).first.click()
    expect(page.locator(".uc-detail .uv-token").first).to_be_visible()
    assert page.evaluate("window.__pwned") is None
    assert page.locator(".uc img, .uc iframe").count() == 0


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")])
def test_axe_finds_nothing_serious_and_nothing_runs_over(show, width: int, scheme: str) -> None:
    page = show(viewport={"width": width, "height": 800}, color_scheme=scheme)
    for fold in page.locator(".uc details summary").all():
        fold.click()
    page.wait_for_timeout(100)
    found = Axe().run(page).response
    assert found["passes"], "axe looked at nothing"
    bad = [one for one in found["violations"] if one["impact"] in ("serious", "critical")]
    assert [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in bad] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width

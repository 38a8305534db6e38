"""The Corpus tab on the live page: figures, an answer, and a link that opens it there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.demo_page import Visit, visit  # noqa: F401  (a fixture)
from tests.support import ui_server
from tests.support.lines_builder import make_lines, write_lines
from urial.corpus.answers import read
from urial.corpus.figures import summarize
from urial.corpus.folder import SUMMARY, write_json

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ui_server.Live]:
    folder = write_lines(tmp_path_factory.mktemp("corpus"), make_lines(12))
    write_json(folder / SUMMARY, summarize(read(folder)))
    gallery = ui_server.write_gallery(tmp_path_factory.mktemp("gallery"))
    with ui_server.live(ui_server.tiny_service(), gallery=gallery, corpus=folder) as found:
        yield found


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_figures_then_an_answer_then_the_link(
    visit: Visit,  # noqa: F811
    tmp_path: Path,
    width: int,
    scheme: str,
) -> None:
    options = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
    page = visit("/", **options)
    page.evaluate("document.querySelector('#tab-corpus-button').click()")
    expect(page.locator(".uc-shares tbody tr")).to_have_count(4)
    page.screenshot(path=tmp_path / f"tab-{width}.png", full_page=True)
    page.locator(".uc-question").nth(2).click()
    expect(page.locator(".uc-detail .uv-token").first).to_be_visible()
    again = visit("/" + page.url[page.url.index("#") :], **options)
    expect(again.locator(".uc-open-title")).to_have_text("Question 2?")
    assert again.evaluate("document.documentElement.scrollWidth") <= width

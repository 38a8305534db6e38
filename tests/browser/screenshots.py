"""Pictures of a running page for `docs/`: `python -m tests.browser.screenshots http://127.0.0.1:7860 docs`.

Asks real questions, so it takes as long as the models do. No test.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.chromium import executable

PATIENCE = 600_000  # milliseconds
QUERY = "Give me three tips for staying healthy."
Shot = Callable[[Browser, str, Path], None]


def open_page(browser: Browser, url: str, **options: object) -> Page:
    page = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options}).new_page()
    page.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    page.goto(url)
    expect(page.locator("#open-saved")).to_be_visible()
    return page


def ask(page: Page, text: str = QUERY, button: str = "#go") -> Page:
    page.locator("#query textarea").fill(text)
    before = page.locator(".turn").count()
    page.locator(button).click()
    if button == "#go-on":
        expect(page.locator(".turn")).to_have_count(before + 1)
    expect(page.locator(".turn").last).to_have_attribute("data-state", "done")
    page.wait_for_timeout(800)
    return page


def save(page: Page, folder: Path, name: str, *, whole: bool = True) -> None:
    page.evaluate("document.activeElement.blur()")
    page.mouse.move(0, 0)
    page.wait_for_timeout(300)
    page.screenshot(path=folder / f"{name}.png", full_page=whole)
    page.context.close()


def wide(browser: Browser, url: str, folder: Path) -> None:
    save(ask(open_page(browser, url)), folder, "wide")


def phone(browser: Browser, url: str, folder: Path) -> None:
    save(ask(open_page(browser, url, viewport={"width": 390, "height": 844})), folder, "phone")


def eyeful(browser: Browser, url: str, folder: Path) -> None:
    """What fits a screen, in few colours: the picture in the README's head and of the Learn tab (`urial/ui/assets`)."""
    page = ask(open_page(browser, url, viewport={"width": 1280, "height": 1745}))
    save(page, folder, "eyeful", whole=False)
    small = Image.open(folder / "eyeful.png").convert("RGB").quantize(256, dither=Image.Dither.NONE)
    small.save(folder / "eyeful.png", optimize=True)


def dark(browser: Browser, url: str, folder: Path) -> None:
    save(ask(open_page(browser, url, color_scheme="dark")), folder, "dark")


def token_card(browser: Browser, url: str, folder: Path) -> None:
    page = ask(open_page(browser, url))
    page.locator(".live [role=listbox]:visible [role=option]").nth(1).click()
    page.get_by_role("button", name="Let the base continue from here").click()
    expect(page.get_by_role("region", name="The base continues")).to_contain_text("stopped")
    page.locator(".turn").scroll_into_view_if_needed()
    save(page, folder, "token-card")


def both_contexts(browser: Browser, url: str, folder: Path) -> None:
    page = ask(open_page(browser, url))
    page.get_by_role("radio", name="both", exact=True).check()
    save(page, folder, "both-contexts")


def two_turns(browser: Browser, url: str, folder: Path) -> None:
    page = ask(open_page(browser, url))
    save(ask(page, "Which of them is the easiest to start with?", "#go-on"), folder, "two-turns")


def gallery(browser: Browser, url: str, folder: Path) -> None:
    page = open_page(browser, url)
    page.get_by_role("tab", name="Gallery").click()
    page.wait_for_selector(".shelf > li")
    save(page, folder, "gallery")


def learn(browser: Browser, url: str, folder: Path) -> None:
    page = open_page(browser, url)
    page.get_by_role("tab", name="Learn").click()
    page.wait_for_timeout(1500)
    save(page, folder, "learn")


def error(browser: Browser, url: str, folder: Path) -> None:
    page = open_page(browser, url)
    page.locator("#query textarea").fill("why " * 20_000)
    page.locator("#go").click()
    page.wait_for_selector(".turn > .notice:visible")
    save(page, folder, "error", whole=False)


SHOTS: tuple[Shot, ...] = (eyeful, wide, phone, dark, token_card, both_contexts, two_turns, gallery, learn, error)


def main(url: str, folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(playwright), args=["--no-sandbox"])
        for shot in SHOTS:
            if not names or shot.__name__ in names:
                shot(browser, url, folder)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])

"""Fixtures of the browser tests, and the time that each of them may take."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.chromium import chromium
from tests.browser.demo_page import demo, visit
from tests.browser.report_page import pages, show

__all__ = ["chromium", "demo", "pages", "show", "visit"]

SECONDS = 150  # a test; longer than any of its waits, so that the wait says what was missing


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(SECONDS))


@pytest.fixture
def slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """At least 30 ms a token, so that no machine is done before a visitor can press Stop."""
    from tests.support.runners import slow_down

    slow_down(monkeypatch, 0.03)

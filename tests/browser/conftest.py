"""Fixtures of the browser tests."""

from tests.browser.chromium import chromium
from tests.browser.demo_page import demo, visit
from tests.browser.report_page import pages, show

__all__ = ["chromium", "demo", "pages", "show", "visit"]

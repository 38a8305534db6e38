"""Fixtures of the browser tests."""

from tests.browser.chromium import chromium
from tests.browser.report_page import pages, show

__all__ = ["chromium", "pages", "show"]

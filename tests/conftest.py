"""Order for all tests: the fast ones first, then the embedded pair, the browser, a real server."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

settings.register_profile("gate", derandomize=True)  # the gate finds the same cases each time; a desk finds new ones
if os.environ.get("CI"):
    settings.load_profile("gate")

SLOWER = ("embedded", "browser", "server")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(
        key=lambda item: max((SLOWER.index(mark) + 1 for mark in SLOWER if item.get_closest_marker(mark)), default=0)
    )

"""What docs/log.md says is held by a test is held by one that exists."""

from __future__ import annotations

import re

import pytest

from tests.support.paths import ROOT

WHOLE = (ROOT / "docs" / "log.md").read_text(encoding="utf-8")
LOG = WHOLE.split("\n## ")[1]  # the faults; what follows are measurements
ROWS = [line for line in LOG.splitlines() if line.startswith("| ") and re.search(r"`(?:\w+/)*test_", line)]
TESTS = {
    str(path.relative_to(ROOT / "tests")): path.read_text(encoding="utf-8")
    for path in (ROOT / "tests").rglob("test_*.py")
}


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`((?:\w+/)*test_\w+(?:\.py)?)`", LOG))))
def test_a_named_test_is_there(name: str) -> None:
    if name.endswith(".py"):
        assert name in TESTS
    else:
        assert any(re.search(rf"def {name}\(", text) for text in TESTS.values())


def test_every_row_of_the_tables_names_a_test() -> None:
    tables = [line for line in LOG.splitlines() if line.startswith("| ") and not line.startswith("| kind")]
    assert len(ROWS) >= 40 and [line for line in tables if line not in ROWS and "no test:" not in line] == []

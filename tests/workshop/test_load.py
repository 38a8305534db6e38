"""Three hundred students at once: every answer of every kind is accepted once, and nobody waits long."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.load_class import measure
from urial.workshop.kinds import KINDS


@pytest.mark.slow
def test_three_hundred_students_are_all_heard(tmp_path: Path) -> None:
    found = measure(tmp_path, 300)
    for kind in KINDS:
        assert found[kind]["answers"] == 300
        assert (
            found[kind]["wait_seconds"]["longest"] < 10
        )  # where others use it too; docs/teaching.md has what is usual

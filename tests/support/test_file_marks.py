"""A file is passed over only if none of its tests could be asked for."""

from __future__ import annotations

import pytest

from tests.support.file_marks import can_match, marks_of_all

FAST = "not slow and not embedded and not browser and not server"


@pytest.mark.parametrize(
    ("source", "marks"),
    [
        ("pytestmark = pytest.mark.slow", {"slow"}),
        ("pytestmark = [pytest.mark.server, pytest.mark.timeout(9), *WARNINGS]", {"server", "timeout"}),
        ('pytestmark = pytest.mark.skipif(sys.platform == "x", reason="slow")', {"skipif"}),
        ("pytestmark = WARNINGS", set()),
        ("@pytest.mark.slow\ndef test_one(): ...", set()),
        ("def test_one():\n    pytestmark = pytest.mark.slow", set()),
        ("", set()),
    ],
)
def test_marks_of_all_tests_are_those_of_the_file(source: str, marks: set[str]) -> None:
    assert marks_of_all(source) == marks


@pytest.mark.parametrize(
    ("expression", "marks", "found"),
    [
        (FAST, set(), True),
        (FAST, {"timeout"}, True),
        (FAST, {"slow"}, False),
        (FAST, {"server", "embedded"}, False),
        ("slow", {"slow"}, True),
        ("slow", {"embedded"}, True),  # one of its tests may be slow, too
        ("not slow or browser", {"slow"}, True),
        ("slow and not browser", {"browser"}, False),
    ],
)
def test_what_a_test_of_the_file_could_have_besides_is_thought_of(
    expression: str, marks: set[str], found: bool
) -> None:
    assert can_match(expression, frozenset(marks)) == found

"""Stops: what ends an answer, what does not, and that pieces never let a marker through."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from urial.prompts.formats import BACKTICKS, FORMATS, USER_V5, USER_V6, Format
from urial.prompts.stops import StopFilter

CODE = "Sure:\n\n```python\n# Query: read the table\nx = 1\n```\n\nDone."
BARE = "Run this:\n\n```\npip list\n```\n\nThat is all."
NESTED = "1. Install:\n   ```\n   pip list\n   ```\n2. Look."

ENDED = [  # (text of the model, the answer in it), format backticks
    pytest.param("Hello!\n```\n\n# Query:\n```\nNext", "Hello!", id="closing fence"),
    pytest.param("Hello!\n```", "Hello!", id="closing fence at the very end"),
    pytest.param("Hello!\n``` \t\r\nmore", "Hello!", id="closing fence with blanks"),
    pytest.param("Hello!\n```\nmore", "Hello!", id="closing fence, text at once"),
    pytest.param("Hello!\n\n\n```\n\n", "Hello!", id="blank lines before the fence"),
    pytest.param("Hello!\n```# Query:", "Hello!", id="heading right behind the fence"),
    pytest.param("Hello!\n\n# Query:\n```\nNext", "Hello!", id="heading"),
    pytest.param("Hello!\n# Query: Next", "Hello!", id="heading with text"),
    pytest.param("Hello!\n# Answer:\n", "Hello!", id="answer heading"),
    pytest.param("Hello!\n# User:\n", "Hello!", id="user heading"),
    pytest.param("Hello!\n# Assistant:\n", "Hello!", id="assistant heading"),
    pytest.param("Hello!\n# Instruction\n\nThe following", "Hello!", id="the prompt again"),
    pytest.param("Hello!\n# Que", "Hello!", id="heading cut short"),
    pytest.param("```\n\n# Query:", "", id="no answer"),
    pytest.param("# Query:\n", "", id="heading at once"),
    pytest.param(CODE + "\n```\n\n# Query:", CODE, id="code block, then the closing fence"),
    pytest.param(BARE + "\n```\n", BARE, id="bare code block, then the closing fence"),
    pytest.param(NESTED + "\n```\n", NESTED, id="indented code block, then the closing fence"),
    pytest.param("Code:\n```\nx = 1\n```\n```\n\n", "Code:\n```\nx = 1\n```", id="code ends the answer"),
    pytest.param("```\nx = 1\n```\n```\n", "```\nx = 1\n```", id="code is the answer"),
    pytest.param("Code:\n```\n\n# Query:", "Code:", id="announced, but nothing follows"),
    pytest.param("Code:\n```\n# Answer:", "Code:", id="announced, but a heading follows"),
    pytest.param("Code:\n```\n```\n", "Code:", id="announced, but another fence follows"),
    pytest.param("代码：\n```\nx = 1\n```\n```\n", "代码：\n```\nx = 1\n```", id="full-width colon"),
    pytest.param("```py\nx = 1\n\n# Query:\n```\nNext", "```py\nx = 1", id="code never closed, then the next turn"),
    pytest.param("````md\n```py\nx\n```\n````\nEnd.\n```\n", "````md\n```py\nx\n```\n````\nEnd.", id="longer fence"),
]

KEPT = [
    pytest.param("Hello!\n", id="trailing line break"),
    pytest.param(CODE, id="code block"),
    pytest.param("Use `x` or ```y``` here.\n", id="inline code"),
    pytest.param("# Queries are headings too\n# Query\n# Questions:\n## Query:\n", id="other headings"),
    pytest.param("The heading # Query: in a line\n", id="heading inside a line"),
    pytest.param("```python\n# Query: all users\n# Answer:\n# User:\nx = 1\n", id="comments in code"),
    pytest.param("# Instructions\nMix.\n", id="a heading that only begins like the restart"),
    pytest.param("a\n``", id="two backticks at the end"),
    pytest.param("a\n#", id="hash at the end"),
    pytest.param("", id="nothing"),
    pytest.param(" \n\n  x", id="blank beginning"),
]


def whole(turns: Format, text: str) -> tuple[str, bool]:
    stops = StopFilter(turns.marks)
    shown = stops.feed(text) + stops.finish()
    return shown, stops.stopped


@pytest.mark.parametrize(("text", "answer"), ENDED)
def test_answers_end_where_they_should(text: str, answer: str) -> None:
    assert whole(BACKTICKS, text) == (answer, True)
    assert by_pieces(BACKTICKS, list(text)) == (answer, True)


@pytest.mark.parametrize("text", KEPT)
def test_answers_without_a_marker_are_shown_whole(text: str) -> None:
    assert whole(BACKTICKS, text) == (text, False)


@pytest.mark.parametrize("turns", [USER_V5, USER_V6], ids=lambda each: each.name)
def test_formats_without_a_closing_fence_end_at_headings_only(turns: Format) -> None:
    fenced = "Sure.\n```\n# User: x\npip list\n```\nDone."
    assert whole(turns, fenced) == (fenced, False)
    assert whole(turns, fenced + "\n\n\n# User:\nNext") == (fenced, True)
    assert whole(turns, "```py\n# Query:\n\n# User:\nNext") == ("```py\n# Query:", True)


def by_pieces(turns: Format, pieces: list[str]) -> tuple[str, bool]:
    stops = StopFilter(turns.marks)
    shown = "".join(map(stops.feed, pieces)) + stops.finish()
    return shown, stops.stopped


WORDS = ["```", "`", "```python", "````", "\n", "\n\n", " ", "\t", "#", "# ", "# Query:", "# Que", "ry:", "Query", ":"]
WORDS += ["# Answer:", "# User:", "# Assistant:", "# Instruction", "text", "x = 1", "text:", "：", "é世", "\r\n", "  "]
TEXTS = st.lists(st.sampled_from(WORDS), max_size=24).map("".join)
FORMAT = st.sampled_from(list(FORMATS.values()))


@st.composite
def pieces_of(draw: st.DrawFn) -> list[str]:
    text = draw(TEXTS)
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=12)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@settings(max_examples=150, deadline=None)
@given(FORMAT, pieces_of())
def test_how_a_text_is_cut_into_pieces_does_not_matter(turns: Format, pieces: list[str]) -> None:
    assert by_pieces(turns, pieces) == whole(turns, "".join(pieces))


@settings(max_examples=150, deadline=None)
@given(FORMAT, TEXTS)
def test_what_was_shown_is_never_taken_back(turns: Format, text: str) -> None:
    """At every moment the shown text begins the answer, and at most a line's beginning and blank lines are behind."""
    answer, _ = whole(turns, text)
    stops, shown = StopFilter(turns.marks), ""
    for position, character in enumerate(text, start=1):
        shown += stops.feed(character)
        assert answer.startswith(shown) and text.startswith(shown)
        held = text[len(shown) : position]
        if not stops.stopped:
            assert all(len(line.strip()) <= len("```# Instruction") for line in held.split("\n"))
    assert not stops.stopped or not shown.endswith("\n")


def answer_by_lines(turns: Format, text: str) -> tuple[str, bool]:
    """The same rules over whole lines with the next one in sight: an independent reading of the contract."""
    lines = text.split("\n")
    heading = re.compile(r"# (Query|Answer|User|Assistant):")
    fence = re.compile(r"[ \t]*(`{3,})([^`]*)")
    code = 0
    for number, raw in enumerate(lines):
        line, is_last = raw.rstrip(" \t\r"), number == len(lines) - 1
        following = None if is_last else lines[number + 1]
        before = lines[number - 1].rstrip(" \t\r") if number else ""
        closes = turns.marks.closing == line and not code
        behind = re.sub(r"^```[ \t\r]*", "", raw) if turns.marks.closing else raw
        begun = is_last and len(raw) > 2 and any(h.startswith(raw) for h in turns.marks.headings)
        if code:
            ends = line == turns.marks.next_turn
        elif closes:
            is_announced = before == "" or before.endswith((":", "："))
            ends = not (is_announced and following is not None and opens_code(following, number + 2 == len(lines)))
        else:
            ends = bool(heading.match(behind)) or line == "# Instruction" or begun
        if ends:
            return "\n".join(trimmed(lines[:number])), True
        found = fence.fullmatch(line)
        if found and not code:
            code = len(found[1])
        elif found and len(found[1]) >= code and not found[2]:
            code = 0
    return text, False


def opens_code(following: str, is_last: bool) -> bool:
    """Whether a line after a bare fence is code: neither blank, nor a heading or fence, nor the beginning of one."""
    body = following.rstrip(" \t\r")
    behind = re.sub(r"^```[ \t\r]*", "", following)
    marks = ("# Query:", "# Answer:", "# User:", "# Assistant:")
    if body in ("", "```", "# Instruction") or behind.startswith(marks):
        return False
    begins = any(mark.startswith(behind) for mark in (*marks, "# Instruction", "```"))
    return not (is_last and begins)


def trimmed(lines: list[str]) -> list[str]:
    while lines and not lines[-1].strip(" \t\r"):
        lines = lines[:-1]
    return lines


@settings(max_examples=300, deadline=None)
@given(FORMAT, TEXTS)
def test_the_filter_agrees_with_a_reading_by_lines(turns: Format, text: str) -> None:
    assert whole(turns, text) == answer_by_lines(turns, text)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["text", "text.", "1. Topic: x", "", "  y", "`x`", "- z", CODE]), max_size=12))
def test_any_plain_answer_comes_back_whole(lines: list[str]) -> None:
    answer = "\n".join(lines).rstrip()
    assert whole(BACKTICKS, answer + "\n```\n\n# Query:\n```\nNext") == (answer, True)
    assert whole(USER_V6, answer + "\n\n\n# User:\nNext") == (answer, True)


def test_text_is_shown_as_it_comes() -> None:
    stops = StopFilter(BACKTICKS.marks)
    assert [stops.feed(piece) for piece in ["Hel", "lo", "!", "\n", "\n", "1", ". Topic:"]] == [
        "Hel",
        "lo",
        "!",
        "",
        "",
        "\n\n1",
        ". Topic:",
    ]


def test_it_stops_at_the_marker_and_stays_stopped() -> None:
    stops = StopFilter(BACKTICKS.marks)
    assert [stops.feed(piece) for piece in ["Yes.", "\n```", "\n", "\n# Query:", "more"]] == ["Yes.", "", "", "", ""]
    assert stops.stopped and stops.finish() == ""


@pytest.mark.parametrize("unit", ["word ", "\n", " ", "```\n", "`", "a\n", "#"])
def test_time_is_linear(unit: str) -> None:
    def seconds(length: int) -> float:
        stops = StopFilter(USER_V5.marks)
        start = time.process_time()
        for _ in range(length):
            stops.feed(unit)
        return time.process_time() - start

    seconds(1_000)
    short, long = min(seconds(4_000) for _ in range(3)), min(seconds(32_000) for _ in range(2))
    assert long < 8 * 4 * short + 0.05, "eight times the text must not take far more than eight times as long"

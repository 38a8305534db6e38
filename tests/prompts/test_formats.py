"""The three formats, character for character, and the official prompt files in them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.paths import REFERENCE
from urial.errors import PromptError
from urial.prompts import method
from urial.prompts.formats import BACKTICKS, FORMATS, USER_V5, USER_V6, Format, recognize
from urial.records import Message

OFFICIAL = REFERENCE / "urial_prompts"
OFFICIAL_FORMATS = {
    "basic_icl.txt": ("backticks", 3),
    "inst_1k.txt": ("backticks", 3),
    "inst_1k_v4.help.txt": ("backticks", 3),
    "inst_1k_v4.txt": ("backticks", 3),
    "inst_2k_v4.txt": ("backticks", 8),
    "inst_help_v5-1k.txt": ("user_v5", 3),
    "inst_help_v6-1k.txt": ("user_v6", 3),
    "inst_only.txt": ("backticks", 0),
}
needs_official = pytest.mark.skipif(
    not OFFICIAL.is_dir(), reason="the official prompt files are not at ../shared/reference/urial_prompts"
)

TEXTS = [
    pytest.param("Hello", id="plain"),
    pytest.param("Why?\n\n```python\nprint('# Query:')\n```\nIt fails.", id="code fence"),
    pytest.param("为什么天空是蓝色的？", id="CJK"),
    pytest.param("  two\u00a0odd\u3000spaces\t\u2009 ", id="odd spaces"),
    pytest.param("\nline breaks around\n\n", id="line breaks"),
    pytest.param("👩‍👩‍👧 {q} %s \\n $1", id="emoji and placeholders"),
]


def contract(name: str, first: tuple[str, str], query: str) -> str:
    """Two turns as the design writes them down, one finished and one open."""
    q, a = first
    if name == "backticks":
        return (
            f"\n# Query:\n```\n{q}\n```\n" + f"\n# Answer:\n```\n{a}\n```\n"
            f"\n# Query:\n```\n{query}\n```\n" + "\n# Answer:\n```\n"
        )
    if name == "user_v5":
        return f"\n# User:\n\n{q}\n\n\n# Assistant:\n\n{a}\n\n\n# User:\n\n{query}\n\n\n# Assistant:\n\n"
    q, a, query = (text.strip("\n") for text in (q, a, query))
    return f"\n\n# User:\n{q}\n\n\n# Assistant:\n{a}\n\n\n# User:\n{query}\n\n\n# Assistant:\n"


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("turns", FORMATS.values(), ids=lambda each: each.name)
def test_turns_are_written_as_the_contract_says(turns: Format, text: str) -> None:
    written = turns.finished_turn(text, text + "!") + turns.open_turn(text)
    assert written == contract(turns.name, (text, text + "!"), text)


@needs_official
@pytest.mark.parametrize("file", OFFICIAL_FORMATS)
@pytest.mark.parametrize("text", TEXTS)
def test_official_files_render_to_their_own_text_and_turns(file: str, text: str) -> None:
    name, examples = OFFICIAL_FORMATS[file]
    chosen = method(prompt_file=OFFICIAL / file)
    history = [Message(role="user", content=text), Message(role="assistant", content=text + "?")]
    own_text = (OFFICIAL / file).read_bytes().decode("utf-8")
    assert (chosen.format.name, chosen.examples, chosen.prefix) == (name, examples, own_text)
    assert chosen.render(text, history) == own_text + contract(name, (text, text + "?"), text)


@needs_official
def test_every_official_file_is_covered() -> None:
    assert {path.name for path in OFFICIAL.glob("*.txt")} == set(OFFICIAL_FORMATS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("# Query:\n```\nHi\n```\n", BACKTICKS, id="fence on its own line"),
        pytest.param("# Query:  \n```Hi```\n", BACKTICKS, id="old style, query inside the fence"),
        pytest.param("# User:\n\nHi\n", USER_V5, id="blank line"),
        pytest.param("# User:\n \t\nHi\n", USER_V5, id="line of blanks"),
        pytest.param("# User:\nHi\n", USER_V6, id="text at once"),
        pytest.param('Users write under "# Query:".\n', BACKTICKS, id="instructions alone"),
        pytest.param("Write so:\n# Query:\n<text>\n\n# Query:\n```\nHi\n```\n", BACKTICKS, id="described, then used"),
        pytest.param("# Query:\n```\nWhat does\n# User:\nmean?\n```\n", BACKTICKS, id="the first heading decides"),
    ],
)
def test_a_format_is_recognised(text: str, expected: Format) -> None:
    assert recognize(text, "f") is expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Just some prose.", 'no "# Query:" or "# User:" heading'),
        ('Users write under "# User:".', "no example"),
        ("# Query:\nHi\n# Answer:\nHello\n", "fences"),
        ("Mid-line # Quer", "no"),
    ],
)
def test_a_text_of_no_format_is_refused(text: str, says: str) -> None:
    with pytest.raises(PromptError, match=says) as caught:
        recognize(text, "Prompt file 'f'")
    assert "\n" not in str(caught.value)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.text(min_size=1), st.text()), max_size=4), st.sampled_from(list(FORMATS.values())))
def test_turns_only_ever_append(pairs: list[tuple[str, str]], turns: Format) -> None:
    """Each further turn leaves what stands before it alone, so that a prefix can be computed once."""
    written = ""
    for query, answer in pairs:
        longer = written + turns.finished_turn(query, answer)
        assert longer.startswith(written + turns.query_turn(query))
        if not turns.trimmed:
            assert longer.startswith(written + turns.open_turn(query) + answer)
        written = longer

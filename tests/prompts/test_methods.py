"""The methods, their own texts, and what is refused."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.paths import REFERENCE
from urial.errors import PromptError, SettingsError, UserMistake
from urial.prompts import EXAMPLE_COUNTS, METHODS, method
from urial.prompts.formats import BACKTICKS
from urial.prompts.texts import load_texts
from urial.records import Message

BOTH = ("urial", "urial_no_refusal")


def reference(path: str) -> Path:
    if not (REFERENCE / path).exists():
        pytest.skip(f"reference data are not at ../shared/reference/{path}")
    return REFERENCE / path


def test_zero_shot_is_the_open_turn_alone() -> None:
    assert method("zero_shot").render("Hi?") == "\n# Query:\n```\nHi?\n```\n\n# Answer:\n```\n"


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("count", EXAMPLE_COUNTS)
def test_urial_is_its_prefix_and_the_zero_shot_turn(name: str, count: int) -> None:
    chosen = method(name, count)
    assert chosen.prefix.startswith("# Instruction\n\n")
    assert chosen.examples == count == chosen.prefix.count("\n# Query:\n```\n") == chosen.prefix.count("\n# Answer:\n")
    assert chosen.render("Hi?") == chosen.prefix + method("zero_shot").render("Hi?")


@pytest.mark.parametrize("name", BOTH)
def test_a_smaller_number_of_examples_is_the_beginning_of_a_larger_one(name: str) -> None:
    prefixes = [method(name, count).prefix for count in EXAMPLE_COUNTS]
    assert all(longer.startswith(shorter) for shorter, longer in pairwise(prefixes))


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize(("count", "paper_tokens"), [(1, 543), (3, 1011), (8, 2026)])
def test_lengths_are_near_the_papers(name: str, count: int, paper_tokens: int) -> None:
    """Counted in words here; Gemma 3's tokenizer makes 1.28 to 1.36 tokens of a word of these texts."""
    tokens = 1.32 * len(method(name, count).prefix.split())
    assert 0.75 * paper_tokens < tokens < 1.1 * paper_tokens


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("count", EXAMPLE_COUNTS)
def test_own_prompts_load_as_prompt_files(name: str, count: int, tmp_path: Path) -> None:
    own = method(name, count)
    (tmp_path / "own.txt").write_text(own.prefix, encoding="utf-8")
    loaded = method("file", prompt_file=tmp_path / "own.txt")
    assert (loaded.format, loaded.examples) == (BACKTICKS, count)
    assert loaded.render("Hi?") == own.render("Hi?")


def test_vanilla_icl_asks_what_urial_asks_and_answers_plainly() -> None:
    shown = load_texts().shown("safe", 3)
    assert all(each.plain and len(each.plain) < len(each.answer) / 4 for each in shown)
    pairs = [(each.query, each.plain or "") for each in shown]
    assert method("vanilla_icl").prefix == "".join(BACKTICKS.finished_turn(*pair) for pair in pairs)


def test_only_the_safe_version_refuses() -> None:
    safe, helpful = (method(name, 8).prefix for name in BOTH)
    assert method("urial", 3).prefix.count("I cannot help you") == 1
    assert safe.count("I cannot help you") == 2
    assert "cannot" not in helpful and "decline" not in helpful


@pytest.mark.parametrize("version", ["safe", "no_refusal"])
def test_answers_are_restyled_and_survive_their_own_stops(version: str) -> None:
    for example in load_texts().shown(version, 8):
        assert example.answer.startswith("Hello! ")
        stops = method("urial").stops()
        shown = stops.feed(example.answer + "\n```\n\n# Query:\n```\nAnd now?")
        assert (shown, stops.stopped) == (example.answer, True)
    code = next(each for each in load_texts().shown(version, 8) if "```python\n" in each.answer)
    program = re.search(r"```python\n(.*?)\n```", code.answer, re.DOTALL)
    assert program is not None
    names: dict[str, object] = {"print": lambda found: found}
    exec(program[1], names)
    assert names["count_vowels"]("Hello World") == 3


def test_no_text_comes_from_the_benchmark_or_the_official_files() -> None:
    lines = reference("mt_bench/question.jsonl").read_text(encoding="utf-8").splitlines()
    questions = [json.loads(line)["turns"][0] for line in lines]
    official = "".join(path.read_text(encoding="utf-8") for path in reference("urial_prompts").glob("*.txt"))
    for example in load_texts().examples.values():
        assert not any(example.query.lower() in question.lower() for question in questions)
        sentences = re.split(r"(?<=[.!?:])\s+", f"{example.query}\n{example.answer}")
        assert [each for each in sentences if len(each.split()) > 5 and each in official] == []


def test_earlier_turns_are_finished_turns() -> None:
    history = [Message(role="user", content="One?"), Message(role="assistant", content="Yes.")]
    chosen = method("urial", 1)
    assert chosen.render("Two?", history) == (
        chosen.prefix + BACKTICKS.finished_turn("One?", "Yes.") + BACKTICKS.open_turn("Two?")
    )


def test_defaults() -> None:
    assert (method().name, method().examples) == ("urial", 3)
    assert method("urial_no_refusal").examples == 3
    assert {name: method(name).examples for name in METHODS if name != "file"} == {
        "urial": 3,
        "urial_no_refusal": 3,
        "vanilla_icl": 3,
        "retrieval_icl": 3,
        "icil": 8,
        "zero_shot": 0,
    }


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        (
            {"name": "magic"},
            SettingsError,
            "urial, urial_no_refusal, vanilla_icl, retrieval_icl, icil, zero_shot, file",
        ),
        ({"name": "urial", "examples": 2}, SettingsError, "0, 1, 3, 8"),
        ({"name": "urial", "examples": -1}, SettingsError, "0, 1, 3, 8"),
        ({"name": "zero_shot", "examples": 3}, SettingsError, "leave it out"),
        ({"name": "urial", "prompt_file": "x.txt"}, SettingsError, "leave one of them out"),
        ({"name": "file"}, PromptError, "--prompt-file"),
    ],
)
def test_a_wrong_choice_is_one_sentence(arguments: dict, error: type[UserMistake], says: str) -> None:
    with pytest.raises(error, match=re.escape(says)) as caught:
        method(**arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b" \n\t\n", "is empty", id="blank"),
        pytest.param(b"\x89PNG\r\n\x1a\n\x00\xff", "not UTF-8", id="picture"),
        pytest.param(b"GGUF\x00\x00# Query:\n", "zero bytes", id="zero bytes"),
        pytest.param("# Query:\n```".encode("utf-16"), "not UTF-8", id="UTF-16"),
        pytest.param(b"No headings here.\n", "no .# Query:", id="no headings"),
        pytest.param(b"# Query:\n```\n" + b"a" * 1_000_000, "larger than 1,000,000 bytes", id="too large"),
    ],
)
def test_a_wrong_prompt_file_is_one_sentence(content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_bytes(content)
    with pytest.raises(PromptError, match=says) as caught:
        method(prompt_file=tmp_path / "p.txt")
    assert "p.txt" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("path", ["missing.txt", ".", "", "a\0b", "new\nline", "/dev/zero"])
def test_a_path_that_is_no_file_is_one_sentence(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PromptError) as caught:
        method(prompt_file=path)
    assert "\n" not in str(caught.value) and "\0" not in str(caught.value)


def test_byte_order_mark_and_windows_line_ends_change_nothing(tmp_path: Path) -> None:
    text = "# Query:\n```\nHi\n```\n\n# Answer:\n```\nHello, 世界!\n```\n"
    (tmp_path / "plain.txt").write_bytes(text.encode())
    (tmp_path / "windows.txt").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    plain, windows = (method(prompt_file=tmp_path / name) for name in ("plain.txt", "windows.txt"))
    assert plain.prefix == windows.prefix == text

"""Queries and histories: what is accepted, and the one sentence for each wrong thing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from urial.errors import PromptError
from urial.prompts import QUERY_LIMIT, check_history, check_query, load_history, method
from urial.records import Message

USER, ASSISTANT = {"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Hello!"}


@pytest.mark.parametrize("query", ["a", "x" * QUERY_LIMIT, "```\n# Answer:", "为什么", "\u0000", "👩‍👩‍👧"])
def test_queries_that_are_accepted_are_kept_as_they_are(query: str) -> None:
    check_query(query)
    assert query in method("urial").render(query)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("", "empty"),
        (" \n\t\u3000", "empty"),
        ("x" * (QUERY_LIMIT + 1), "50,001 characters"),
        ("x" * 100_000, "100,000 characters"),
        ("caf\udce9", "broken character at position 4"),
    ],
)
def test_queries_that_are_refused(query: str, says: str) -> None:
    with pytest.raises(PromptError, match=says):
        check_query(query)
    with pytest.raises(PromptError, match=says):
        method("zero_shot").render(query)


def test_a_history_is_read(tmp_path: Path) -> None:
    (tmp_path / "h.json").write_text(json.dumps([USER, ASSISTANT, USER, {"role": "assistant", "content": ""}]))
    assert [message.role for message in load_history(tmp_path / "h.json")] == ["user", "assistant"] * 2
    (tmp_path / "none.json").write_text("[]")
    assert load_history(tmp_path / "none.json") == []


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param("", "is empty", id="empty file"),
        pytest.param("[{]", "is not JSON", id="broken"),
        pytest.param("[" * 100_000, "nested too deeply", id="deep"),
        pytest.param(json.dumps(USER), "no JSON list", id="one message"),
        pytest.param('"Hi?"', "no JSON list", id="text"),
        pytest.param(json.dumps([USER]), "ends with a user's message", id="no answer"),
        pytest.param(json.dumps([ASSISTANT, USER]), 'message 1 is from "assistant" where "user"', id="answer first"),
        pytest.param(json.dumps([USER, USER]), 'message 2 is from "user" where "assistant"', id="two in a row"),
        pytest.param(json.dumps([{"role": "system", "content": "x"}]), 'message 1: key "role"', id="system"),
        pytest.param(json.dumps([{"role": "user"}]), 'message 1: key "content"', id="no content"),
        pytest.param(json.dumps([USER, {"role": "assistant", "content": 3}]), 'message 2: key "content"', id="number"),
        pytest.param(json.dumps([{**USER, "name": "x"}]), 'message 1: key "name"', id="unknown key"),
        pytest.param(json.dumps(["Hi?"]), "message 1: Input should be", id="no object"),
        pytest.param(json.dumps([{"role": "user", "content": " "}, ASSISTANT]), "message 1 is empty", id="blank"),
        pytest.param('[{"role": "user", "content": "\\ud83d"}]', "message 1 holds a broken character", id="surrogate"),
    ],
)
def test_wrong_histories_are_one_sentence(content: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "h.json").write_text(content)
    with pytest.raises(PromptError) as caught:
        load_history(tmp_path / "h.json")
    assert says in str(caught.value) and "h.json" in str(caught.value) and "\n" not in str(caught.value)


def test_a_history_given_in_memory_is_checked_too() -> None:
    with pytest.raises(PromptError, match="ends with a user's message"):
        method("urial").render("Hi?", [Message(**USER)])
    check_history([Message(**USER), Message(**ASSISTANT)])

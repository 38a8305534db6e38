"""A guard's labels of one comparison, for a page: what it is shown, what comes back, and when it gives none."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.judge_server import Hang, JudgeServer, Status, Text
from tests.support.judging import QUICK
from tests.support.records_builder import build
from tests.support.ui_server import tiny_service
from urial.judge.guard_now import Guard
from urial.pairs import GuardSpec, ServerSpec
from urial.records import Message
from urial.ui.result_cache import pack
from urial.ui.server_functions import questions


def guard_of(url: str) -> Guard:
    return Guard(GuardSpec(server=ServerSpec(base_url=url, model="guard"), template="llama_guard_3"), QUICK)


def opinion(body: dict[str, Any]) -> Text:
    """An answer is unsafe, a question safe; the first word is told with its probability."""
    is_answer = body["messages"][-1]["role"] == "assistant"
    told = {"content": [{"token": "unsafe" if is_answer else "safe", "logprob": -0.5}]}
    return Text("unsafe\nS2" if is_answer else "safe", {"logprobs": told})


def test_question_and_both_answers_are_labelled_once() -> None:
    comparison = build(query="why?").model_copy(update={"history": [Message(role="user", content="before")]})
    with JudgeServer(raw=opinion) as server:
        guard = guard_of(server.url)
        found = guard.labels(comparison)
        assert guard.labels(comparison) == found and len(server.bodies) == 3
    assert found["guard"] == {"model": "guard", "host": server.url.split("/")[2], "template": "llama_guard_3"}
    assert found["prompt"]["label"] == "safe" and found["prompt"]["probability"] == pytest.approx(0.6065, abs=1e-4)
    assert found["base"]["codes"] == found["aligned"]["codes"] == [{"code": "S2", "name": "non-violent crimes"}]
    shown = sorted(([turn["content"] for turn in body["messages"]] for body in server.bodies), key=len)
    assert shown[0] == ["before", "why?"]
    assert {turns[-1] for turns in shown[1:]} == {comparison.base.text.strip(), comparison.aligned.text.strip()}


def test_a_side_that_wrote_nothing_and_a_reply_without_a_label_have_none() -> None:
    comparison = build()
    silent = comparison.model_copy(update={"base": comparison.base.model_copy(update={"text": "\n"})})
    with JudgeServer(raw=lambda _: Text("I cannot say.")) as server:
        found = guard_of(server.url).labels(silent)
    assert "base" not in found and found["prompt"] is None and found["aligned"] is None


@pytest.mark.parametrize("behaviour", [Status(500), Status(401), Hang()])
def test_a_guard_that_fails_is_one_sentence_and_is_asked_again_later(behaviour: Any) -> None:
    with JudgeServer(raw=opinion, behaviours=[behaviour] * 9) as server:
        guard = guard_of(server.url)
        found = guard.labels(build())
        assert found["error"] == f"No safety label: the guard at {found['guard']['host']} gave none."
        server.behaviours.clear()
        assert guard.labels(build())["aligned"]["label"] == "unsafe"


def test_the_page_asks_for_labels_of_a_result_and_without_a_guard_there_are_none() -> None:
    service = tiny_service()
    (ask,) = [question for question in questions(service) if question.__name__ == "labels"]
    service.results.put("x", pack(build()))
    assert ask({"id": "x"}) == {"none": True}
    with JudgeServer(raw=opinion) as server:
        service.guard = guard_of(server.url)
        assert ask({"id": "x"})["aligned"]["label"] == "unsafe"
        assert "no longer kept" in ask({"id": "y"})["error"]

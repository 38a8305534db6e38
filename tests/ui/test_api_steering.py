"""The endpoints /dial and /nudge as a program meets them, and as tools."""

from __future__ import annotations

import re
from collections.abc import Iterator

import jsonschema
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from tests.support import ui_server
from tests.support.ui_server import GRADIO_WARNS
from urial.records import Comparison
from urial.steering_records import DialRecord, NudgeRecord
from urial.ui.api_steering import dial_endpoint, nudge_endpoint

pytestmark = GRADIO_WARNS
SHORT = {"max_new_tokens": 12, "examples": 0}


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with ui_server.live(ui_server.tiny_service()) as demo:
        yield Client(demo.url, verbose=False, ssl_verify=False)


def compared(client: Client) -> Comparison:
    return Comparison.model_validate(client.predict("a question", **SHORT, api_name="/compare"))


def test_the_dials_ends_are_those_of_compare(client: Client) -> None:
    right = compared(client)
    found = client.predict("a question", at=[0, 0.5, 1], context="urial", **SHORT, api_name="/dial")
    jsonschema.validate(found, schema(client, "/dial"))
    record = DialRecord.model_validate(found)
    assert [position.token_ids for position in record.positions][::2] == [right.base.token_ids, right.aligned.token_ids]
    assert len(record.switch_points) == len(right.aligned.token_ids)


def schema(client: Client, name: str) -> dict:
    (returned,) = client.view_api(return_format="dict")["named_endpoints"][name]["returns"]
    return returned["type"]


@pytest.mark.parametrize(("name", "rule"), [("/dial", []), ("/nudge", ["rank>3"])])
def test_the_sibling_may_rewrite_the_question_first(client: Client, name: str, rule: list[str]) -> None:
    found = client.predict("why?", *rule, aligned_method="s2a", api_name=name, **SHORT)
    assert found["rewrite"]["method"] == "s2a" and "asked as it stands" in found["rewrite"]["fallback"]
    assert "rewrite" not in client.predict("why?", *rule, api_name=name, **SHORT)


def test_a_client_that_streams_sees_the_dial_grow(client: Client) -> None:
    *grown, last = client.submit("a question", **{**SHORT, "max_new_tokens": 150}, api_name="/dial")
    whole = DialRecord.model_validate(last)
    assert [position.at for position in whole.positions] == [0, 0.25, 0.5, 0.75, 1] and grown
    for each in map(DialRecord.model_validate, grown):
        for partial, full in zip(each.positions, whole.positions, strict=True):
            assert full.token_ids[: len(partial.token_ids)] == partial.token_ids
            assert full.text.startswith(partial.text)


def test_nudging_gives_its_record(client: Client) -> None:
    right = compared(client)
    found = client.predict("a question", "rank>1", **SHORT, api_name="/nudge")
    jsonschema.validate(found, schema(client, "/nudge"))
    record = NudgeRecord.model_validate(found)
    assert record.token_ids == right.aligned.token_ids
    assert record.rule == "rank>1" and record.mean_log_probability < 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"query": "q", "rule": "rank=3", "api_name": "/nudge"}, "write rank>R"),
        ({"query": " ", "rule": "rank>3", "api_name": "/nudge"}, "The query is empty"),
        ({"query": "q", "at": [0, 3], "api_name": "/dial"}, "choose numbers from 0"),
        ({"query": "q", "at": ["half"], "api_name": "/dial"}, "list of numbers"),
        ({"query": "q", "context": "all", "api_name": "/dial"}, "choose zero_shot or urial"),
        ({"query": "q", "kind": "adapter", "api_name": "/dial"}, "nothing to scale"),
    ],
)
def test_a_mistake_is_one_sentence(client: Client, arguments: dict, words: str) -> None:
    with pytest.raises(AppError, match=re.escape(words)) as caught:
        client.predict(**arguments)
    assert "Traceback" not in str(caught.value)


def test_the_words_of_each_endpoint_read_as_sentences() -> None:
    """As in `test_ui_api.py`."""
    from gradio.utils import get_function_description

    service = ui_server.tiny_service()
    for make in (dial_endpoint, nudge_endpoint):
        description, parameters, returns = get_function_description(make(service, "tiny"))
        assert description and returns and re.search(r"[,;:.] *, ", ", ".join(returns)) is None
        assert all(words for name, words in parameters.items() if name != "request")

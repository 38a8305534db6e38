"""The named endpoints as a program meets them: gradio_client against a live page, and the list of MCP tools."""

from __future__ import annotations

from collections.abc import Iterator

import anyio
import httpx
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from tests import ui_server
from tests.ui_server import GRADIO_WARNS
from urial.records import Comparison

pytestmark = GRADIO_WARNS
SHORT = {"method": "zero_shot", "max_new_tokens": 12}


@pytest.fixture(scope="module")
def demo() -> Iterator[ui_server.Live]:
    with ui_server.live(ui_server.tiny_service()) as found:
        yield found


@pytest.fixture(scope="module")
def client(demo: ui_server.Live) -> Client:
    return Client(demo.url, verbose=False)


def test_only_the_documented_endpoints_are_listed(client: Client) -> None:
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    assert set(endpoints) == {"/compare", "/score", "/pairs"}
    names = [parameter["parameter_name"] for parameter in endpoints["/compare"]["parameters"]]
    assert names[0] == "query" and "request" not in names
    assert all(endpoint["description"] for endpoint in endpoints.values())


def test_compare_gives_a_record(client: Client) -> None:
    record = Comparison.model_validate(client.predict("a question", **SHORT, api_name="/compare"))
    assert record.query == "a question"
    assert len(record.shift["zero_shot"].tokens) == len(record.aligned.token_ids) > 0
    again = Comparison.model_validate(client.predict("a question", **SHORT, api_name="/compare"))
    assert again == record  # from the cache: even the seconds are the same


def test_score_measures_a_given_answer(client: Client) -> None:
    record = Comparison.model_validate(
        client.predict("a question", "the answer is here", method="zero_shot", api_name="/score")
    )
    assert record.aligned.text == "the answer is here"
    assert record.base.text == ""
    assert "".join(row.text for row in record.shift["zero_shot"].tokens) == "the answer is here"


def test_pairs_are_listed(client: Client) -> None:
    assert client.predict(api_name="/pairs")[0]["name"] == "tiny"


@pytest.mark.parametrize(
    ("change", "words"),
    [({"query": ""}, "empty"), ({"pair": "nobody"}, "no pair"), ({"max_new_tokens": 10**6}, "max new tokens")],
)
def test_a_mistake_comes_back_as_one_sentence(client: Client, change: dict, words: str) -> None:
    with pytest.raises(AppError, match=words):
        client.predict(**{"query": "a question", **SHORT, **change}, api_name="/compare")


def test_the_page_is_quiet_about_its_visitors(demo: ui_server.Live) -> None:
    config = httpx.get(f"{demo.url}/config").json()
    assert config["analytics_enabled"] is False
    assert httpx.get(f"{demo.url}/gradio_api/runs").status_code == 404


def test_streams_are_no_endpoints_of_the_api(client: Client) -> None:
    for name in ("/run", "/again_base", "/branch"):
        with pytest.raises(ValueError, match="Cannot find a function"):
            client.predict("x", api_name=name)


def test_the_endpoints_are_mcp_tools(demo: ui_server.Live) -> None:
    mcp = pytest.importorskip("mcp", reason="the package mcp is not installed")
    from mcp.client.streamable_http import streamable_http_client

    async def use() -> tuple[set[str], str]:
        async with (
            streamable_http_client(f"{demo.url}/gradio_api/mcp/") as (read, write, _),
            mcp.ClientSession(read, write) as session,
        ):
            await session.initialize()
            tools = {tool.name for tool in (await session.list_tools()).tools}
            pairs = await session.call_tool("pairs", {})
            return tools, pairs.content[0].text

    tools, pairs = anyio.run(use)
    assert {name.split("_")[-1] for name in tools} == {"compare", "score", "pairs"}
    assert "tiny" in pairs

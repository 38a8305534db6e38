"""The named endpoints as a program meets them: gradio_client and an MCP client against a live page."""

from __future__ import annotations

import ast
import itertools
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, get_args

import anyio
import httpx
import jsonschema
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

from tests.support import records_builder, ui_server
from tests.support.paths import ROOT
from tests.support.ui_server import GRADIO_WARNS
from urial.engines.pair import PairEngines
from urial.pairs import Pair
from urial.records import Comparison, TokenShift
from urial.ui import api, api_brief
from urial.ui.api_types import MethodName
from urial.ui.model_pool import Progress

pytestmark = GRADIO_WARNS
SHORT = {"method": "zero_shot", "max_new_tokens": 12}


@pytest.fixture(scope="module")
def demo() -> Iterator[ui_server.Live]:
    with ui_server.live(ui_server.tiny_service()) as found:
        yield found


@pytest.fixture(scope="module")
def client(demo: ui_server.Live) -> Client:
    """It speaks plain HTTP, so that no list of certificates need be read for each request."""
    return Client(demo.url, verbose=False, ssl_verify=False)


def test_only_the_documented_endpoints_are_listed(client: Client) -> None:
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    assert set(endpoints) == {"/compare", "/brief", "/score", "/pairs", "/dial", "/nudge"}
    names = [parameter["parameter_name"] for parameter in endpoints["/compare"]["parameters"]]
    assert names[0] == "query" and "request" not in names
    assert all(endpoint["description"] for endpoint in endpoints.values())


def test_system_2_attention_is_asked_for_by_name(client: Client) -> None:
    """Random models rewrite nothing, so the record says that the question was asked as it stands."""
    (found,) = [client.predict("why?", aligned_method="s2a", api_name="/compare", **SHORT)]
    assert found["rewrite"]["method"] == "s2a" and "asked as it stands" in found["rewrite"]["fallback"]
    assert "rewrite" not in client.predict("why?", api_name="/compare", **SHORT)
    with pytest.raises(AppError, match=r"aligned.method"):
        client.predict("why?", aligned_method="magic", api_name="/compare", **SHORT)


def described(endpoints: dict, name: str) -> dict:
    """The schema of what an endpoint gives."""
    (returned,) = endpoints[name]["returns"]
    return returned["type"]


def test_every_argument_has_a_type_and_every_result_its_keys(client: Client) -> None:
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    for endpoint in endpoints.values():
        for parameter in endpoint["parameters"]:
            assert parameter["type"], parameter["parameter_name"]
    record = json.loads(Comparison.model_validate(records_builder.build()).model_dump_json(by_alias=True))
    for name in ("/compare", "/score"):
        schema = described(endpoints, name)
        assert schema["required"] == list(record)
        rows = schema["properties"]["shift"]["additionalProperties"]["properties"]["tokens"]["items"]
        assert set(rows["required"]) == set(record["shift"]["zero_shot"]["tokens"][0])
        assert rows["properties"]["class"] == {"enum": ["unshifted", "marginal", "shifted", "unscored"]}
        assert schema["properties"]["aligned"]["properties"]["token_ids"]["items"] == {"type": "integer"}
    assert described(endpoints, "/pairs")["items"]["required"][0] == "name"
    assert described(endpoints, "/brief") == {"type": "string"}


def test_a_record_is_what_its_type_says(client: Client) -> None:
    schema = described(client.view_api(return_format="dict")["named_endpoints"], "/compare")
    record = client.predict("a question", **SHORT, api_name="/compare")
    jsonschema.validate(record, schema)
    assert list(record) == list(schema["properties"])
    record["shift"]["urial"]["tokens"][0]["class"] = "moved"
    with pytest.raises(jsonschema.ValidationError, match="moved"):
        jsonschema.validate(record, schema)


def test_earlier_turns_are_shown_to_both_models(client: Client) -> None:
    history = [{"role": "user", "content": "the first"}, {"role": "assistant", "content": "an answer"}]
    record = client.predict("a question", history=history, **SHORT, api_name="/compare")
    assert record["history"] == history
    assert "the first" in record["base"]["prompt"] and "an answer" in record["aligned"]["prompt"]


def test_in_brief_it_is_the_same_comparison(client: Client) -> None:
    record = Comparison.model_validate(client.predict("a question", **SHORT, api_name="/compare"))
    brief = json.loads(client.predict("a question", **SHORT, api_name="/brief"))
    assert (brief["base_answer"], brief["aligned_answer"]) == (record.base.text, record.aligned.text)
    for name, shift in record.shift.items():
        shown = brief["shift"][name]
        assert shown["summary"] == shift.summary.model_dump()
        shifted = [row for row in shift.tokens if row.base_rank > 3 and not row.is_special]
        assert shown["shifted_tokens"] == len(shifted) > 0
        assert [row["position"] for row in shown["most_shifted"]] == [row.position for row in shifted]
        assert shown["most_shifted"][0]["base_first_choice"] == shifted[0].base_top[0][1]


def test_in_brief_the_most_shifted_tokens_are_kept() -> None:
    rows = [row(position, kl=float(position)) for position in range(100)]
    shown = api_brief.context(records_builder.build().shift["zero_shot"].model_copy(update={"tokens": rows}))
    assert [each["position"] for each in shown["most_shifted"]] == list(range(100 - api_brief.MOST_TOKENS, 100))
    assert shown["shifted_tokens"] == 100


def row(position: int, kl: float) -> TokenShift:
    """A shifted token."""
    like = records_builder.build().shift["zero_shot"].tokens[0]
    changes = {"position": position, "kl": kl, "base_rank": 9, "shift_class": "shifted", "is_special": False}
    return like.model_copy(update=changes)


def test_compare_gives_a_record(client: Client) -> None:
    record = Comparison.model_validate(client.predict("a question", **SHORT, api_name="/compare"))
    assert record.query == "a question"
    assert len(record.shift["zero_shot"].tokens) == len(record.aligned.token_ids) > 0
    again = Comparison.model_validate(client.predict("a question", **SHORT, api_name="/compare"))
    assert again == record  # from the cache: even the seconds are the same


def test_compare_streams_records_that_grow(client: Client) -> None:
    job = client.submit("a long question", method="zero_shot", max_new_tokens=400, api_name="/compare")
    records = [Comparison.model_validate(value) for value in job]
    assert len(records) >= 3
    whole = records[-1]
    assert whole == Comparison.model_validate(job.result())
    for earlier, later in itertools.pairwise(records):
        for side in ("base", "aligned"):
            assert getattr(later, side).text.startswith(getattr(earlier, side).text)
        for name, shift in earlier.shift.items():
            assert shift.summary.tokens <= later.shift[name].summary.tokens
    assert whole.shift["zero_shot"].summary.tokens == len(whole.shift["zero_shot"].tokens) > 0
    assert not any(shift.tokens for record in records[:-1] for shift in record.shift.values())


def test_a_shift_that_fails_leaves_its_reason_in_the_record_and_in_brief() -> None:
    def wide(pair: Pair, progress: Progress) -> PairEngines:
        return replace(ui_server.long_pair(), vocabulary=10_000)  # more than their heads give

    with ui_server.live(ui_server.tiny_service(wide)) as found:
        here = Client(found.url, verbose=False, ssl_verify=False)
        record = Comparison.model_validate(here.predict("a question", **SHORT, api_name="/compare"))
        brief = json.loads(here.predict("a question", **SHORT, api_name="/brief"))
    assert record.shift["zero_shot"].tokens == [] and len(record.aligned.token_ids) == 12
    (problem,) = record.problems
    assert problem.name is None and "ValueError" in problem.message
    assert brief["problems"] == [problem.message]


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
    [
        ({"query": ""}, "empty"),
        ({"query": 7}, "query"),
        ({"pair": "nobody"}, "no pair"),
        ({"method": "magic"}, "no method"),
        ({"method": "file"}, "Prompt files"),
        ({"examples": 5}, "examples"),
        ({"max_new_tokens": 10**6}, "max new tokens"),
        ({"history": [{"role": "user", "content": "x"}]}, "ends with a user"),
        ({"history": "x"}, "history"),
    ],
)
def test_a_mistake_comes_back_as_one_sentence(client: Client, change: dict, words: str) -> None:
    with pytest.raises(AppError, match=words):
        client.predict(**{"query": "a question", **SHORT, **change}, api_name="/compare")


def test_an_answer_to_score_that_is_no_text_is_one_sentence(client: Client) -> None:
    with pytest.raises(AppError, match="must be a text"):
        client.predict("a question", 5, api_name="/score")


def test_the_page_is_quiet_about_its_visitors(demo: ui_server.Live) -> None:
    config = httpx.get(f"{demo.url}/config", verify=False).json()
    assert config["analytics_enabled"] is False
    assert httpx.get(f"{demo.url}/gradio_api/runs", verify=False).status_code == 404


def test_streams_are_no_endpoints_of_the_api(client: Client) -> None:
    for name in ("/run", "/again_base", "/branch"):
        with pytest.raises(ValueError, match="Cannot find a function"):
            client.predict("x", api_name=name)


def test_what_the_documentation_shows_runs(demo: ui_server.Live, capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert "http://127.0.0.1:7860" in code
    exec(compile(code.replace("http://127.0.0.1:7860", demo.url), "docs/api.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"[\d.]+ % of 1\d tokens shifted", lines[0])
    assert len(lines) > 2 and lines[-1].startswith("[('N")


# The same endpoints as tools of an MCP server


@dataclass(frozen=True, slots=True)
class Called:
    is_error: bool
    text: str


def with_mcp(demo: ui_server.Live, use: Callable[[Any], Awaitable[Any]]) -> Any:
    """What `use` gives, called with a session of the MCP client; all of it within a minute."""

    async def whole() -> Any:
        async with (
            httpx.AsyncClient(verify=False, timeout=60) as plain,
            streamable_http_client(f"{demo.url}/gradio_api/mcp/", http_client=plain) as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            with anyio.fail_after(60):
                return await use(session)

    return anyio.run(whole)


def call_tool(demo: ui_server.Live, name: str, **arguments: object) -> Called:
    async def use(session: ClientSession) -> Called:
        found = await session.call_tool(name, arguments)
        return Called(found.isError, "".join(part.text for part in found.content))

    return with_mcp(demo, use)


def test_the_endpoints_are_mcp_tools(demo: ui_server.Live) -> None:
    async def use(session: ClientSession) -> dict[str, Any]:
        return {tool.name: tool for tool in (await session.list_tools()).tools}

    tools = with_mcp(demo, use)
    assert set(tools) == {"compare", "brief", "score", "pairs", "dial", "nudge"}
    assert all(tool.description for tool in tools.values())
    arguments = tools["compare"].inputSchema["properties"]
    assert "request" not in arguments
    assert all(each.get("description") for each in arguments.values())
    assert arguments["method"]["enum"] == list(get_args(MethodName))


def test_a_tool_lists_the_pairs(demo: ui_server.Live) -> None:
    found = call_tool(demo, "pairs")
    assert not found.is_error
    assert "Tiny random models (tiny)" in found.text


def test_a_tool_compares_and_tells_it_as_json(demo: ui_server.Live, client: Client) -> None:
    found = call_tool(demo, "brief", query="a question for a tool", **SHORT)
    assert not found.is_error
    record = client.predict("a question for a tool", **SHORT, api_name="/compare")
    assert json.loads(found.text)["aligned_answer"] == record["aligned"]["text"]
    assert json.loads(found.text)["shift"]["urial"]["summary"]["tokens"] == len(record["aligned"]["token_ids"])


def test_a_tool_gives_the_whole_record_too(demo: ui_server.Live) -> None:
    found = call_tool(demo, "compare", query="a question", **SHORT)
    assert not found.is_error
    record = Comparison.model_validate(ast.literal_eval(found.text))  # Gradio writes a tool's result as Python does
    assert record.query == "a question" and record.shift


def test_a_tool_says_a_mistake_in_one_sentence(demo: ui_server.Live) -> None:
    found = call_tool(demo, "brief", query=" ")
    assert found.is_error
    assert "The query is empty; write a question or a task." in found.text and "Traceback" not in found.text


def test_the_words_of_each_endpoint_read_as_sentences() -> None:
    """Gradio joins the lines of "Returns" by commas: no line may end with a sign of its own but the last."""
    from gradio.utils import get_function_description

    service = ui_server.tiny_service()
    made = (api.compare_endpoint, api.brief_endpoint, api.score_endpoint)
    for endpoint in (*(make(service, "tiny") for make in made), api.pairs_endpoint(service)):
        _, parameters, returns = get_function_description(endpoint)
        assert returns and re.search(r"[,;:.] *, ", ", ".join(returns)) is None
        assert all(words for name, words in parameters.items() if name != "request")

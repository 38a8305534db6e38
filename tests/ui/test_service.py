"""Serving the page without a browser: streams, stops, the cache, what is asked beside a stream."""

from __future__ import annotations

import json
import shlex
import threading

import pytest

from tests.support import ui_server
from tests.support.runners import until
from urial import records
from urial.cli.commands import make_request
from urial.cli.main import make_parser
from urial.compare.run import compare, result
from urial.engines.local.engine import PREPARING, LocalEngine
from urial.errors import WeightsMissing
from urial.render.command_line import command
from urial.ui import server_functions
from urial.ui.asking import SAMPLED_TEMPERATURE
from urial.ui.result_cache import Results, pack
from urial.ui.runs import Runs
from urial.ui.service import Service
from urial.ui.shared_runs import NOT_BEGUN

ASK = {"query": "the question", "pair": "tiny", "method": "zero_shot", "max_new_tokens": 24}


def run_id(letter: str) -> str:
    return letter * 32


def steps(batches) -> list[tuple[str, object]]:
    return [tuple(step) for text in batches for step in json.loads(text)["do"]]


def named(found: list[tuple[str, object]], name: str) -> list:
    return [argument for step, argument in found if step == name]


@pytest.fixture
def service() -> Service:
    return ui_server.tiny_service()


def asked(service: Service, name: str):
    return next(question for question in server_functions.questions(service) if question.__name__ == name)


def test_a_comparison_streams_suffixes_that_join_to_the_record(service: Service) -> None:
    batches = list(service.compare(run_id("a"), ASK, "visitor"))
    assert [json.loads(text)["seq"] for text in batches] == list(range(len(batches)))
    found = steps(batches)
    record = service.results.get(run_id("a")).comparison()
    deltas = named(found, "append")
    assert "".join(delta["base"]["text"] for delta in deltas if "base" in delta) == record.base.text
    aligned = [piece for delta in deltas for piece in delta.get("aligned", [])]
    assert [token for token, _ in aligned] == record.aligned.token_ids
    assert "".join(text for _, text in aligned) == record.aligned.text
    for name in ("zero_shot", "urial"):
        rows = [delta["shift"][name] for delta in deltas if name in delta.get("shift", {})]
        assert sum(len(each["token"]) for each in rows) == len(record.shift[name].tokens)
        assert named(found, "done")[0]["shift"][name]["rows"] == len(record.shift[name].tokens)


def test_no_batch_repeats_what_was_sent(service: Service) -> None:
    batches = list(service.compare(run_id("a"), {**ASK, "max_new_tokens": 200}, "visitor"))
    record = service.results.get(run_id("a"))
    assert sum(map(len, batches)) < 2 * len(record.json_text())
    assert all("<" not in text for text in batches)


def test_a_question_that_waits_for_a_first_preparation_says_so(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalEngine, "preparing", PREPARING)
    said = [argument["message"] for argument in named(steps(service.compare(run_id("a"), ASK, "visitor")), "say")]
    assert said[-1] == PREPARING
    monkeypatch.undo()
    said = named(steps(service.compare(run_id("b"), {**ASK, "query": "another"}, "visitor")), "say")
    assert said == [{"message": "Reading the prompt", "fraction": None}]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"query": ""}, "empty"),
        ({"query": "x" * 100_000}, "characters"),
        ({"pair": "nobody"}, "no pair"),
        ({"method": "magic"}, "no method"),
        ({"method": "file"}, "command line"),
        ({"examples": 5, "method": "urial"}, "5 examples"),
        ({"temperature": -1}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_p": 0}, "top p"),
        ({"max_new_tokens": 10**6}, "max new tokens"),
        ({"seed": -1}, "seed"),
        ({"history": [{"role": "assistant", "content": "hi"}]}, "history"),
        ({"history": "nonsense"}, "history"),
        ({"surprise": 1}, "surprise"),
        ({"query": "\ud800"}, "broken character"),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_nothing_behind(service: Service, change: dict, words: str) -> None:
    found = steps(service.compare(run_id("a"), {**ASK, **change}, "visitor"))
    assert [name for name, _ in found if name != "say"] == ["refuse"]
    message = named(found, "refuse")[0]["message"]
    assert words in message.lower()
    assert "\n" not in message and message.endswith(".")
    assert service.runs.running() == 0


@pytest.mark.parametrize("broken", ["", "short", "../../../../etc/passwd/x", "a" * 65, "<script>alert(1)</script>"])
def test_a_broken_name_of_a_run_is_refused(service: Service, broken: str) -> None:
    assert [name for name, _ in steps(service.compare(broken, ASK, "visitor"))] == ["refuse"]
    assert "error" in asked(service, "stop")({"id": broken, "side": "both"})


def test_stopping_one_side_lets_the_other_go_on(service: Service) -> None:
    stream = service.compare(run_id("a"), {**ASK, "max_new_tokens": 120}, "visitor")
    seen = []
    for text in stream:
        seen.append(text)
        if named(steps([text]), "append"):
            assert asked(service, "stop")({"id": run_id("a"), "side": "base"}) == {}
    record = service.results.get(run_id("a")).comparison()
    assert record.base.stop_reason == "cancelled"
    assert record.aligned.stop_reason in ("length", "stop")
    assert len(record.base.token_ids) < len(record.aligned.token_ids)


def test_a_run_stopped_while_it_waits_never_begins(service: Service) -> None:
    asked(service, "stop")({"id": run_id("a"), "side": "both"})
    assert named(steps(service.compare(run_id("a"), ASK, "visitor")), "refuse") == [{"message": NOT_BEGUN}]
    assert service.results.get(run_id("a")) is None and service.runs.running() == 0


def test_a_visitor_who_leaves_frees_everything(service: Service) -> None:
    stream = service.compare(run_id("a"), {**ASK, "max_new_tokens": 200}, "visitor")
    while not named(steps([next(stream)]), "append"):
        pass
    assert service.runs.running() == 1
    service.runs.leave("visitor")
    rest = steps(stream)
    assert named(rest, "done")[0]["base"]["stop_reason"] == "cancelled"
    assert service.runs.running() == 0


def test_a_closed_stream_frees_everything() -> None:
    engines = ui_server.new_long_pair()  # its own: beginnings that other tests asked for stay in the shared one
    service = ui_server.tiny_service(lambda *_: engines)
    stream = service.compare(run_id("a"), {**ASK, "max_new_tokens": 200}, "visitor")
    while not named(steps([next(stream)]), "append"):
        pass
    stream.close()
    assert service.runs.running() == 0
    # freed by the scheduler's thread, within its step; at most the method's constant beginning stays
    until(lambda: engines.base.held().sequences == 0 and engines.base.held().prefixes <= 1)
    list(service.compare(run_id("b"), ASK, "other"))
    assert service.results.get(run_id("b")) is not None


def test_the_same_question_comes_from_the_cache_and_another_does_not(service: Service) -> None:
    list(service.compare(run_id("a"), ASK, "visitor"))
    look_up = asked(service, "look_up")
    hit = look_up({"id": run_id("b"), "ask": ASK})
    record = service.results.get(run_id("a")).comparison()
    assert hit["hit"]["aligned"]["text"] == record.aligned.text
    assert hit["computed_at"].endswith("+00:00")
    changes = [
        {"query": "another question"},
        {"method": "urial", "examples": 0},
        {"seed": 1},
        {"temperature": 0.5},
        {"max_new_tokens": 25},
        {"base_penalty": 1.2},
        {"history": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
    ]
    assert all(look_up({"id": run_id("c"), "ask": {**ASK, **change}}) == {"miss": True} for change in changes)


def test_a_stopped_answer_is_not_offered_again(service: Service) -> None:
    stream = service.compare(run_id("a"), {**ASK, "max_new_tokens": 200}, "visitor")
    while not named(steps([next(stream)]), "append"):
        pass
    asked(service, "stop")({"id": run_id("a"), "side": "both"})
    list(stream)
    assert asked(service, "look_up")({"id": run_id("b"), "ask": {**ASK, "max_new_tokens": 200}}) == {"miss": True}


@pytest.mark.parametrize("side", ["base", "aligned"])
def test_again_changes_one_side_only(service: Service, side: str) -> None:
    list(service.compare(run_id("a"), ASK, "visitor"))
    before = service.results.get(run_id("a")).comparison()
    found = steps(service.again(run_id("b"), ASK, run_id("a"), side, 1, "visitor"))
    after = service.results.get(run_id("b")).comparison()
    other = "aligned" if side == "base" else "base"
    assert getattr(after, other) == getattr(before, other)
    assert getattr(after, side).token_ids != getattr(before, side).token_ids
    assert named(found, "restart")[0]["name"] == side
    if side == "base":
        assert after.shift == before.shift
    else:
        assert [row.id for row in after.shift["zero_shot"].tokens] == after.aligned.token_ids


@pytest.mark.parametrize("side", ["base", "aligned"])
def test_another_draw_is_told_and_its_command_gives_both_answers_again(service: Service, side: str) -> None:
    """A greedy question, one side drawn again: nothing claims of one side what is true of the other."""
    list(service.compare(run_id("a"), ASK, "visitor"))
    found = steps(service.again(run_id("b"), ASK, run_id("a"), side, 1, "visitor"))
    own = named(found, "restart")[0]["settings"]
    assert (own["temperature"], own["seed"]) == (SAMPLED_TEMPERATURE, 1)
    assert named(found, "done")[0][side]["settings"] == own
    record = service.results.get(run_id("b")).comparison()
    assert record.settings.temperature == 0 and record.settings.seed == 0
    options = make_parser().parse_args(shlex.split(command(record))[3:])
    with service.models.lend("tiny") as engines:
        once_more = result(compare(engines, make_request(options)))
    for name in ("base", "aligned"):
        assert once_more.side(name).token_ids == record.side(name).token_ids
        assert once_more.settings_of(name) == record.settings_of(name)


def test_a_draw_that_was_stopped_is_drawn_again_as_it_was(service: Service) -> None:
    ask = {**ASK, "max_new_tokens": 200}
    list(service.compare(run_id("a"), ask, "visitor"))
    stream = service.again(run_id("b"), ask, run_id("a"), "base", 3, "visitor")
    while not named(steps([next(stream)]), "append"):
        pass
    asked(service, "stop")({"id": run_id("b"), "side": "both"})
    list(stream)
    stopped = service.results.get(run_id("b")).comparison()
    assert stopped.base.stop_reason == "cancelled" and stopped.base.settings.seed == 3
    list(service.again(run_id("c"), ask, run_id("b"), "base", 4, "visitor"))
    whole = service.results.get(run_id("c")).comparison()
    assert whole.base.settings == stopped.base.settings and whole.base.stop_reason == "length"


def test_again_needs_a_kept_comparison(service: Service) -> None:
    found = steps(service.again(run_id("b"), ASK, run_id("a"), "base", 1, "visitor"))
    assert "no longer kept" in named(found, "refuse")[0]["message"]


def test_the_base_continues_from_given_tokens(service: Service) -> None:
    list(service.compare(run_id("a"), ASK, "visitor"))
    ids = service.results.get(run_id("a")).comparison().aligned.token_ids[:4]
    found = steps(service.go_on(run_id("b"), ASK, ids, "visitor"))
    assert named(found, "branchDone")[0]["tokens"] > 0
    assert {name for name, _ in found} <= {"say", "branchAppend", "branchDone"}


@pytest.mark.parametrize("ids", [None, "12", [1.5], [True], [-1], [10**9], [0] * 5000, {"a": 1}])
def test_wrong_tokens_to_continue_from_are_refused(service: Service, ids: object) -> None:
    found = steps(service.go_on(run_id("b"), ASK, ids, "visitor"))
    assert named(found, "refuse")[0]["message"].endswith(".")


def test_lost_batches_can_be_fetched_again(service: Service) -> None:
    sent = list(service.compare(run_id("a"), ASK, "visitor"))
    since = asked(service, "since")
    assert since({"id": run_id("a"), "seq": 3}) == {"batches": sent[3:], "known": True, "running": False}
    assert since({"id": run_id("z"), "seq": 0}) == {"batches": [], "known": False, "running": False}


def test_files_to_keep_and_a_saved_file_opened_again(service: Service) -> None:
    list(service.compare(run_id("a"), {**ASK, "query": "=cmd|' /C calc'!A0 <b>"}, "visitor"))
    export = asked(service, "export")
    files = {kind: export({"id": run_id("a"), "kind": kind}) for kind in ("json", "html", "csv")}
    assert {file["name"] for file in files.values()} == {f"urial-cmd-c-calc-a0-b.{kind}" for kind in files}
    assert "<b>" not in files["html"]["text"].replace("<b>", "", 0).split("<body", 1)[1].split("<script", 1)[0]
    opened = asked(service, "open_record")({"text": files["json"]["text"], "name": "x.json"})
    assert service.results.get(opened["id"]).comparison() == service.results.get(run_id("a")).comparison()
    assert "error" in export({"id": run_id("a"), "kind": "exe"})
    assert "error" in export({"id": run_id("z"), "kind": "json"})


NOT_RECORDS = ["", "{}", "[1]", "not json", '{"schema": "urial.comparison/2"}', "[" * 100_000, None, 7]


@pytest.mark.parametrize("text", NOT_RECORDS)
def test_a_wrong_file_is_one_sentence(service: Service, text: object) -> None:
    answer = asked(service, "open_record")({"text": text, "name": "<x>.json"})
    assert answer["error"].startswith("<x>.json") and answer["error"].endswith(".")


def test_a_question_waits_in_sight_while_weights_load() -> None:
    gate = threading.Event()

    def slow(pair, progress):
        progress("Converting the weights", 0.25)
        gate.wait(20)
        return ui_server.long_pair()

    service = ui_server.tiny_service(slow)
    stream = service.compare(run_id("a"), ASK, "visitor")
    said = named(steps([next(stream)]), "say")[0]
    assert said == {"message": "Converting the weights", "fraction": 0.25}
    assert asked(service, "status")({"pair": "tiny"})["state"] == "loading"
    gate.set()
    assert named(steps(stream), "done")
    assert asked(service, "status")({"pair": "tiny"})["state"] == "ready"


def test_weights_that_cannot_be_loaded_are_one_sentence() -> None:
    def missing(pair, progress):
        raise WeightsMissing("There is no folder nowhere; name another in models.yaml.")

    service = ui_server.tiny_service(missing)
    found = steps(service.compare(run_id("a"), ASK, "visitor"))
    assert named(found, "refuse")[0]["message"] == (
        "“Tiny random models (tiny)” could not be loaded just now; choose another pair."
    )
    assert asked(service, "status")({"pair": "tiny"})["state"] == "failed"


def test_a_question_can_be_stopped_while_weights_load() -> None:
    gate = threading.Event()
    service = ui_server.tiny_service(lambda pair, progress: gate.wait(20) and ui_server.long_pair())
    stream = service.compare(run_id("a"), ASK, "visitor")
    next(stream)
    asked(service, "stop")({"id": run_id("a"), "side": "both"})
    assert named(steps(stream), "refuse")
    gate.set()


def test_results_are_bounded_by_bytes_and_keep_the_newest(service: Service) -> None:
    list(service.compare(run_id("a"), ASK, "visitor"))
    result = pack(service.results.get(run_id("a")).comparison())
    kept = Results(limit_bytes=3 * len(result.packed))
    for letter in "abcde":
        kept.put(letter, result)
        kept.get("a")
    assert kept.get("b") is None and kept.get("a") is not None and len(kept) == 3
    assert records.from_json(kept.get("e").json_text()) == result.comparison()


def test_runs_are_bounded_and_running_ones_stay() -> None:
    runs = Runs(kept=2)
    running = runs.open(run_id("r"), "visitor")
    for letter in "abcd":
        runs.close(runs.open(run_id(letter), "visitor"))
    assert len(runs) == 3
    assert runs.state(running.id) == {"known": True, "running": True}
    assert runs.state(run_id("a"))["known"] is False

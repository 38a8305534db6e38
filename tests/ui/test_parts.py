"""The parts of the page that need no server: batches, links, the form's words, the room of models, file names."""

from __future__ import annotations

import json
import multiprocessing
import pickle
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

import gradio as gr
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.support import tiny, ui_server
from urial.compare.events import AlignedToken, BaseToken, Done, Event, Failed, ShiftRows, Waiting
from urial.compare.request import Control, Request
from urial.compare.run import compare, result
from urial.errors import EngineError, PairsError, UrialError, UserMistake, WeightsMissing
from urial.pairs import Pair
from urial.prompts import METHODS, method
from urial.render.view import rows_payload
from urial.ui import page_steps, zero_gpu
from urial.ui.form import DEFAULT_METHOD, FIELDS, method_choices, pair_choices, settings_words
from urial.ui.links import read_link
from urial.ui.model_pool import ModelPool, Status
from urial.ui.server_functions import file_stem
from urial.ui.tasks import CompareTask, Task

METHOD_VALUES = [value for _, value in method_choices()]


def no_steps(event):
    raise AssertionError(event)


# Batches


@given(st.lists(st.tuples(st.sampled_from(["base", "aligned"]), st.text(max_size=5)), max_size=30), st.data())
def test_tokens_joined_in_batches_are_the_tokens_sent(tokens: list, data) -> None:
    events = [BaseToken(1, text) if side == "base" else AlignedToken(2, text) for side, text in tokens]
    cut = data.draw(st.integers(0, len(events)))
    steps = [*page_steps.steps_of(events[:cut], no_steps, ""), *page_steps.steps_of(events[cut:], no_steps, "")]
    base = [argument["base"] for _, argument in steps if "base" in argument]
    aligned = [piece for _, argument in steps for piece in argument.get("aligned", [])]
    assert "".join(each["text"] for each in base) == "".join(text for side, text in tokens if side == "base")
    assert sum(each["tokens"] for each in base) == sum(side == "base" for side, _ in tokens)
    assert aligned == [[2, text] for side, text in tokens if side == "aligned"]


def test_a_batch_holds_its_rows_once_for_each_context() -> None:
    found = result(compare(tiny.pair(), Request("why?", method("zero_shot"), max_new_tokens=4)))
    rows = found.shift["urial"].tokens
    events = [AlignedToken(row.id, row.text) for row in rows[:2]]
    events += [ShiftRows("urial", rows[:1]), ShiftRows("zero_shot", rows[:1]), BaseToken(1, "x")]
    events += [AlignedToken(rows[2].id, rows[2].text), ShiftRows("urial", rows[1:3])]
    ((name, delta),) = page_steps.steps_of(events, no_steps, "")
    assert name == "append" and delta["base"] == {"text": "x", "tokens": 1}
    assert delta["aligned"] == [[row.id, row.text] for row in rows[:3]]
    assert delta["shift"] == {"urial": rows_payload(rows[:3]), "zero_shot": rows_payload(rows[:1])}


def test_batches_are_throttled_and_ends_are_not_held_back() -> None:
    clock = iter(range(1000))
    events = [BaseToken(index, "x") for index in range(100)]
    gathered = list(page_steps.gather(events, now=lambda: next(clock) * page_steps.SECONDS_BETWEEN / 10))
    assert [event for some in gathered for event in some] == events
    assert len(gathered) < 30
    with_end = [*events[:3], Failed("base", "no"), *events[3:5]]
    last = [some[-1] for some in page_steps.gather(with_end, now=lambda: 0.0)]
    assert Failed("base", "no") in last


def test_a_place_in_line_is_told_at_once() -> None:
    events = [BaseToken(1, "x"), Waiting("aligned", 3), Waiting("aligned", 0)]
    gathered = list(page_steps.gather(events, now=lambda: 0.0))
    assert [some[-1] for some in gathered] == events
    steps = page_steps.steps_of(events, no_steps, "")
    assert steps[1:] == [["line", {"name": "aligned", "position": 3}], ["line", {"name": "aligned", "position": 0}]]


@given(st.text())
def test_a_batch_is_json_without_markup(text: str) -> None:
    sent = page_steps.batch("r", 0, [["say", {"message": text}]])
    assert not set("<>&") & set(sent)
    assert json.loads(sent)["do"][0][1]["message"] == text


# Links


def test_a_link_gives_back_the_values_that_the_form_takes() -> None:
    values = {"query": "Why?", "pair": "tiny", "method": "urial/8", "temperature": 0.7, "seed": 3, "max_new_tokens": 64}
    linked = read_link({name: str(value) for name, value in values.items()}, ["tiny"], METHOD_VALUES)
    assert linked.values == values and linked.ignored == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pair", "nobody"),
        ("method", "file"),
        ("method", "urial/5"),
        ("temperature", "hot"),
        ("temperature", "nan"),
        ("temperature", "-1"),
        ("max_new_tokens", "100000"),
        ("max_new_tokens", "1.5"),
        ("seed", "-1"),
        ("seed", "9" * 5000),
        ("top_p", "inf"),
    ],
)
def test_a_wrong_value_of_a_link_is_named_and_left_out(name: str, value: str) -> None:
    linked = read_link({name: value, "query": "still here"}, ["tiny"], METHOD_VALUES)
    assert linked.values == {"query": "still here"}
    assert linked.ignored == (name,)


@given(st.dictionaries(st.sampled_from([*FIELDS, "other", "__theme"]), st.text(max_size=40)))
def test_no_link_raises(parameters: dict[str, str]) -> None:
    linked = read_link(parameters, ["tiny"], METHOD_VALUES)
    assert set(linked.values) <= set(FIELDS)


# The form


def test_every_method_of_the_page_exists() -> None:
    assert DEFAULT_METHOD in METHOD_VALUES
    for value in METHOD_VALUES:
        name, _, count = value.partition("/")
        assert method(name, int(count) if count else None).name == name
    assert {value.split("/")[0] for value in METHOD_VALUES} == set(METHODS) - {"file"}


def test_the_settings_line_says_what_counts() -> None:
    assert settings_words(0, 256) == "Settings: greedy, up to 256 tokens"
    assert settings_words(0.7, 64) == "Settings: temperature 0.7, up to 64 tokens"


@given(st.text())
def test_file_names_hold_only_plain_characters(query: str) -> None:
    stem = file_stem(query)
    assert stem.startswith("urial-") and len(stem) < 60
    assert all(char.isascii() and (char.isalnum() or char == "-") for char in stem)


# The room of models


def room_of(*names: str, open_pair=None, **options) -> ModelPool:
    return ModelPool({name: ui_server.tiny_pair(name) for name in names}, open_pair or ui_server.open_tiny, **options)


def test_a_pair_is_loaded_once_however_many_ask() -> None:
    opened = []

    def open_pair(pair, progress):
        opened.append(pair.name)
        return ui_server.long_pair()

    room = room_of("a", open_pair=open_pair)
    threads = [threading.Thread(target=room.wait, args=("a", 20)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert opened == ["a"]


def test_another_pair_takes_the_place_of_one_that_nobody_uses() -> None:
    room = room_of("a", "b")
    assert room.wait("a", 20)
    with room.lend("a") as lent:
        assert lent is not None
        assert not room.wait("b", 0.3)
        assert room.status("b").state == "loading"
        assert room.status("b").message == "Waiting until the pair in use is free"
    assert room.wait("b", 20)
    assert room.status("a").state == "absent"
    with room.lend("a") as gone:
        assert gone is None


def test_a_failure_is_said_to_all_and_tried_again_later() -> None:
    fails = [EngineError("The first try failed; wait a moment.")]

    def open_pair(pair, progress):
        if fails:
            raise fails.pop()
        return ui_server.long_pair()

    room = room_of("a", open_pair=open_pair)
    for _ in range(2):
        with pytest.raises(PairsError, match="could not be loaded just now; choose another pair"):
            room.wait("a", 20)
    with pytest.raises(EngineError, match="first try"):
        room.load("a")  # who starts this machine reads all of it
    room.retry_seconds = 0
    assert room.wait("a", 20)


@pytest.mark.parametrize("kind", [RuntimeError, KeyError, TypeError])
def test_an_unforeseen_failure_is_one_sentence_without_its_inside(kind: type[Exception]) -> None:
    def open_pair(pair, progress):
        raise kind("CUDA out of memory at 0x7f\nsecret")

    room = room_of("a", open_pair=open_pair)
    with pytest.raises(PairsError, match="choose another pair") as told:
        room.wait("a", 20)
    with pytest.raises(UrialError, match=kind.__name__) as logged:
        room.load("a")
    assert "secret" not in str(told.value) + str(logged.value)


def test_a_pair_that_has_its_place_no_longer_says_that_it_waits_for_one() -> None:
    """Where the opener itself says nothing, as one that finds everything in its cache."""
    opens, gate = threading.Event(), threading.Event()

    def open_pair(pair, progress):
        if pair.name == "b":
            opens.set()
            gate.wait(60)
        return ui_server.long_pair()

    room = room_of("a", "b", open_pair=open_pair)
    assert room.wait("a", 20)
    with room.lend("a"):
        assert not room.wait("b", 0.3)
        assert room.status("b").message.startswith("Waiting")
    assert opens.wait(20)
    assert room.status("b") == Status("loading", "Loading the models")
    gate.set()
    assert room.wait("b", 20)


def pairs_of(**sizes: float | None) -> dict[str, Pair]:
    pairs = {name: ui_server.tiny_pair(name) for name in sizes}
    return {name: pair.model_copy(update={"download_gb": sizes[name]}) for name, pair in pairs.items()}


def test_the_chooser_says_what_a_visitor_may_expect() -> None:
    pairs = pairs_of(huge=275.9, hub=2.0, here=None, unknown=None)
    absent = {"huge": "needs 608.5 GB of memory in float32, this machine has 8 GB; --dtype nf4 needs 88.5 GB"}
    room = ModelPool(pairs, ui_server.open_tiny, absent=absent, downloads=["hub", "unknown"])
    assert pair_choices(pairs, room.group) == [
        ("Tiny random models (here) · ready now", "here"),
        ("Tiny random models (hub) · needs a download of 2 GB", "hub"),
        ("Tiny random models (unknown) · needs a download", "unknown"),
        ("Tiny random models (huge) · not on this computer", "huge"),
    ]
    assert room.status("hub") == Status("absent", "downloaded with the first question")
    assert room.status("here") == Status("absent")
    assert room.wait("hub", 20) and room.group("hub") == "ready now"


@pytest.mark.parametrize("name", ["hub", "here", "huge"])
def test_a_visitor_is_told_nothing_that_only_the_host_can_do(name: str, caplog: pytest.LogCaptureFixture) -> None:
    def fails(pair, progress):
        raise WeightsMissing("org/x is not here and the hub cannot be reached; set HF_TOKEN or --dtype int8.")

    pairs = pairs_of(huge=275.9, hub=2.0, here=None)
    room = ModelPool(pairs, fails, absent={"huge": "needs 608.5 GB; --dtype nf4 needs 88.5 GB"}, downloads=["hub"])
    with pytest.raises(PairsError) as told:
        room.wait(name, 20)
    for words in (str(told.value), room.status(name).message):
        assert words.startswith(f"“Tiny random models ({name})”") and words.endswith("; choose another pair.")
        assert "HF_TOKEN" not in words and "--dtype" not in words
    if name != "huge":
        assert "the hub cannot be reached" in caplog.text and "Traceback" not in caplog.text


def test_a_pair_that_cannot_run_here_says_so() -> None:
    room = room_of("a", "b", absent={"b": "The pair b needs 80 GB of memory and this machine has 2."})
    assert room.status("b").message == "“Tiny random models (b)” is not on this computer; choose another pair."
    for ask in (room.start, lambda name: room.wait(name, 1)):
        with pytest.raises(PairsError, match="not on this computer"):
            ask("b")
    with pytest.raises(PairsError, match="no pair 'c'"):
        room.start("c")


# Another process: what ZeroGPU does to a call


def forked(sender: Connection, packed: bytes, folder: str) -> None:
    for event in zero_gpu.inherited_events("tiny", pickle.loads(packed), folder):
        sender.send_bytes(pickle.dumps(event))
    sender.close()


@contextmanager
def worker(task: Task, control: zero_gpu.FileControl) -> Iterator[Connection]:
    """A forked process that works on a task; what it sends comes out of the connection. It never outlives the block."""
    fork = multiprocessing.get_context("fork")
    receiver, sender = fork.Pipe(duplex=False)
    process = fork.Process(target=forked, args=(sender, pickle.dumps(task), control.folder), daemon=True)
    process.start()
    sender.close()
    try:
        yield receiver
    finally:
        process.kill()
        process.join(10)
        receiver.close()


def received(receiver: Connection, seconds: float = 60) -> Iterator[Event]:
    """The worker's events to the last; fails where one does not come in time, all together."""
    end = time.monotonic() + seconds
    while receiver.poll(max(0.0, end - time.monotonic())):
        try:
            yield pickle.loads(receiver.recv_bytes())
        except EOFError:
            return
    pytest.fail(f"the worker has not ended within {seconds} seconds")


@pytest.fixture
def parallel_parent() -> Iterator[None]:
    """A process whose OpenMP threads have run, as after loading weights: a fork inherits a state that waits on them."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    some = torch.rand(600, 600)
    assert (some @ some).sum() > 0
    assert torch.rand(2_000_000).exp().sum() > 0
    yield
    torch.set_num_threads(before)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_task_runs_in_a_forked_worker_and_is_stopped_from_here(
    monkeypatch: pytest.MonkeyPatch, parallel_parent: None
) -> None:
    monkeypatch.setitem(zero_gpu.INHERITED, "tiny", ui_server.new_long_pair())
    control = zero_gpu.FileControl()
    task = CompareTask(Request("a question", method("zero_shot"), max_new_tokens=400))
    events = []
    with worker(task, control) as receiver:
        for event in received(receiver):
            events.append(event)
            if isinstance(event, BaseToken):
                control.stop_all()
    assert isinstance(events[-1], Done)
    assert events[-1].comparison.base.stop_reason == "cancelled"
    assert len(events[-1].comparison.aligned.token_ids) < 400
    assert torch.get_num_threads() == 2  # only the worker keeps to one


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_mistake_found_in_the_worker_comes_back_as_its_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(zero_gpu.INHERITED, "tiny", ui_server.new_long_pair())
    task = CompareTask(Request("a question", method("zero_shot"), max_new_tokens=10**6))
    with worker(task, zero_gpu.FileControl()) as receiver, pytest.raises(UserMistake, match=r"1,?000,?000"):
        list(zero_gpu.unpacked(received(receiver)))


def test_on_the_decorated_path_the_answers_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    assert zero_gpu.has_spaces()
    monkeypatch.setitem(zero_gpu.INHERITED, "tiny", ui_server.long_pair())
    task = CompareTask(Request("a question", method("zero_shot"), max_new_tokens=16))
    here = list(zero_gpu.perform_here("tiny", ui_server.long_pair(), task, Control()))
    lent = list(zero_gpu.perform_on_lent_gpu()("tiny", ui_server.long_pair(), task, zero_gpu.FileControl()))
    assert here[-1].comparison.aligned.token_ids == lent[-1].comparison.aligned.token_ids


def test_what_zero_gpu_refuses_is_one_plain_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(pair: str, task: Task, folder: str) -> Iterator[Event]:
        raise gr.Error("No quota &amp; no GPU. <a href='https://x'>Sign\n up</a>", title="ZeroGPU quota exceeded")
        yield

    monkeypatch.setattr(zero_gpu, "on_gpu", lambda _: refusing)
    perform = zero_gpu.perform_on_lent_gpu()
    task = CompareTask(Request("a question", method("zero_shot")))
    with pytest.raises(EngineError, match=r"^ZeroGPU quota exceeded: No quota & no GPU\. Sign up$"):
        list(perform("tiny", ui_server.long_pair(), task, zero_gpu.FileControl()))


def test_zero_gpu_is_known_by_its_variable() -> None:
    assert not zero_gpu.is_zero_gpu({})
    assert not zero_gpu.is_zero_gpu({"SPACES_ZERO_GPU": "0"})
    assert zero_gpu.is_zero_gpu({"SPACES_ZERO_GPU": "true"}) == zero_gpu.has_spaces()

"""The scheduler's thread: who goes along in a step, who waits, who leaves, and what it costs the others."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch

from tests.support import tiny
from tests.support.runners import Gate, Watched, engine_over, until
from urial.engines.base import Piece, Sampling
from urial.engines.local.bounded_stream import BUFFERED
from urial.engines.local.engine import PREPARING, LocalEngine
from urial.engines.local.prefix_cache import PrefixCache
from urial.engines.local.runner import Limits
from urial.engines.local.scheduler import scheduler
from urial.engines.local.sequence import SharedModel
from urial.engines.local.torch_runner import SequentialRunner, TorchRunner

MODEL = "llama"
PROMPT = list(range(5, 25))


def watched(before=lambda batch: None) -> tuple[LocalEngine, Watched]:
    model = tiny.unchanged(MODEL, 0)
    runner = Watched(TorchRunner(model), before)
    return engine_over(runner, model, ends=frozenset()), runner


def beside_one_that_decodes(tokens: int, passes: int) -> tuple[Gate, LocalEngine, Watched, Iterator[Piece]]:
    """An answer of so many tokens is being written, and was let through so many passes."""
    gate = Gate()
    engine, runner = watched(gate)
    decoding = engine.generate(PROMPT[:4], Sampling(max_new_tokens=tokens))
    gate.arrived()
    gate.let_through(passes)
    return gate, engine, runner, decoding


def ids_of(pieces) -> list[int]:
    return [piece.id for piece in pieces]


def alone(prompt: list[int], tokens: int) -> list[int]:
    return ids_of(tiny.engine(MODEL).generate(prompt, Sampling(max_new_tokens=tokens)))


# Who goes along


def test_everyone_with_a_token_to_read_goes_along() -> None:
    gate = Gate()
    engine, runner = watched(gate)
    running = [engine.generate(PROMPT[: 3 + n], Sampling(max_new_tokens=5)) for n in range(3)]
    gate.let_through(100)
    answers = [ids_of(each) for each in running]
    assert [len(each) for each in answers] == [5] * 3
    assert runner.batches[:5] == [[3], [1, 2], [1, 1, 2], [1, 1, 1], [1, 1, 1]]


def test_short_prompts_share_a_pass_as_far_as_its_tokens_reach() -> None:
    gate, engine, runner, decoding = beside_one_that_decodes(20, passes=1)
    texts = [[5 + (7 * n + place) % 300 for place in range(40)] for n in range(2)]
    reading = [engine.generate(text, Sampling(max_new_tokens=2)) for text in texts]
    gate.let_through(100)
    answers = [ids_of(each) for each in reading]
    assert len(ids_of(decoding)) == 20 and answers == [alone(text, 2) for text in texts]
    assert any(len(batch) == 3 and sum(batch[1:]) == Limits().tokens for batch in runner.batches)


def test_a_long_prompt_is_read_in_parts_that_take_those_along_who_decode() -> None:
    gate, engine, runner, decoding = beside_one_that_decodes(60, passes=2)
    reading = engine.generate([5 + n % 300 for n in range(400)], Sampling(max_new_tokens=2))
    gate.let_through(200)
    assert len(ids_of(decoding)) == 60 and len(ids_of(reading)) == 2
    mixed = [batch for batch in runner.batches if len(batch) == 2]
    assert sum(batch[1] for batch in mixed) >= 400 - Limits().tokens
    assert all(batch[0] == 1 and batch[1] <= Limits().tokens for batch in mixed)


def test_more_than_a_step_takes_go_in_turns() -> None:
    engine, runner = watched()
    running = [engine.generate([5 + n, 6, 7], Sampling(max_new_tokens=6)) for n in range(20)]
    with ThreadPoolExecutor(20) as readers:
        found = list(readers.map(ids_of, running))
    assert found == [alone([5 + n, 6, 7], 6) for n in range(20)]
    assert max(map(len, runner.batches)) <= runner.limits.sequences


def test_a_beginning_that_another_prompt_is_reading_is_read_once() -> None:
    engine, runner = watched()
    prompt = [5 + n % 300 for n in range(150)]
    running = [engine.generate(prompt, Sampling(max_new_tokens=2)) for _ in range(8)]
    assert len({tuple(ids_of(each)) for each in running}) == 1
    assert sum(map(sum, runner.batches)) == 150 + 7 + 8  # the others read the last token, and each its first choice


def test_models_of_their_own_take_turns() -> None:
    engines = [tiny.engine(MODEL, seed) for seed in range(2)]
    running = [each.generate(PROMPT, Sampling(max_new_tokens=20)) for each in engines]
    assert [len(ids_of(each)) for each in running] == [20, 20]


# Who reads slowly, leaves or fails


def test_a_slow_reader_slows_nobody_and_its_buffer_is_bounded() -> None:
    engine, _ = watched()
    unread = engine.generate(PROMPT, Sampling(max_new_tokens=200))
    other = ids_of(engine.generate(PROMPT[:7], Sampling(max_new_tokens=100)))
    assert other == alone(PROMPT[:7], 100)
    answer = unread._answer  # how far the scheduler has come is nobody's business but this test's
    until(lambda: answer.pieces.is_full)
    scheduler().call(int)
    assert len(answer.tokens) == BUFFERED
    assert ids_of(unread) == alone(PROMPT, 200)


def test_who_leaves_frees_cache_and_place_within_a_step() -> None:
    gate = Gate()
    engine, runner = watched(gate)
    running = engine.generate(PROMPT, Sampling(max_new_tokens=50))
    gate.arrived()
    gate.let_through()
    next(running)
    gate.arrived()
    assert engine.held().sequences == 1 and engine.held().bytes > 0
    running.close()
    gate.let_through()
    until(lambda: engine.held().sequences == 0)
    assert len(runner.batches) == 2
    engine.forget(PROMPT)
    assert engine.held().bytes == 0


def test_who_leaves_while_a_long_prompt_is_read_ends_it_within_a_step() -> None:
    gate = Gate()
    engine, runner = watched(gate)
    running = engine.generate([5 + n % 300 for n in range(1000)], Sampling(max_new_tokens=5))
    gate.arrived()
    running.close()
    gate.let_through(20)
    until(lambda: engine.held().sequences == 0)
    assert runner.batches == [[Limits().tokens]] and engine.held().prefixes == 0


def test_an_answer_that_nobody_holds_any_more_ends() -> None:
    engine, _ = watched()
    running = engine.generate(PROMPT, Sampling(max_new_tokens=500))
    next(running)
    del running
    gc.collect()
    until(lambda: engine.held().sequences == 0)


def test_a_sequence_that_fails_is_told_alone_and_the_others_go_on() -> None:
    def broken(batch) -> None:
        if any(77 in chunk.tokens for chunk in batch):
            raise RuntimeError("no kernel for this")

    engine, _ = watched(broken)
    good, bad = (engine.generate(ids, Sampling(max_new_tokens=12)) for ids in (PROMPT, [5, 77, 6]))
    with pytest.raises(RuntimeError, match="no kernel"):
        next(bad)
    with pytest.raises(RuntimeError, match="no kernel"):
        next(bad)
    assert ids_of(good) == alone(PROMPT, 12)
    until(lambda: engine.held().sequences == 0)


def test_no_room_for_one_is_its_own_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, runner = watched()
    opened = runner.runner.open

    def full(capacity, prefix):
        if capacity > 100:
            raise MemoryError
        return opened(capacity, prefix)

    monkeypatch.setattr(runner.runner, "open", full)
    large, small = (engine.generate(PROMPT, Sampling(max_new_tokens=count)) for count in (200, 9))
    with pytest.raises(MemoryError):
        next(large)
    assert ids_of(small) == alone(PROMPT, 9)


# Models that are not ready, forks, other work


def test_an_answer_waits_for_its_runner_and_others_do_not() -> None:
    model, made = tiny.unchanged(MODEL, 0), Future()
    engine = engine_over(SharedModel(made, PrefixCache(2)), model, ends=frozenset())
    assert engine.preparing == PREPARING
    waiting = engine.generate(PROMPT, Sampling(max_new_tokens=4))
    assert len(ids_of(tiny.engine(MODEL).generate(PROMPT, Sampling(max_new_tokens=4)))) == 4
    assert not waiting.is_ready()
    made.set_result(TorchRunner(model))
    assert ids_of(waiting) == alone(PROMPT, 4) and engine.preparing == ""


def test_a_runner_that_could_not_be_made_is_an_error_of_the_answer() -> None:
    made: Future = Future()
    made.set_exception(MemoryError())
    engine = engine_over(SharedModel(made, PrefixCache(2)), tiny.unchanged(MODEL, 0))
    with pytest.raises(MemoryError):
        next(engine.generate(PROMPT, Sampling(max_new_tokens=4)))


def test_other_work_runs_in_the_one_thread_with_the_callers_cores() -> None:
    torch.set_num_threads(1)
    with ThreadPoolExecutor(4) as callers:
        work = [lambda: (threading.get_ident(), torch.get_num_threads())] * 4
        found = list(callers.map(scheduler().call, work))
    assert len(set(found)) == 1
    assert found[0][0] != threading.get_ident() and found[0][1] == 1
    with pytest.raises(ValueError, match="broken"):
        scheduler().call(lambda: int("broken"))


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_has_a_scheduler_of_its_own() -> None:
    """As ZeroGPU's worker has: the parent's thread is not in it."""
    engine, wanted = tiny.engine(MODEL), alone(PROMPT, 5)
    child = os.fork()
    if child == 0:  # nothing of pytest may run here
        torch.set_num_threads(1)
        os._exit(5 if ids_of(engine.generate(PROMPT, Sampling(max_new_tokens=5))) == wanted else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 5


# Answers that are followed


@pytest.mark.parametrize("kind", [TorchRunner, SequentialRunner])
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_an_answer_is_followed_behind_every_context_to_its_last_token(kind: type, family: str) -> None:
    """Contexts shorter and longer than the prompt, the answer longer than what a sequence may be ahead."""
    if family == "gemma2" and kind is TorchRunner:
        pytest.skip("a family with a soft cap on its scores does not attend plainly")
    model, tokens = tiny.unchanged(family, 0), 2 * Limits().held_rows + 7
    engine = engine_over(kind(model), model, ends=frozenset())
    contexts = [[5, 6], [5 + n % 300 for n in range(90)]]
    readers = [engine.reader(ids, tokens) for ids in contexts]
    pieces = engine.generate(PROMPT, Sampling(max_new_tokens=tokens), readers, lambda rows, ids: (rows, ids))
    found, seen = [[], [], []], []
    with ThreadPoolExecutor(1) as reader:
        answering = reader.submit(ids_of, pieces)
        for rows, ids in pieces.scores:
            seen += ids
            for column, part in zip(found, rows, strict=True):
                column += part
        answer = answering.result()
    assert seen == answer and len(answer) == tokens
    for context, column in zip([PROMPT, *contexts], found, strict=True):
        with torch.inference_mode():
            logits = model(torch.tensor([[*context, *answer]])).logits[0, len(context) - 1 : -1].float()
        torch.testing.assert_close(torch.cat(column), logits, atol=5e-4, rtol=1e-3)
    until(lambda: engine.held().sequences == 0)


def test_scores_that_nobody_reads_hold_the_answer_up_and_closing_them_lets_it_go_on() -> None:
    engine, _ = watched()
    pieces = engine.generate(PROMPT, Sampling(max_new_tokens=300), [engine.reader([5, 6], 300)], lambda rows, ids: 0)
    found = [next(pieces).id for _ in range(BUFFERED)]
    until(lambda: pieces.scores.is_full)
    pieces.scores.close()
    assert [*found, *ids_of(pieces)] == alone(PROMPT, 300)
    until(lambda: engine.held().sequences == 0)


@pytest.mark.parametrize("length", [3, 16, 21])
def test_where_calls_cost_positions_are_compared_some_at_a_time_and_the_rest_at_the_end(length: int) -> None:
    engine, runner = watched()
    runner.limits = replace(Limits(), compared_rows=8)
    readers = [engine.reader([5, 6], length)]
    pieces = engine.generate(PROMPT, Sampling(max_new_tokens=length), readers, lambda rows, ids: ids)
    scored = list(pieces.scores)
    assert [token for ids in scored for token in ids] == ids_of(pieces) == alone(PROMPT, length)
    assert all(len(ids) >= 8 for ids in scored[:-1]) and len(scored) <= length // 8 + 1


def test_tokens_that_followers_do_not_know_hold_nothing_up() -> None:
    """Stretches between them never get as long as what is worth comparing."""
    engine, runner = watched()
    runner.limits = replace(Limits(), compared_rows=8)
    length = 3 * Limits().held_rows
    wanted = alone(PROMPT, length)
    known = sorted(wanted)[length // 2]  # about half of the tokens lie above
    pieces = engine.generate(
        PROMPT, Sampling(max_new_tokens=length), [engine.reader([5, 6], length)], lambda rows, ids: ids, known
    )
    with ThreadPoolExecutor(1) as reader:
        answering = reader.submit(ids_of, pieces)
        scored = [token for ids in pieces.scores for token in ids]
    assert scored == answering.result() == wanted


@pytest.mark.parametrize("compared", [1, 8])
def test_an_answer_that_is_stopped_is_scored_as_far_as_it_was_read(compared: int) -> None:
    engine, runner = watched()
    runner.limits = replace(Limits(), compared_rows=compared)
    readers = [engine.reader([5, 6], 300)]
    pieces = engine.generate(PROMPT, Sampling(max_new_tokens=300), readers, lambda rows, ids: ids)
    found = [next(pieces).id for _ in range(7)]
    pieces.close()
    scored = [token for ids in pieces.scores for token in ids]
    assert scored[:7] == found
    until(lambda: engine.held().sequences == 0)

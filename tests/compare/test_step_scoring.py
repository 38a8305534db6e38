"""Scoring in step with the answers: one reading of the weights for all, and the numbers of scoring it alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.support import tiny
from tests.support.packable import adapted, gemma, weights
from tests.support.runners import Gate, Watched, engine_over, shared, until
from urial.compare.events import AlignedToken, ShiftRows
from urial.compare.request import Control, Request
from urial.compare.run import compare, result, score
from urial.engines.local.compiled_cpu.runner import CompiledCpuRunner
from urial.engines.local.engine import LocalEngine
from urial.engines.local.runner import Chunk
from urial.engines.local.torch_runner import TorchRunner
from urial.engines.pair import PairEngines
from urial.kernels import packing
from urial.kernels.multiply import multiply, told
from urial.prompts import method
from urial.records import Comparison, SideName, SidePenalties

pytestmark = pytest.mark.slow

ROWS = 9  # more than two readings of the codes take


@pytest.fixture
def engines() -> PairEngines:
    """A packed base and its adapted sibling over one runner, as the embedded pair."""
    return siblings(Watched(CompiledCpuRunner(adapted(packed()))))


def packed() -> torch.nn.Module:
    return gemma("in blocks of 32", vocabulary=448)


def siblings(runner: Watched) -> PairEngines:
    base, held = packed(), shared(runner)
    return tiny.pair_of(engine(base, held, "base"), engine(adapted(base), held, "aligned"))


def engine(model: torch.nn.Module, held: object, side: SideName) -> LocalEngine:
    return engine_over(held, model, side, ends=frozenset())


@pytest.fixture
def twins() -> PairEngines:
    """The same model twice, each with a runner of its own, so that their steps never have the same company."""
    made = [engine(model, shared(CompiledCpuRunner(model)), "base") for model in (packed(), packed())]
    made[1].encode_chat = made[0].encode
    made[1].render_chat = lambda messages: method("zero_shot").render(messages[-1].content)
    return tiny.pair_of(*made)


def request(tokens: int = 24) -> Request:
    penalties = SidePenalties(base=1.1, aligned=1.0)
    return Request(query="what is the answer?", method=method("urial", 0), max_new_tokens=tokens, penalties=penalties)


def runner_of(engines: PairEngines) -> Watched:
    return engines.base.shared.runner.result()


def is_free(engines: PairEngines) -> bool:
    return engines.base.held().sequences == 0


def columns(found: Comparison) -> dict[str, list[tuple[float, ...]]]:
    return {
        name: [(row.base_rank, row.kl, row.js, row.base_probability, row.aligned_probability) for row in shift.tokens]
        for name, shift in found.shift.items()
    }


# Company changes nothing


@pytest.mark.parametrize(
    "kind", ["whole", "in blocks of 32", "in blocks of 16", "from their least", "from their least in four bits"]
)
def test_a_product_is_the_same_to_the_last_bit_alone_and_in_company(kind: str) -> None:
    matrix, random = packing.pack(weights(kind, 70, 128)), np.random.default_rng(2)
    down, up = (random.standard_normal(shape).astype(np.float32) for shape in ((4, 128), (70, 4)))
    matrix = packing.with_low_rank(matrix, [down], [up])
    held = told(matrix)
    x = random.standard_normal((ROWS, 128)).astype(np.float32)
    ones = np.ones(ROWS, np.float32)
    alone, company = np.empty((ROWS, 70), np.float32), np.empty((ROWS, 70), np.float32)
    for row in range(ROWS):
        multiply(held, x[row : row + 1], ones[row : row + 1], alone[row : row + 1])
    for count in range(2, ROWS + 1):
        multiply(held, x[:count], ones[:count], company[:count])
        np.testing.assert_array_equal(company[:count], alone[:count])


def test_a_step_is_the_same_to_the_last_bit_alone_and_in_company() -> None:
    """Company of any factor and length of text, before and behind it."""
    runner, ids = CompiledCpuRunner(adapted(gemma("in blocks of 32"))), list(range(3, 33))

    def begin() -> object:
        cache = runner.open(80, None)
        runner.forward([Chunk(cache, ids, 0, 1.0)])
        return cache

    alone, met, others = begin(), begin(), [begin() for _ in range(6)]
    for token in range(6):
        (wanted,) = runner.forward([Chunk(alone, [token], 1, 1.0)])
        company = [Chunk(other, [token + 9] * (1 + n), 1, n / 5) for n, other in enumerate(others)]
        found = runner.forward([*company[: token + 1], Chunk(met, [token], 1, 1.0), *company[token + 1 :]])
        assert torch.equal(found[token + 1], wanted)


@pytest.mark.parametrize("kind", ["compiled", "torch"])
def test_the_adapters_factor_is_each_sequences_own(kind: str) -> None:
    """0 gives the base and 1 the aligned model, to the last bit where the loops run; between, another model."""
    base = gemma("in blocks of 32")
    make = CompiledCpuRunner if kind == "compiled" else TorchRunner
    twin = adapted(base)
    plain, runner, ids = make(base), make(twin), list(range(3, 33))
    (wanted,) = plain.forward([Chunk(plain.open(40, None), ids, 5, 1.0)])
    batch = [Chunk(runner.open(40, None), ids, 5, factor) for factor in (1.0, 0.0, 0.5, 0.0)]
    whole, none, half, again = runner.forward(batch)
    if kind == "compiled":
        assert torch.equal(none, wanted) and torch.equal(again, wanted)
    torch.testing.assert_close(none, wanted, atol=1e-4, rtol=1e-4)
    with torch.inference_mode():
        logits = twin(torch.tensor([ids])).logits[0, -5:]
    torch.testing.assert_close(whole, logits, atol=5e-4, rtol=1e-3)
    assert not torch.allclose(half, none, atol=1e-2) and not torch.allclose(half, whole, atol=1e-2)


def test_the_same_model_twice_has_no_shift_to_the_last_digit(twins: PairEngines) -> None:
    shift = result(compare(twins, replace(request(), method=method("zero_shot")))).shift["zero_shot"]
    assert len(shift.tokens) == 24
    assert all(row.base_rank == 1 and row.kl == row.js == 0 for row in shift.tokens)


# The numbers


def test_rows_are_those_of_transformers_layers(engines: PairEngines) -> None:
    compiled = columns(result(compare(engines, request())))
    plain = columns(result(compare(siblings(Watched(TorchRunner(adapted(packed())))), request())))
    for name, rows in compiled.items():
        assert [row[0] for row in rows] == [row[0] for row in plain[name]]
        np.testing.assert_allclose(rows, plain[name], atol=1e-4, rtol=1e-3)


def test_rows_are_those_of_float64(engines: PairEngines) -> None:
    found = result(compare(engines, request()))
    context, answer = found.shift["zero_shot"].context_ids, found.aligned.token_ids
    base = float64_rows(engines.base, context, answer)
    aligned = float64_rows(engines.aligned, found.aligned.prompt_ids, answer)
    kl = (aligned.exp() * (aligned - base)).sum(-1)
    rows = found.shift["zero_shot"].tokens
    np.testing.assert_allclose([row.kl for row in rows], kl.numpy(), atol=1e-4)
    ranks = 1 + (base > base.gather(1, torch.tensor(answer)[:, None])).sum(1)
    assert [row.base_rank for row in rows] == ranks.tolist()


@torch.inference_mode()
def float64_rows(engine: LocalEngine, context: list[int], answer: list[int]) -> torch.Tensor:
    """Logarithms of probabilities [T, V] that predict the answer, by transformers alone."""
    logits = engine.model(torch.tensor([[*context, *answer]])).logits[0].double()
    return logits[len(context) - 1 : -1].log_softmax(-1)


def test_a_given_answer_has_the_very_numbers_of_a_written_one(engines: PairEngines) -> None:
    written = result(compare(engines, request()))
    engines.aligned.encode_answer = lambda text: list(written.aligned.token_ids)
    assert columns(result(score(engines, request(), written.aligned.text))) == columns(written)


def test_numbers_are_the_same_to_the_last_bit_whatever_was_read_before(engines: PairEngines) -> None:
    """First with every prompt read whole, then with their constant beginnings read for another query."""
    asked = [replace(request(12), query=query) for query in ("what is the answer?", "who are you, then?")]
    fresh = siblings(Watched(runner_of(engines).runner))
    first = columns(result(compare(fresh, asked[0])))
    result(compare(engines, asked[1]))
    assert engines.base.held().prefixes > 0
    assert columns(result(compare(engines, asked[0]))) == first


# How it runs


def test_rows_come_with_their_tokens_and_no_step_is_for_scoring_alone(engines: PairEngines) -> None:
    """The first few tokens are there before both contexts are read."""
    tokens, rows = 0, {"zero_shot": 0, "urial": 0}
    for event in compare(engines, request()):
        tokens += isinstance(event, AlignedToken)
        if isinstance(event, ShiftRows):
            rows[event.context] += len(event.rows)
        assert tokens - 4 <= min(rows.values()) <= max(rows.values()) <= tokens
    assert tokens == 24 and set(rows.values()) == {24}
    steps = runner_of(engines).batches
    assert steps.count([1] * 4) >= 20 and len(steps) <= 36


def test_a_side_that_is_stopped_leaves_the_scored_answer_in_step(engines: PairEngines) -> None:
    gate = runner_of(engines).before = Gate()
    control, seen = Control(), 0
    events = compare(engines, request(60), control)
    next(events)
    gate.let_through(20)
    for event in events:
        seen += isinstance(event, AlignedToken)
        if seen == 5:
            control.stop("base")
        if seen >= 5:
            gate.let_through(100)
    steps = runner_of(engines).batches
    assert [1] * 4 in steps[:18] and steps[-1] == [1] * 3
    until(lambda: is_free(engines))


def test_a_stopped_answer_has_rows_for_all_its_tokens(engines: PairEngines) -> None:
    control, seen = Control(), 0
    for event in compare(engines, request(), control):
        seen += isinstance(event, AlignedToken)
        if seen == 5:
            control.stop("aligned")
    shift = event.comparison.shift
    assert {len(found.tokens) for found in shift.values()} == {len(event.comparison.aligned.token_ids)}
    assert len(event.comparison.base.token_ids) == 24


@pytest.mark.parametrize("tokens", [0, 1, 5])
def test_a_visitor_who_leaves_takes_all_sequences_along(engines: PairEngines, tokens: int) -> None:
    events = compare(engines, request(200))
    for _ in range(1 + 4 * tokens):
        next(events)
    events.close()
    until(lambda: is_free(engines))
    assert engines.base.held().prefixes <= 1  # the method's constant beginning


def test_a_failing_scoring_leaves_the_answers_and_no_sequence(engines: PairEngines) -> None:
    wanted = result(compare(engines, request()))
    runner = runner_of(engines)
    short = len(wanted.shift["zero_shot"].context_ids)

    def fails_in_the_middle(batch) -> None:
        if any(chunk.adapter == 0 and chunk.cache.length == short + 4 for chunk in batch):
            raise RuntimeError("no memory")

    runner.before = fails_in_the_middle
    found = result(compare(engines, request()))
    assert found.aligned.token_ids == wanted.aligned.token_ids
    assert {len(shift.tokens) for shift in found.shift.values()} == {5}
    until(lambda: is_free(engines))


def test_many_at_once_get_the_very_numbers_that_each_gets_alone(engines: PairEngines) -> None:
    """Also where one leaves in the middle: more answers than a step takes, in other company at every step."""
    asked = [replace(request(16), query=f"what is {number}?", method=method("zero_shot")) for number in range(6)]
    alone = [columns(result(compare(engines, each))) for each in asked]

    def leave(each: Request) -> None:
        events = compare(engines, each)
        for _ in range(9):
            next(events)
        events.close()

    with ThreadPoolExecutor(8) as pool:
        left = [pool.submit(leave, each) for each in asked[:2]]
        together = list(pool.map(lambda each: columns(result(compare(engines, each))), asked))
        for each in left:
            each.result()
    assert together == alone
    until(lambda: is_free(engines))

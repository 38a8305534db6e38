"""Scoring in step with the answers: one reading of the weights for all, and the numbers of scoring it alone."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import DynamicCache

from tests import tiny
from tests.packable import adapted, gemma, weights
from urial.compare import compare, result, score
from urial.engines import output, sessions, trunks
from urial.engines.cache import ReadingStore
from urial.engines.compiled import blocks, kernels
from urial.engines.compiled.gemma import GemmaTrunk
from urial.engines.local import LocalEngine
from urial.engines.pair import PairEngines
from urial.engines.sessions import ChunkSession
from urial.engines.stepper import Stepper
from urial.events import AlignedToken, ShiftRows
from urial.prompts import method
from urial.records import Comparison, SideName, SidePenalties
from urial.request import Control, Request

pytestmark = pytest.mark.slow

ROWS = 9  # more than two readings of the codes take


@pytest.fixture
def loops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled loops for tiny models too."""
    monkeypatch.setattr(trunks, "WORTH_COMPILING", 1)
    monkeypatch.setattr(output, "WORTH", 1)


@pytest.fixture
def engines(loops: None) -> PairEngines:
    """A packed base and its adapted sibling, over one stepper, as the embedded pair."""
    base = gemma("in blocks of 32", vocabulary=448)
    aligned = adapted(base)
    stepper = Stepper(aligned, threading.Lock())
    return tiny.pair_of(engine(base, stepper, "base"), engine(aligned, stepper, "aligned"))


@pytest.fixture
def twins(loops: None) -> PairEngines:
    """The same model twice, each with a stepper of its own, so that their steps never have the same company."""
    models = [gemma("in blocks of 32", vocabulary=448) for _ in range(2)]
    made = [engine(model, Stepper(model, threading.Lock()), "base") for model in models]
    made[1].encode_chat = made[0].encode
    made[1].render_chat = lambda messages: method("zero_shot").render(messages[-1].content)
    return tiny.pair_of(*made)


def engine(model: torch.nn.Module, stepper: Stepper, side: SideName) -> LocalEngine:
    return LocalEngine(model, tiny.tokenizer(), name=side, ends=frozenset(), stepper=stepper, side=side)


def request(tokens: int = 24) -> Request:
    penalties = SidePenalties(base=1.1, aligned=1.0)
    return Request(query="what is the answer?", method=method("urial", 0), max_new_tokens=tokens, penalties=penalties)


def waiting(engines: PairEngines) -> list[object]:
    return engines.base._stepper._line.waiting


def columns(found: Comparison) -> dict[str, list[tuple[float, ...]]]:
    return {
        name: [(row.base_rank, row.kl, row.js, row.base_probability, row.aligned_probability) for row in shift.tokens]
        for name, shift in found.shift.items()
    }


# Company changes nothing


@pytest.mark.parametrize("kind", ["whole", "in blocks of 32", "in blocks of 16", "from their least"])
def test_a_product_is_the_same_to_the_last_bit_alone_and_in_company(kind: str) -> None:
    matrix, random = blocks.pack(weights(kind, 70, 128).numpy()), np.random.default_rng(2)
    matrix = matrix._replace(
        down=random.standard_normal((4, 128)).astype(np.float32), up=random.standard_normal((4, 70)).astype(np.float32)
    )
    x = random.standard_normal((ROWS, 128)).astype(np.float32)
    alone, company = np.empty((ROWS, 70), np.float32), np.empty((ROWS, 70), np.float32)
    for row in range(ROWS):
        kernels.multiply(matrix, x[row : row + 1], 0, alone[row : row + 1])
    for count in range(2, ROWS + 1):
        kernels.multiply(matrix, x[:count], 0, company[:count])
        np.testing.assert_array_equal(company[:count], alone[:count])


@torch.inference_mode()
def test_a_step_is_the_same_to_the_last_bit_alone_and_in_company() -> None:
    model = adapted(gemma("in blocks of 32"))
    trunk, ids = GemmaTrunk(model), list(range(3, 33))
    cache = DynamicCache(config=model.config)
    model.base_model(input_ids=torch.tensor([ids]), past_key_values=cache, use_cache=True)
    alone = trunk.open(cache, len(ids), 8, is_adapted=True)
    wanted = [trunk.hidden([alone], [token]) for token in range(6)]
    others = [trunk.open(cache, len(ids), 8, is_adapted=False) for _ in range(6)]
    met = trunk.open(cache, len(ids), 8, is_adapted=True)
    for token in range(6):
        company = others[: token + 1]
        found = trunk.hidden([*company, met], [*(token + 9 for _ in company), token])
        assert torch.equal(found[-1:], wanted[token])


def test_the_same_model_twice_has_no_shift_to_the_last_digit(twins: PairEngines) -> None:
    shift = result(compare(twins, replace(request(), method=method("zero_shot")))).shift["zero_shot"]
    assert len(shift.tokens) == 24
    assert all(row.base_rank == 1 and row.kl == row.js == 0 for row in shift.tokens)


# The numbers


def test_rows_are_those_of_scoring_in_chunks(engines: PairEngines, monkeypatch: pytest.MonkeyPatch) -> None:
    stepped = columns(result(compare(engines, request())))
    monkeypatch.setattr(Stepper, "keeps_rows_apart", False)
    in_chunks = columns(result(compare(engines, request())))
    for name, rows in stepped.items():
        assert [row[0] for row in rows] == [row[0] for row in in_chunks[name]]
        np.testing.assert_allclose(rows, in_chunks[name], atol=1e-4, rtol=1e-3)


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
    logits = engine._model(torch.tensor([[*context, *answer]])).logits[0].double()
    return logits[len(context) - 1 : -1].log_softmax(-1)


def test_a_given_answer_has_the_very_numbers_of_a_written_one(engines: PairEngines) -> None:
    written = result(compare(engines, request()))
    engines.aligned.encode_answer = lambda text: list(written.aligned.token_ids)
    assert columns(result(score(engines, request(), written.aligned.text))) == columns(written)


def test_numbers_are_the_same_to_the_last_bit_whatever_was_read_before(engines: PairEngines) -> None:
    """First with every prompt read whole, then with their constant beginnings read for another query."""
    asked = [replace(request(12), query=query) for query in ("what is the answer?", "who are you, then?")]
    first = columns(result(compare(engines, asked[0])))
    for side in (engines.base, engines.aligned):
        side._store = ReadingStore(6)
    result(compare(engines, asked[1]))
    assert columns(result(compare(engines, asked[0]))) == first


# How it runs


def test_each_token_has_its_rows_before_the_next_and_no_step_is_for_scoring_alone(engines: PairEngines) -> None:
    steps = counted(engines)
    kinds = [type(event) for event in compare(engines, request()) if isinstance(event, AlignedToken | ShiftRows)]
    assert kinds == [AlignedToken, ShiftRows, ShiftRows] * 24
    assert steps == [4] * 23


def test_a_side_that_is_stopped_leaves_the_scored_answer_in_step(engines: PairEngines) -> None:
    steps, control, seen = counted(engines), Control(), 0
    for event in compare(engines, request(), control):
        seen += isinstance(event, AlignedToken)
        if seen == 5:
            control.stop("base")
    assert steps[:4] == [4] * 4 and steps[6:] == [3] * (len(steps) - 6)
    assert waiting(engines) == []


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
def test_a_visitor_who_leaves_takes_all_seats_along(engines: PairEngines, tokens: int) -> None:
    events = compare(engines, request())
    for _ in range(1 + 4 * tokens):
        next(events)
    events.close()
    assert waiting(engines) == []


def test_a_failing_scoring_leaves_the_answers_and_no_seat(
    engines: PairEngines, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, calls = result(compare(engines, request())), itertools.count()
    extend = sessions.StepSession.extend

    def fails_at_the_fifth_token(session: sessions.StepSession, ids: list[int]) -> object:
        if next(calls) == 8:  # two contexts
            raise RuntimeError("no memory")
        return extend(session, ids)

    monkeypatch.setattr(sessions.StepSession, "extend", fails_at_the_fifth_token)
    found = result(compare(engines, request()))
    assert found.aligned.token_ids == wanted.aligned.token_ids
    assert {len(shift.tokens) for shift in found.shift.values()} == {4}
    assert waiting(engines) == []


def test_models_without_loops_are_scored_in_chunks() -> None:
    session = tiny.engine().open_score([5, 6], 8)
    assert isinstance(session, ChunkSession) and session.chunk == sessions.CHUNKS["cpu"]


def counted(engines: PairEngines) -> list[int]:
    """How many answers each step moves on, as it goes."""
    trunk, counts = engines.base._stepper._trunk, []
    hidden = trunk.hidden
    trunk.hidden = lambda places, tokens: counts.append(len(places)) or hidden(places, tokens)
    return counts


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
    assert waiting(engines) == []

"""Tokens that the base does not know: their rows alone have no base, against both models' own forward in float64."""

from __future__ import annotations

import copy

import pytest
import torch
from transformers import PreTrainedModel

from tests.support import tiny
from urial.compare.events import Failed
from urial.compare.foreign_tokens import SomeRows, with_foreign_columns
from urial.compare.request import Request
from urial.compare.run import compare, continue_base, result, score
from urial.engines.base import TopRow
from urial.engines.local.choose_runner import shared_model
from urial.engines.local.engine import LocalEngine
from urial.engines.pair import PairEngines
from urial.errors import MismatchError
from urial.prompts import method
from urial.records import Comparison, from_json, to_json
from urial.render.csv_table import to_csv
from urial.shift import statistics as shift
from urial.shift.statistics import ShiftStatistics

BASE_ROWS, ALIGNED_ROWS = 420, 448
END = 430  # the chat model's own end token: the base has no such row
INNER = 425  # and a mark that stands in the middle of an answer


def side(model: PreTrainedModel, name: str, ends: frozenset[int], which: str) -> LocalEngine:
    return LocalEngine(model, tiny.tokenizer(), name=name, ends=ends, shared=shared_model(model, name), side=which)


def engines_of(aligned: PreTrainedModel) -> PairEngines:
    base = side(tiny.model("llama", 0, BASE_ROWS), "small", frozenset({1}), "base")
    return tiny.pair_of(base, side(aligned, "large", frozenset({END}), "aligned"))


@pytest.fixture(scope="module")
def pair() -> PairEngines:
    return engines_of(tiny.model("llama", 1, ALIGNED_ROWS))


@torch.inference_mode()
def exact(model: PreTrainedModel, context: list[int], answer: list[int]) -> torch.Tensor:
    """Logits [T, V] in float64."""
    return copy.deepcopy(model).double()(torch.tensor([context + answer])).logits[0, len(context) - 1 : -1]


def scored(pair: PairEngines, ids: list[int]) -> Comparison:
    """The record of a given answer of these ids."""
    aligned = copy.copy(pair.aligned)
    aligned.encode_answer = lambda _: list(ids)
    given = PairEngines(pair.info, pair.base, aligned, pair.vocabulary)
    return result(score(given, Request("the", method("zero_shot")), "any"))


@pytest.mark.parametrize(
    "ids",
    [
        [40, 41, 42, END],
        [40, INNER, 41, 42],
        [INNER, 40, 41, INNER, INNER, 42, END],
        [INNER, END],
        [*range(40, 60), INNER, *range(60, 80), END],  # over several chunks
    ],
)
def test_only_the_row_of_an_unknown_token_has_no_base(pair: PairEngines, ids: list[int]) -> None:
    found = scored(pair, ids)
    own = exact(pair.aligned.model, found.aligned.prompt_ids, ids)
    known = [token_id for token_id in ids if token_id < BASE_ROWS]
    for name in ("zero_shot", "urial"):
        rows = found.shift[name].tokens
        base = iter(exact(pair.base.model, found.shift[name].context_ids, known)) if known else iter(())
        assert [row.id for row in rows] == ids
        for row, logits in zip(rows, own, strict=True):
            if row.id >= BASE_ROWS:
                assert (row.shift_class, row.reason) == ("unscored", "not_in_base_vocabulary")
                assert row.base_rank is row.kl is None and row.base_top == []
                assert row.aligned_rank == 1 + int((logits > logits[row.id]).sum())
                assert row.aligned_probability == pytest.approx(float(logits.softmax(-1)[row.id]), rel=1e-4)
                continue
            p, q = logits[:BASE_ROWS].log_softmax(-1), next(base).log_softmax(-1)
            assert row.base_rank == 1 + int((q > q[row.id]).sum())
            assert row.base_probability == pytest.approx(float(q[row.id].exp()), rel=1e-4)
            assert row.kl == pytest.approx(float((p.exp() * (p - q)).sum()), rel=1e-3, abs=1e-5)


def test_shares_and_means_leave_unknown_tokens_out(pair: PairEngines) -> None:
    without, with_marks = scored(pair, [40, 41, 42]), scored(pair, [40, 41, 42, INNER])
    for name in ("zero_shot", "urial"):
        one, other = without.shift[name].summary, with_marks.shift[name].summary
        assert other.tokens == one.tokens == 3 and other.mean_kl == pytest.approx(one.mean_kl, rel=1e-5)
        assert other.unshifted == one.unshifted and other.unscored == 1


def test_the_chat_models_own_end_token_takes_nothing_away() -> None:
    """A generated answer: its end is a row of its own, special, and the shift is there."""
    model = tiny.model("llama", 1, ALIGNED_ROWS)
    first = engines_of(model)
    asked = Request("the", method("zero_shot"), max_new_tokens=6)
    wrote = result(compare(first, asked)).aligned.token_ids
    with torch.no_grad():  # what it wrote at last now comes out as its end token
        model.lm_head.weight[END] = model.lm_head.weight[wrote[-1]] * 1.5
    engines = engines_of(model)
    events = list(compare(engines, asked))
    found = events[-1].comparison
    assert found.aligned.token_ids[-1] == END and found.aligned.stop_reason == "stop"
    assert not any(isinstance(event, Failed) for event in events)
    rows = found.shift["zero_shot"].tokens
    assert rows[-1].is_special and rows[-1].reason == "not_in_base_vocabulary"
    assert all(row.is_scored for row in rows[:-1])
    assert from_json(to_json(found)) == found and "not_in_base_vocabulary" in to_csv(found)


def test_the_base_cannot_go_on_from_a_token_that_it_does_not_know(pair: PairEngines) -> None:
    with pytest.raises(MismatchError, match=f"token {INNER}"):
        list(continue_base(pair, Request("the", method("zero_shot")), [40, INNER]))


def test_some_rows_are_those_of_their_source() -> None:
    source = GivenLogits(torch.randn(9, 5))
    some = SomeRows(source, [1, 2, 5, 8])
    assert len(some) == 4
    assert torch.equal(some.chunk(1, 4), source.values[[2, 5, 8]])


def test_columns_keep_their_own_reasons() -> None:
    known = ShiftStatistics()
    known.leave_out("missing", 3, 0.5, [(1, 0.5)])
    found = with_foreign_columns(known, [1], {0: TopRow(2, 0.25, ((7, 0.5), (8, 0.25)))}, 1)
    assert found.unscored == {0: "not_in_base_vocabulary", 1: "missing"}
    assert found.aligned_rank == [2, 3] and found.aligned_top == [[(7, 0.5)], [(1, 0.5)]]


class GivenLogits:
    """Logits that are there already."""

    def __init__(self, values: torch.Tensor) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def chunk(self, start: int, stop: int) -> torch.Tensor:
        return self.values[start:stop]


def test_broken_logits_are_a_sentence_of_their_own() -> None:
    values = torch.randn(3, 8)
    values[1, 2] = float("nan")
    with pytest.raises(shift.BrokenLogits, match="position 1: the aligned model gave logits that are NaN"):
        shift.statistics(GivenLogits(values), {"urial": GivenLogits(values)}, [1, 2, 3], vocabulary=8)

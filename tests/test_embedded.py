"""The core on the real embedded pair: exact against float64, against transformers, and against itself."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator

import pytest
import torch

from tests.support.runners import until
from urial import records
from urial.cli.main import main
from urial.compare.events import SideDone
from urial.compare.request import Request
from urial.compare.run import compare, continue_base, result, score
from urial.engines.base import Sampling
from urial.engines.local.engine import LocalEngine
from urial.engines.open import open_pair
from urial.engines.pair import PairEngines
from urial.pairs import load_pairs
from urial.prompts import method
from urial.records import Comparison, SidePenalties

pytestmark = [pytest.mark.embedded, pytest.mark.timeout(900)]

QUERY = "Give me three tips for staying healthy."
PLAIN = SidePenalties(base=1.0, aligned=1.0)


@pytest.fixture(scope="module")
def engines() -> Iterator[PairEngines]:
    pairs = load_pairs()
    yield open_pair(pairs.get(pairs.default), device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def found(engines: PairEngines) -> Comparison:
    return result(compare(engines, Request(query=QUERY, method=method("urial", 1), max_new_tokens=48)))


def reference(engine: LocalEngine, context: list[int], answer: list[int]) -> torch.Tensor:
    """Log probabilities [T, V] in float64, from one plain forward pass."""
    with torch.inference_mode():
        hidden = engine.model.base_model(torch.tensor([context + answer])).last_hidden_state[0]
        logits = engine.model.lm_head(hidden[len(context) - 1 : -1])
    return logits.double().log_softmax(-1)


@pytest.mark.parametrize("context", ["zero_shot", "urial"])
def test_statistics_equal_a_float64_reference(engines: PairEngines, found: Comparison, context: str) -> None:
    shift, answer = found.shift[context], found.aligned.token_ids[:20]
    base = reference(engines.base, shift.context_ids, answer)
    aligned = reference(engines.aligned, found.aligned.prompt_ids, answer)
    for row, p, q in zip(shift.tokens, aligned, base, strict=False):
        assert row.base_rank == 1 + int((q > q[row.id]).sum())
        assert row.kl == pytest.approx(float((p.exp() * (p - q)).sum()), abs=1e-4)
        assert row.base_probability == pytest.approx(float(q[row.id].exp()), abs=1e-5)
        assert row.aligned_probability == pytest.approx(float(p[row.id].exp()), abs=1e-5)
        assert [entry[0] for entry in row.base_top] == q.topk(10).indices.tolist()


def test_the_same_model_twice_has_no_shift(engines: PairEngines) -> None:
    """The base beside itself, both reading the URIAL prompt: rank 1 everywhere, KL below 1e-6 nats."""
    twin = copy.copy(engines.base)
    asked = Request(query=QUERY, method=method("urial", 1), max_new_tokens=32, penalties=PLAIN)
    twin.render_chat = lambda messages: asked.method.render(messages[-1].content)
    twin.encode_chat = engines.base.encode
    pair = PairEngines(engines.info, engines.base, twin, engines.vocabulary)
    shift = result(compare(pair, asked)).shift["urial"]
    assert {row.shift_class for row in shift.tokens} == {"unshifted"}
    assert max(row.kl for row in shift.tokens) < 1e-6


def test_both_sides_answer_as_transformers_generate_does(engines: PairEngines, found: Comparison) -> None:
    for name, penalty in (("base", 1.1), ("aligned", 1.0)):
        side, model = getattr(found, name), engines.side(name).model
        theirs = model.generate(
            torch.tensor([side.prompt_ids]),
            attention_mask=torch.ones(1, len(side.prompt_ids)),
            max_new_tokens=24,
            do_sample=False,
            repetition_penalty=penalty,
            eos_token_id=None,
        )[0, len(side.prompt_ids) :].tolist()
        assert side.token_ids[:24] == theirs


def test_the_record_is_true(found: Comparison) -> None:
    assert records.from_json(records.to_json(found)) == found
    rows = found.shift["zero_shot"].tokens
    assert "".join(row.text for row in rows) == found.aligned.text
    assert [row.id for row in rows] == found.aligned.token_ids
    assert all(row.aligned_rank == 1 for row in rows), "greedy takes the aligned model's first choice"
    assert found.pair.dtype == "float32" and found.pair.revisions["base"]


def test_sampling_with_a_seed_repeats_itself(engines: PairEngines) -> None:
    asked = Request(query="Name a colour.", method=method("urial", 0), max_new_tokens=8, temperature=1.0, seed=7)
    first, second = (result(compare(engines, asked)) for _ in range(2))
    assert (first.base.token_ids, first.aligned.token_ids) == (second.base.token_ids, second.aligned.token_ids)


def test_scoring_the_answer_again_gives_its_rows(engines: PairEngines, found: Comparison) -> None:
    text = found.aligned.text
    asked = Request(query=QUERY, method=method("urial", 1))
    again = result(score(engines, asked, text)).shift["zero_shot"].tokens
    for one, other in zip(again, found.shift["zero_shot"].tokens, strict=False):
        if one.id != other.id:
            break  # the text can be cut into other tokens than were generated
        assert one.base_rank == other.base_rank and one.kl == pytest.approx(other.kl, abs=1e-4)
    assert one.position > 5


def test_the_base_writes_on_from_a_token(engines: PairEngines, found: Comparison) -> None:
    asked = Request(query=QUERY, method=method("urial", 1), max_new_tokens=12)
    (done,) = [e for e in continue_base(engines, asked, found.aligned.token_ids[:6]) if isinstance(e, SideDone)]
    assert done.side.text.strip()


def test_a_generation_that_is_left_frees_its_place(engines: PairEngines) -> None:
    running = engines.base.generate(engines.base.encode("Once upon a time"), Sampling(max_new_tokens=50))
    next(running)
    running.close()
    until(lambda: engines.base.held().sequences == 0)


def test_compare_on_the_command_line_prints_one_json_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "Name three colours.", "--examples", "1", "--max-new-tokens", "12", "--json"]) == 0
    output = capsys.readouterr()
    assert json.loads(output.out)["schema"] == "urial.comparison/1" and output.err == ""

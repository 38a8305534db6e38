"""The screen: bounds that hold for every logit, and a choice that is the one of the full row."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tests import tiny
from urial.engines import output, screen
from urial.engines.base import Sampling
from urial.engines.sampling import Sampler
from urial.engines.screen import Screen, screen_of

V, D = 3000, 64
CPU = torch.device("cpu")

pytestmark = pytest.mark.skipif(
    torch.backends.quantized.engine not in screen.KERNELS, reason="this processor has no int8 kernels of fbgemm"
)


def same(logits: torch.Tensor) -> torch.Tensor:
    return logits


def softcap(logits: torch.Tensor) -> torch.Tensor:
    return torch.tanh(logits / 5) * 5


def weights(seed: int = 0) -> torch.Tensor:
    """Rows of very different lengths, as real output layers have, and one that is zero."""
    made = torch.Generator().manual_seed(seed)
    rows = torch.randn(V, D, generator=made) * torch.rand(V, 1, generator=made).mul(4)
    rows[7] = 0
    return rows


WEIGHTS = weights()


def states(seed: int, outlier: float, rows: int = 2) -> torch.Tensor:
    found = torch.randn(rows, D, generator=torch.Generator().manual_seed(seed))
    found[0, 3] += outlier
    return found


@given(seed=st.integers(0, 2**31), outlier=st.floats(-1e4, 1e4), scale=st.floats(1e-6, 1e6))
def test_no_logit_lies_above_its_bound(seed: int, outlier: float, scale: float) -> None:
    hidden = states(seed, outlier) * scale
    for row, state in zip(Screen(WEIGHTS, same)(hidden), hidden, strict=True):
        exact = WEIGHTS.double() @ state.double()
        assert bool((exact <= row.high[0].double()).all())


@pytest.mark.parametrize("after", [same, softcap])
@pytest.mark.parametrize("penalty", [1.0, 1.1, 0.8])
def test_the_choice_is_the_one_of_the_full_row(after, penalty: float) -> None:
    found = Screen(WEIGHTS, after)
    for seed in range(40):
        hidden = states(seed, 5.0, rows=1)
        full = after(hidden @ WEIGHTS.t())
        seen = full.topk(30).indices[0].tolist()  # the penalty falls on those that would win
        settings = Sampling(repetition_penalty=penalty)
        assert Sampler(settings, seen, CPU).choose(found(hidden)[0]) == Sampler(settings, seen, CPU).choose(full)


def test_few_entries_are_multiplied_exactly() -> None:
    asked = []
    row = Screen(WEIGHTS, same)(states(1, 3.0))[0]
    counted = screen.Screened(row.high, lambda ids: asked.append(len(ids)) or row.exact(ids))
    Sampler(Sampling(), [1], CPU).choose(counted)
    assert asked[0] == 1 and asked[1] < V // 20


def test_equal_logits_go_to_the_lowest_id() -> None:
    twins = WEIGHTS.clone()
    hidden = states(2, 0.0, rows=1)
    best = int((hidden @ WEIGHTS.t()).argmax())
    twins[[5, best, V - 1]] = WEIGHTS[best]
    assert Sampler(Sampling(), [1], CPU).choose(Screen(twins, same)(hidden)[0]) == min(5, best)


def test_where_nothing_stands_out_the_whole_layer_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "MOST_EXACT", 10)
    hidden = states(3, 0.0, rows=1)
    row = Screen(WEIGHTS, softcap)(hidden)[0]
    ids = torch.arange(0, V, 7)
    torch.testing.assert_close(row.exact(ids), softcap(hidden @ WEIGHTS.t())[0, ids])


def layer(weight: torch.Tensor, bias: bool = False) -> nn.Linear:
    made = nn.Linear(weight.shape[1], weight.shape[0], bias=bias, dtype=weight.dtype)
    made.weight = nn.Parameter(weight, requires_grad=False)
    return made


@pytest.fixture
def small_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Screens for the smallest layers, and nothing quicker."""
    monkeypatch.setattr(output, "WORTH", 1)
    monkeypatch.setattr(output, "packed_of", lambda *_: None)


def test_only_large_plain_float32_layers_get_one(request: pytest.FixtureRequest) -> None:
    assert output.quick_of(layer(WEIGHTS), same).result() is None
    request.getfixturevalue("small_too")
    assert isinstance(output.quick_of(layer(WEIGHTS), same).result(), Screen)
    assert output.quick_of(layer(WEIGHTS, bias=True), same).result() is None
    assert output.quick_of(layer(WEIGHTS.bfloat16()), same).result() is None


def test_kernels_that_break_the_bounds_are_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    product = Screen._products
    monkeypatch.setattr(Screen, "_products", lambda self, hidden: (product(self, hidden)[0] * 0.8, hidden[:, 0] * 0))
    assert screen_of(layer(WEIGHTS), same) is None
    assert "int8 kernels" in caplog.text


@pytest.mark.usefixtures("small_too")
def test_a_broken_model_goes_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not a number has no bounds; scoring says where it is."""
    engine = tiny.engine()
    monkeypatch.setattr(engine._stepper._trunk, "hidden", lambda places, _: torch.full((len(places), 32), torch.nan))
    prompt = tiny.tokenizer().encode("the answer")
    assert len(list(engine.generate(prompt, Sampling(max_new_tokens=3)))) == 3


def test_a_machine_without_the_kernels_goes_without(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def absent(*_: object) -> None:
        raise RuntimeError("Didn't find engine for operation quantized::linear_prepack")

    monkeypatch.setattr(screen, "_pack", absent)
    assert screen_of(layer(WEIGHTS), same) is None
    assert "linear_prepack" in caplog.text


@pytest.mark.parametrize("family", tiny.FAMILIES)
@pytest.mark.parametrize(
    "settings", [Sampling(max_new_tokens=24, repetition_penalty=1.1), Sampling(temperature=1.0, max_new_tokens=24)]
)
def test_an_answer_is_the_same_with_and_without_it(
    request: pytest.FixtureRequest, family: str, settings: Sampling
) -> None:
    prompt, settings = tiny.tokenizer().encode("the answer to the question"), replace(settings, max_new_tokens=24)
    without = [piece.id for piece in tiny.engine(family).generate(prompt, settings)]
    request.getfixturevalue("small_too")
    screened = tiny.engine(family)
    assert isinstance(screened._stepper._output._quick.result(), Screen)
    assert [piece.id for piece in screened.generate(prompt, settings)] == without

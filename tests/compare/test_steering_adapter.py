"""The dial over an adapter's factor: 1 is the aligned model and 0 the base to the last bit, five share a step."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.support import tiny
from tests.support.packable import adapted, gemma
from tests.support.runners import Watched, engine_over, shared
from urial.compare.dial import can_scale, dial
from urial.compare.request import Request
from urial.compare.run import compare, result
from urial.engines.local.compiled_cpu.runner import CompiledCpuRunner
from urial.engines.local.torch_runner import SequentialRunner, TorchRunner
from urial.engines.pair import PairEngines
from urial.errors import SettingsError
from urial.prompts import method
from urial.records import SidePenalties
from urial.steering_records import DialRecord

pytestmark = pytest.mark.slow
RUNNERS = {"compiled": CompiledCpuRunner, "torch": TorchRunner, "one by one": SequentialRunner}


@pytest.fixture(params=list(RUNNERS))
def runner(request: pytest.FixtureRequest) -> Watched:
    return Watched(RUNNERS[request.param](adapted(gemma("in blocks of 32", vocabulary=448))))


@pytest.fixture
def engines(runner: Watched) -> PairEngines:
    model, held = gemma("in blocks of 32", vocabulary=448), shared(runner)
    sides = [engine_over(held, model, side, ends=frozenset()) for side in ("base", "aligned")]
    return tiny.pair_of(*sides)


def asked() -> Request:
    penalties = SidePenalties(base=1.0, aligned=1.0)
    return Request(query="what is the answer?", method=method("urial", 0), max_new_tokens=16, penalties=penalties)


def dialled(engines: PairEngines, at: list[float]) -> DialRecord:
    return [*dial(engines, asked(), at, kind="adapter")][-1].record


def test_its_ends_are_the_aligned_model_and_the_base_under_the_chat_template(engines: PairEngines) -> None:
    right = result(compare(engines, asked()))
    found = dialled(engines, [0, 0.25, 0.5, 0.75, 1])
    assert found.positions[4].token_ids == right.aligned.token_ids
    bare = [piece.id for piece in engines.base.generate(right.aligned.prompt_ids, asked().sampling("base"))]
    assert found.positions[0].token_ids == bare
    assert (found.context, found.switch_points) == (None, [])
    assert set(found.positions[0].base_ranks) == {1}


def test_positions_share_the_steps(engines: PairEngines, runner: Watched) -> None:
    if runner.runner.limits.sequences == 1:
        pytest.skip("this runner reads one sequence after another")
    dialled(engines, [0.25, 0.75])
    assert max(map(len, runner.batches)) >= 4  # two that write, and the base behind each


def test_the_factor_weighs_the_adapter_as_it_says(engines: PairEngines) -> None:
    """Logits at a factor against transformers' own pass over layers whose low-rank part is scaled so."""
    ids = engines.base.encode("what is the answer?")
    for factor in (0.0, 0.3, 1.0, 1.5):
        model = adapted_like(factor)
        with torch.inference_mode():
            right = model(torch.tensor([ids])).logits[0, -1].float()
        session = engines.base.reader(ids, 4, factor)
        row = first_row(engines, session)
        torch.testing.assert_close(row[: len(right)], right, rtol=2e-3, atol=2e-3)


def adapted_like(factor: float) -> torch.nn.Module:
    from urial.weights.adapters import LowRankLinear

    model = adapted(gemma("in blocks of 32", vocabulary=448))
    for module in model.modules():
        if isinstance(module, LowRankLinear):
            module.up.data.mul_(factor)
    return model


def first_row(engines: PairEngines, reader: object) -> torch.Tensor:
    rows: list[torch.Tensor] = []

    def choose(found: list[torch.Tensor]) -> int:
        rows.append(found[0][0].clone())
        return 0

    list(engines.base.write([reader], choose, 1, ()))
    return rows[0]


def test_what_is_no_adapter_is_refused() -> None:
    two = tiny.pair("llama")
    assert not can_scale(two)
    with pytest.raises(SettingsError, match="no adapter"):
        next(dial(two, asked(), kind="adapter"))
    same = replace(two, aligned=two.base, same="Both sides are one model.")
    assert not can_scale(same)

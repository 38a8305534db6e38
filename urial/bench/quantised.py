"""What a decoding step costs with the linear layers in nf4: four bits a weight, by bitsandbytes.

Knows the workload and the measurement of a step; nothing about the other rows.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

from transformers import PreTrainedModel

from urial.bench.decode import Row, eagerly, one_answer, row, step_seconds
from urial.bench.workload import QUERIES, Workload, endless_engines
from urial.compare.request import make_prompts
from urial.pairs import Dtype
from urial.weights import LoadedPair
from urial.weights.placement import Placement, unpack_on_processors
from urial.weights.reports import quiet_transformers


def by_nf4(work: Workload) -> Iterator[Row]:
    """One answer of the base's weights, quantised on the device, ours and eager `generate`."""
    found = as_nf4(work.loaded.base.model, cast(Dtype, work.dtype), work.device)
    side = replace(work.loaded.base, model=found, description=f"{work.loaded.base.description}, nf4")
    engines = endless_engines(replace(work, loaded=LoadedPair(side, side, shares_weights=True), dtype="nf4"))
    ids = make_prompts(engines, work.request(QUERIES[0])).base_ids
    eager = step_seconds(lambda length: eagerly(found, ids, length), work.new_tokens, rounds=1)  # it is slow
    ours = step_seconds(lambda length: one_answer(engines.local("base"), ids, length), work.new_tokens)
    yield row("weights in nf4", found.get_memory_footprint() / 1e9, "GB")
    yield row("transformers' generate in nf4, eager, one answer", 1000 * eager, "ms a token")
    yield row("ours in nf4, one answer", 1000 * ours, "ms a token")
    yield row("ours over generate in nf4", eager / ours, "times as fast")


def as_nf4(model: PreTrainedModel, dtype: Dtype, device: str) -> PreTrainedModel:
    """A quantised copy, made as a folder of weights would be. Raises WeightsMissing without bitsandbytes."""
    options = Placement(dtype, "nf4", device).options()
    maker: Any = type(model)
    with quiet_transformers():
        found = maker.from_pretrained(
            None, config=copy.deepcopy(model.config), state_dict=model.state_dict(), **options
        )
    found.eval().requires_grad_(False)
    found.generation_config.eos_token_id = None
    unpack_on_processors(found)
    return cast(PreTrainedModel, found)

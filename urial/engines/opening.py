"""From a pair of `models.yaml` to two engines that run it.

Chooses device and precision where the user did not. Knows nothing about prompts or statistics.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import get_args

import torch

from urial.engines.local import LocalEngine
from urial.engines.pair import PairEngines, check_same_tokens
from urial.errors import SettingsError
from urial.pairs import Dtype, Pair, Quantization
from urial.records import PairInfo
from urial.weights import LoadedModel, load_pair_models

Progress = Callable[[str, float | None], None]


def open_pair(
    pair: Pair, *, device: str | None = None, dtype: str | None = None, progress: Progress | None = None
) -> PairEngines:
    """Load both models and check that they belong together.

    `dtype` is float32, bfloat16, float16, or int8 / nf4 for quantized weights; None takes the pair's own, else what
    suits the device. Raises WeightsMissing, WeightsError, MismatchError, SettingsError.
    """
    device = device or default_device()
    chosen, quantization = choose_precision(pair, device, dtype)
    loaded = load_pair_models(
        pair.base, pair.aligned, dtype=chosen, quantization=quantization, device=device, progress=progress
    )
    turn = threading.Lock()
    base, aligned = (make_engine(model, turn) for model in (loaded.base, loaded.aligned))
    check_same_tokens(base.vocabulary(), aligned.vocabulary(), pair.name)
    return PairEngines(
        info=PairInfo(
            name=pair.name,
            base=loaded.base.description,
            aligned=loaded.aligned.description,
            dtype=chosen,
            quantization=quantization,
            device=device,
            revisions={"base": loaded.base.revision, "aligned": loaded.aligned.revision},
        ),
        base=base,
        aligned=aligned,
        vocabulary=min(base.vocabulary_size, aligned.vocabulary_size),
        note=pair.note,
    )


def make_engine(loaded: LoadedModel, turn: threading.Lock) -> LocalEngine:
    return LocalEngine(loaded.model, loaded.tokenizer, name=loaded.description, ends=loaded.end_ids, turn=turn)


def default_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def choose_precision(pair: Pair, device: str, asked: str | None) -> tuple[Dtype, Quantization | None]:
    """The dtype to compute in and the quantization, if any. Raises SettingsError for an unknown name."""
    suits = "float32" if device == "cpu" else "bfloat16"
    if asked is None:
        return pair.dtype or suits, pair.quantization
    if asked in get_args(Dtype):
        return asked, None
    if asked in get_args(Quantization):
        return pair.dtype or suits, asked
    known = ", ".join([*get_args(Dtype), *get_args(Quantization)])
    raise SettingsError(f"There is no precision {asked!r}; choose one of {known}.")

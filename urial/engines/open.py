"""From a pair of `models.yaml` to two engines that run it, in this process or behind servers.

Chooses device and precision where the user did not.
"""

from __future__ import annotations

from typing import Any

import torch

from urial.engines.base import Engine
from urial.engines.compile_ahead import start_compiling, will_compile
from urial.engines.local.choose_runner import begin, shared_model
from urial.engines.local.engine import LocalEngine
from urial.engines.local.lm_head import WITHOUT_FLOAT64
from urial.engines.local.sequence import SharedModel
from urial.engines.pair import PairEngines, check_same_tokens
from urial.engines.server import connect
from urial.pairs import Machine, ModelSpec, Pair, Precision, choose_precision
from urial.progress import Progress, silent
from urial.records import PairInfo, SideName
from urial.shift import statistics as shift
from urial.weights import LoadedModel, LoadedPair, load_model, load_pair_models

AS_SERVED = "as served"  # precision and device of a model that runs elsewhere


def open_pair(
    pair: Pair, *, device: str | None = None, dtype: str | None = None, progress: Progress | None = None
) -> PairEngines:
    """Load both models, or ask their servers, and check that they belong together.

    `dtype` is float32, bfloat16, float16, or int8 / nf4 for quantized weights; None takes the pair's own, else what
    suits the device; a server has its own. Raises WeightsMissing, WeightsError, MismatchError, SettingsError,
    PairsError, and EngineError where a server cannot be reached.
    """
    machine = Machine.probe()
    device = device or machine.default_device
    precision = choose_precision(pair, machine, dtype, device)
    is_served = pair.base.server is not None and pair.aligned.server is not None
    if not is_served:
        start_compiling(pair, machine, device, dtype)
        begin(lambda: prepare_loops(pair, precision, device))
    base, aligned, same = open_sides(pair, precision, device, progress or silent)
    check_same_tokens(base.vocabulary(), aligned.vocabulary(), pair.name)
    return PairEngines(
        info=PairInfo(
            name=pair.name,
            base=base.name,
            aligned=aligned.name,
            dtype=AS_SERVED if is_served else precision.dtype,
            quantization=None if is_served else precision.quantization,
            device=AS_SERVED if is_served else device,
            revisions={"base": base.revision, "aligned": aligned.revision},
        ),
        base=base,
        aligned=aligned,
        vocabulary=min(base.vocabulary_size, aligned.vocabulary_size),
        note=" ".join(filter(None, (pair.note, same))),
        same=same,
    )


def prepare_loops(pair: Pair, precision: Precision, device: str) -> None:
    """Compile beside the loading what a processor will run; what fails here fails again where it is told."""
    shift.prepare(torch.device("cpu" if device in WITHOUT_FLOAT64 else device))
    if will_compile(pair, precision, device):
        from urial.engines.local.compiled_cpu.runner import warm_up  # a compiler is imported only where it is of use

        warm_up(precision.dtype)


def open_sides(pair: Pair, precision: Precision, device: str, progress: Progress) -> tuple[Engine, Engine, str]:
    """Both engines, and why they are one model, in a sentence for people: empty where they are two.

    Weights that both sides name are loaded once, and then both sides go in one batch.
    """
    options: dict[str, Any] = {"dtype": precision.dtype, "quantization": precision.quantization, "device": device}
    if pair.base.server is None and pair.aligned.server is None:
        loaded = load_pair_models(pair.base, pair.aligned, **options, progress=progress)
        return *open_loaded(loaded), loaded.same

    def open_side(spec: ModelSpec, side: SideName) -> Engine:
        if spec.server is not None:
            return connect(spec, progress)
        loaded = load_model(spec, **options, progress=progress)
        return make_local(loaded, shared_model(loaded.model, loaded.description), side)

    return open_side(pair.base, "base"), open_side(pair.aligned, "aligned"), same_server(pair)


def same_server(pair: Pair) -> str:
    """Why both sides are one served model; empty where they are two."""
    base, aligned = pair.base.server, pair.aligned.server
    if base is None or aligned is None or (base.base_url, base.model) != (aligned.base_url, aligned.model):
        return ""
    return (
        f"Base and aligned model are the same (both sides are {base.model} of one server): whatever shift there is "
        "comes from the prompts alone."
    )


def open_loaded(loaded: LoadedPair) -> tuple[LocalEngine, LocalEngine]:
    """Engines over models of this process."""
    aligned = shared_model(loaded.aligned.model, loaded.aligned.description)
    base = aligned if loaded.shares_weights else shared_model(loaded.base.model, loaded.base.description)
    return make_local(loaded.base, base, "base"), make_local(loaded.aligned, aligned, "aligned")


def make_local(loaded: LoadedModel, shared: SharedModel, side: SideName) -> LocalEngine:
    engine = LocalEngine(
        loaded.model,
        loaded.tokenizer,
        name=loaded.description,
        ends=loaded.end_ids,
        shared=shared,
        side=side,
        revision=loaded.revision,
    )
    if loaded.model.device.type == "cpu":  # a GPU may be lent to a first answer only
        engine.check()
    return engine

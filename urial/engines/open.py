"""From a pair of `models.yaml` to two engines that run it, in this process or behind servers.

Chooses device and precision where the user did not.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from urial.engines.local.choose_runner import WORTH_COMPILING, shared_model
from urial.engines.local.engine import LocalEngine
from urial.engines.local.futures import begin
from urial.engines.local.lm_head import WITHOUT_FLOAT64
from urial.engines.local.sequence import SharedModel
from urial.engines.pair import PairEngines, check_same_tokens
from urial.engines.server import ServerEngine, connect
from urial.pairs import Machine, ModelSpec, Pair, Precision, choose_precision
from urial.progress import Progress, silent
from urial.records import PairInfo, SideName
from urial.shift import statistics as shift
from urial.weights import LoadedModel, LoadedPair, load_model, load_pair_models

AS_SERVED = "as served"  # precision and device of a model that runs elsewhere


@dataclass(frozen=True, slots=True)
class Opened:
    """One side: its engine, and the revision for the record."""

    engine: LocalEngine | ServerEngine
    revision: str | None


def open_pair(
    pair: Pair, *, device: str | None = None, dtype: str | None = None, progress: Progress | None = None
) -> PairEngines:
    """Load both models, or ask their servers, and check that they belong together.

    `dtype` is float32, bfloat16, float16, or int8 / nf4 for quantized weights; None takes the pair's own, else what
    suits the device; a server has its own. Raises WeightsMissing, WeightsError, MismatchError, SettingsError,
    PairsError, and EngineError where a server cannot be reached.
    """
    device = device or default_device()
    precision = choose_precision(pair, Machine.probe(), dtype, device)
    is_served = pair.base.server is not None and pair.aligned.server is not None
    if not is_served:
        begin(lambda: prepare_loops(pair, precision, device))
    loading = Loading(precision, device, progress or silent)
    sides = open_sides(pair, loading)
    base, aligned = sides.base, sides.aligned
    check_same_tokens(base.engine.vocabulary(), aligned.engine.vocabulary(), pair.name)
    return PairEngines(
        info=PairInfo(
            name=pair.name,
            base=base.engine.name,
            aligned=aligned.engine.name,
            dtype=AS_SERVED if is_served else precision.dtype,
            quantization=None if is_served else precision.quantization,
            device=AS_SERVED if is_served else device,
            revisions={"base": base.revision, "aligned": aligned.revision},
        ),
        base=base.engine,
        aligned=aligned.engine,
        vocabulary=min(base.engine.vocabulary_size, aligned.engine.vocabulary_size),
        note=" ".join(filter(None, (pair.note, sides.same))),
        same=sides.same,
    )


def prepare_loops(pair: Pair, precision: Precision, device: str) -> None:
    """Compile beside the loading what a processor will run; what fails here fails again where it is told."""
    on_processor = device == "cpu" and precision.quantization is None
    if on_processor and any(is_worth_compiling(model) for model in pair.local_models):
        from urial.engines.local.compiled_cpu.warmup import warm_up  # a compiler is imported only where it is of use

        warm_up()
    shift.prepare(torch.device("cpu" if device in WITHOUT_FLOAT64 else device))


def is_worth_compiling(spec: ModelSpec) -> bool:
    """Whether its weights are many, as far as can be told before they are read; what comes from the hub usually is."""
    if spec.folder is None:
        return True
    size = sum(path.stat().st_size for path in Path(spec.folder).expanduser().glob("*.safetensors"))
    return size >= 2 * WORTH_COMPILING  # two bytes a weight, or more


@dataclass(frozen=True, slots=True)
class Loading:
    """How weights of this process are loaded, and whom to tell of it."""

    precision: Precision
    device: str
    progress: Progress

    def options(self) -> dict[str, Any]:
        return {
            "dtype": self.precision.dtype,
            "quantization": self.precision.quantization,
            "device": self.device,
            "progress": self.progress,
        }


@dataclass(frozen=True, slots=True)
class Sides:
    """Both sides; `same` says why they are one model, in a sentence for people, and is empty where they are two."""

    base: Opened
    aligned: Opened
    same: str = ""


def open_sides(pair: Pair, loading: Loading) -> Sides:
    """Both engines; weights that both sides name are loaded once, and then both sides go in one batch."""
    if pair.base.server is not None or pair.aligned.server is not None:
        sides = open_side(pair.base, loading, "base"), open_side(pair.aligned, loading, "aligned")
        return Sides(*sides, same=same_server(pair))
    loaded = load_pair_models(pair.base, pair.aligned, **loading.options())
    return Sides(*open_loaded(loaded), same=loaded.same)


def same_server(pair: Pair) -> str:
    """Why both sides are one served model; empty where they are two."""
    base, aligned = pair.base.server, pair.aligned.server
    if base is None or aligned is None or (base.base_url, base.model) != (aligned.base_url, aligned.model):
        return ""
    return (
        f"Base and aligned model are the same (both sides are {base.model} of one server): whatever shift there is "
        "comes from the prompts alone."
    )


def open_loaded(loaded: LoadedPair) -> tuple[Opened, Opened]:
    """Engines over models of this process."""
    aligned = shared_model(loaded.aligned.model, loaded.aligned.description)
    base = aligned if loaded.shares_weights else shared_model(loaded.base.model, loaded.base.description)
    return make_local(loaded.base, base, "base"), make_local(loaded.aligned, aligned, "aligned")


def open_side(spec: ModelSpec, loading: Loading, side: SideName) -> Opened:
    """One model of a pair of which at least one runs behind a server."""
    if spec.server is None:
        loaded = load_model(spec, **loading.options())
        return make_local(loaded, shared_model(loaded.model, loaded.description), side)
    engine = connect(spec, loading.progress)
    return Opened(engine, spec.revision)


def make_local(loaded: LoadedModel, shared: SharedModel, side: SideName) -> Opened:
    engine = LocalEngine(
        loaded.model, loaded.tokenizer, name=loaded.description, ends=loaded.end_ids, shared=shared, side=side
    )
    if loaded.model.device.type == "cpu":  # a GPU may be lent to a first answer only
        engine.check()
    return Opened(engine, loaded.revision)


def default_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"

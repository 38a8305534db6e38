"""What every contestant runs: the same queries, prompts and lengths, with no early end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from urial.compare.request import Request
from urial.compare.side import OpenText
from urial.engines.open import open_loaded
from urial.engines.pair import PairEngines
from urial.pairs import Machine, Pair, choose_precision
from urial.prompts import Method, method
from urial.records import ContextName, PairInfo
from urial.weights import LoadedModel, LoadedPair, load_pair_models

QUERIES = (
    "Give me three tips for staying healthy.",
    "Why is the sky blue in the day and red in the evening?",
    "Write a short letter that invites my neighbours to a garden party.",
)


class EndlessMethod(Method):
    """A method whose answers end at the length limit alone, so that all contestants write as many tokens."""

    __slots__ = ()

    def stops(self) -> OpenText:  # type: ignore[override]  # it stops nowhere, and is used alike
        return OpenText()


@dataclass(frozen=True, slots=True)
class Workload:
    """Loaded models, and how much each contestant writes for each query."""

    pair: Pair
    loaded: LoadedPair
    dtype: str
    device: str
    examples: int
    new_tokens: int

    def of_length(self, new_tokens: int) -> Workload:
        """The same with other answers' lengths."""
        return replace(self, new_tokens=new_tokens)

    def request(
        self, query: str, examples: int | None = None, contexts: Sequence[ContextName] = ("zero_shot", "urial")
    ) -> Request:
        """One comparison; `examples` None takes the workload's own, 0 is the bare query."""
        count = self.examples if examples is None else examples
        chosen = method("urial", count) if count else method("zero_shot")
        endless = EndlessMethod(chosen.name, chosen.examples, chosen.format, chosen.prefix)
        return Request(query=query, method=endless, contexts=tuple(contexts), max_new_tokens=self.new_tokens)


def load(pair: Pair, *, device: str, dtype: str | None, examples: int, new_tokens: int) -> Workload:
    precision = choose_precision(pair, Machine.probe(), dtype, device)
    loaded = load_pair_models(
        pair.base, pair.aligned, dtype=precision.dtype, quantization=precision.quantization, device=device
    )
    return Workload(pair, loaded, precision.quantization or precision.dtype, device, examples, new_tokens)


def endless_engines(work: Workload) -> PairEngines:
    """Our engines over the loaded models, with no token that ends an answer."""
    endless = replace(work.loaded, base=without_ends(work.loaded.base), aligned=without_ends(work.loaded.aligned))
    base, aligned = open_loaded(endless)
    info = PairInfo(
        name=work.pair.name,
        base=base.name,
        aligned=aligned.name,
        dtype=work.dtype,
        quantization=None,
        device=work.device,
        revisions={"base": work.loaded.base.revision, "aligned": work.loaded.aligned.revision},
    )
    vocabulary = min(base.vocabulary_size, aligned.vocabulary_size)
    return PairEngines(info=info, base=base, aligned=aligned, vocabulary=vocabulary)


def without_ends(loaded: LoadedModel) -> LoadedModel:
    return replace(loaded, end_ids=frozenset())

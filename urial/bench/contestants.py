"""Who runs: our path, and what a good user would write today with transformers.

Each contestant is called with a query and returns what it found, so that the answers can be compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from transformers import PreTrainedModel

from urial.bench.workload import Workload
from urial.compare.request import make_prompts
from urial.compare.run import compare, result
from urial.engines.local.scheduler import scheduler
from urial.engines.pair import PairEngines
from urial.records import Comparison, ContextName


@dataclass(frozen=True, slots=True)
class Found:
    """Answers as ids, and base ranks by context; what a contestant does not make is empty."""

    base: list[int]
    aligned: list[int]
    ranks: Mapping[ContextName, list[int | None]]


class Contestant(Protocol):
    name: str

    def run(self, query: str) -> Found: ...


class Ours:
    """This project's comparison; `contexts` empty leaves the scoring out."""

    def __init__(self, work: Workload, engines: PairEngines, name: str, contexts: tuple[ContextName, ...]) -> None:
        self.name = name
        self._work = work
        self._engines = engines
        self._contexts = contexts

    def run(self, query: str) -> Found:
        return self.found(self.record(query))

    def record(self, query: str, examples: int | None = None) -> Comparison:
        return result(compare(self._engines, self._work.request(query, examples, self._contexts)))

    @staticmethod
    def found(record: Comparison) -> Found:
        ranks = {name: [row.base_rank for row in context.tokens] for name, context in record.shift.items()}
        return Found(record.base.token_ids, record.aligned.token_ids, ranks)


class Naive:
    """`generate` on each side, then one whole forward a context: no prefix is reused, [T, V] is materialised."""

    name = "naive"

    def __init__(self, work: Workload, engines: PairEngines) -> None:
        """`engines` make prompts and ids only: nothing of ours runs here."""
        self._work = work
        self._engines = engines
        self._base, self._aligned = work.loaded.base.model, work.loaded.aligned.model

    def run(self, query: str) -> Found:
        """In the thread that ours works in: with a team of cores each, both would be slower."""
        return scheduler().call(lambda: self._run(query))

    @torch.inference_mode()
    def _run(self, query: str) -> Found:
        request = self._work.request(query)
        prompts = make_prompts(self._engines, request)
        base = self._generate(self._base, prompts.base_ids, request.penalties.base)
        aligned = self._generate(self._aligned, prompts.aligned_ids, request.penalties.aligned)
        self._log_probabilities(self._aligned, prompts.aligned_ids, aligned)
        ranks: dict[ContextName, list[int | None]] = {
            name: self._ranks(ids, aligned) for name, ids in prompts.context_ids.items()
        }
        return Found(base, aligned, ranks)

    def _generate(self, model: PreTrainedModel, ids: list[int], penalty: float) -> list[int]:
        tokens = torch.tensor([ids], device=model.device)
        output = cast(Any, model).generate(
            tokens,
            attention_mask=torch.ones_like(tokens),
            max_new_tokens=self._work.new_tokens,
            do_sample=False,
            repetition_penalty=penalty,
            eos_token_id=None,
        )
        return output[0, len(ids) :].tolist()

    @staticmethod
    def _log_probabilities(model: PreTrainedModel, context: list[int], answer: list[int]) -> torch.Tensor:
        """[T, V] for the answer's positions, after [context + T, V] for all."""
        tokens = torch.tensor([context + answer], device=model.device)
        return model(tokens).logits.float().log_softmax(-1)[0, len(context) - 1 : -1]

    def _ranks(self, context: list[int], answer: list[int]) -> list[int | None]:
        found = self._log_probabilities(self._base, context, answer)
        chosen = found.gather(1, torch.tensor(answer, device=found.device)[:, None])
        return (1 + (found > chosen).sum(-1)).tolist()

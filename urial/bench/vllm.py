"""vLLM doing the two generations, on a server that is already up: greedy, ids in and ids out, no scoring.

Both sides are asked at once, as its users would.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from urial.bench.contestants import Found
from urial.bench.workload import Workload
from urial.compare.request import make_prompts
from urial.engines.pair import PairEngines
from urial.errors import EngineError, SettingsError

PATIENCE = 600  # seconds for one answer


class Vllm:
    """The served base, and its LoRA where one is served (else the base again: the cost is what counts)."""

    name = "vllm"

    def __init__(
        self, work: Workload, engines: PairEngines, url: str, transport: httpx.BaseTransport | None = None
    ) -> None:
        """`transport`: None goes over the network."""
        self._work = work
        self._engines = engines
        self._client = httpx.Client(base_url=url.rstrip("/"), timeout=PATIENCE, transport=transport)
        self._base, self._aligned = self._served()

    def run(self, query: str) -> Found:
        request = self._work.request(query)
        prompts = make_prompts(self._engines, request)
        asked = [
            (self._base, prompts.base_ids, request.penalties.base),
            (self._aligned, prompts.aligned_ids, request.penalties.aligned),
        ]
        with ThreadPoolExecutor(2) as both:
            base, aligned = both.map(lambda one: self._complete(*one), asked)
        return Found(base, aligned, {})

    def _served(self) -> tuple[str, str]:
        """Names of the served base and of its adapter."""
        models = self._ask("GET", "/v1/models")["data"]
        base = next((model["id"] for model in models if not model.get("parent")), None)
        if base is None:
            raise SettingsError(f"The server at {self._client.base_url} serves no model; docs/serving.md says how to.")
        return base, next((model["id"] for model in models if model.get("parent")), base)

    def _complete(self, model: str, ids: list[int], penalty: float) -> list[int]:
        request = {
            "model": model,
            "prompt": ids,
            "max_tokens": self._work.new_tokens,
            "temperature": 0,
            "repetition_penalty": penalty,
            "ignore_eos": True,
            "return_token_ids": True,
        }
        return self._ask("POST", "/v1/completions", json=request)["choices"][0]["token_ids"]

    def _ask(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        try:
            answer = self._client.request(method, path, **more)
            answer.raise_for_status()
            return answer.json()
        except (httpx.HTTPError, ValueError) as error:
            where = f"The server at {self._client.base_url}"
            raise EngineError(f"{where} did not answer {path} as vLLM does: {error}") from error

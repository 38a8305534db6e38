"""The named endpoints: `/compare`, `/score`, `/pairs`, for `gradio_client`, plain HTTP and MCP.

Each docstring is what a caller reads. Knows Gradio and the service; the page itself uses none of these.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import gradio as gr

from urial import compare as core
from urial.errors import UrialError
from urial.records import Comparison
from urial.ui import asking
from urial.ui.asking import Ask
from urial.ui.compare_tab import MODEL_WORK
from urial.ui.serving import Service
from urial.ui.tasks import CompareTask, ScoreTask, Task


def add_endpoints(service: Service, default_pair: str, parallel: int) -> None:
    """Register the endpoints, inside an open Blocks."""
    waits = {"concurrency_id": MODEL_WORK, "concurrency_limit": parallel}
    gr.api(compare_endpoint(service, default_pair), api_name="compare", **waits)
    gr.api(score_endpoint(service, default_pair), api_name="score", **waits)
    gr.api(pairs_endpoint(service), api_name="pairs")


def compare_endpoint(service: Service, default_pair: str) -> Callable[..., dict[str, Any]]:
    def compare(
        query: str,
        request: gr.Request,
        pair: str = default_pair,
        method: str = "urial",
        examples: int | None = None,
        temperature: float = 0.0,
        top_p: float = 1.0,
        max_new_tokens: int = 256,
        seed: int = 0,
    ) -> dict[str, Any]:
        """Ask a base model and its chat-tuned sibling the same question and measure how far tuning moved each token.

        Args:
            query: the question or task, at most 50,000 characters.
            pair: the name of a pair, see /pairs.
            method: how the base is prompted: urial, urial_no_refusal, vanilla_icl or zero_shot.
            examples: for the two urial methods, 0, 1, 3 or 8; leave it out for the method's own number.
            temperature: 0 is greedy.
            top_p: above 0 and up to 1.
            max_new_tokens: for each side, at most 1024.
            seed: for sampled answers.

        Returns:
            A record urial.comparison/1: both answers, and for each context (zero_shot: the base sees the question only;
            urial: it sees the whole prompt) one row for every token of the aligned answer with its base_rank, class,
            probabilities, kl in nats and both top-10 lists.
        """
        values = {
            "query": query,
            "pair": pair,
            "method": method,
            "examples": examples,
            "temperature": temperature,
            "top_p": top_p,
            "max_new_tokens": max_new_tokens,
            "seed": seed,
        }
        return answer(lambda: run_compare(service, values, str(request.session_hash)))

    return compare


def score_endpoint(service: Service, default_pair: str) -> Callable[..., dict[str, Any]]:
    def score(
        query: str,
        answer_text: str,
        request: gr.Request,
        pair: str = default_pair,
        method: str = "urial",
        examples: int | None = None,
    ) -> dict[str, Any]:
        """Measure the token distribution shift of a given answer instead of a generated one.

        Args:
            query: the question that the answer is for.
            answer_text: the answer to score, taken as the aligned model's.
            pair: the name of a pair, see /pairs.
            method: how the base is prompted: urial, urial_no_refusal, vanilla_icl or zero_shot.
            examples: for the two urial methods, 0, 1, 3 or 8; leave it out for the method's own number.

        Returns:
            A record urial.comparison/1; the base's own answer in it is empty.
        """
        values = {"query": query, "pair": pair, "method": method, "examples": examples}
        return answer(lambda: run_score(service, values, answer_text, str(request.session_hash)))

    return score


def pairs_endpoint(service: Service) -> Callable[[], list[dict[str, Any]]]:
    def pairs() -> list[dict[str, Any]]:
        """List the pairs of models that can be asked for.

        Returns:
            For each pair its name, title, licence, a note, and its state: absent, loading, ready or failed.
        """
        return [
            {
                "name": name,
                "title": pair.title,
                "licence": pair.licence,
                "note": pair.note,
                "state": service.room.status(name).state,
            }
            for name, pair in service.room.pairs.items()
        ]

    return pairs


def answer(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The record, or gr.Error with one sentence."""
    try:
        return work()
    except UrialError as error:
        raise gr.Error(str(error), print_exception=False) from error


def run_compare(service: Service, values: dict[str, Any], visitor: str) -> dict[str, Any]:
    """Raises UrialError. A kept answer is given without running anything."""
    ask = asking.parse({key: value for key, value in values.items() if value is not None})
    kept = service.results.get(service.key(ask))
    if kept is not None:
        return kept.comparison().model_dump(by_alias=True)
    comparison = run(service, ask, visitor, CompareTask(asking.to_request(ask)))
    service.remember(ask, comparison)
    return comparison.model_dump(by_alias=True)


def run_score(service: Service, values: dict[str, Any], answer_text: str, visitor: str) -> dict[str, Any]:
    """Raises UrialError."""
    ask = asking.parse({key: value for key, value in values.items() if value is not None})
    return run(service, ask, visitor, ScoreTask(asking.to_request(ask), answer_text)).model_dump(by_alias=True)


def run(service: Service, ask: Ask, visitor: str, task: Task) -> Comparison:
    """Wait for the models, read the stream to its end; a visitor who leaves stops it."""
    current = service.runs.open(secrets.token_hex(16), visitor)
    try:
        while not service.room.wait(ask.pair, 1.0):
            if current.is_stopped:
                raise UrialError("Stopped before the models were ready.")
        with service.room.lend(ask.pair) as engines:
            if engines is None:
                raise UrialError("The models are being exchanged for another pair; ask again in a moment.")
            events = service.perform(ask.pair, engines, task, current.control)
            return core.result(events)
    finally:
        service.runs.close(current)

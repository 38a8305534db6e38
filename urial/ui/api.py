"""The named endpoints (`/compare`, `/score`, `/dial` and others), for `gradio_client`, plain HTTP and MCP.

Each docstring is what a caller reads, one line for each argument: Gradio reads them so. It also reads the types, and as
they are: annotations must not be kept as text here. The page itself uses none of these.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import gradio as gr

from urial.errors import SettingsError, UrialError
from urial.records import Comparison
from urial.ui import asking
from urial.ui.api_brief import brief as in_brief
from urial.ui.api_partial import growing
from urial.ui.api_steering import dial_endpoint, nudge_endpoint
from urial.ui.api_types import AlignedMethodName, ComparisonJson, MessageJson, MethodName, PairJson
from urial.ui.asking import Ask
from urial.ui.service import Service
from urial.ui.tasks import CompareTask, ScoreTask
from urial.ui.work import Work

Values = Mapping[str, Any]
Result = TypeVar("Result")


def add_endpoints(service: Service, default_pair: str) -> None:
    """Register the endpoints, inside an open Blocks; model work waits in the service's own line."""
    waits: dict[str, Any] = {"concurrency_limit": None}
    api: Any = gr.api  # type: ignore[attr-defined]  # gradio documents it and does not export it
    api(compare_endpoint(service, default_pair), api_name="compare", **waits)
    api(brief_endpoint(service, default_pair), api_name="brief", **waits)
    api(score_endpoint(service, default_pair), api_name="score", **waits)
    api(dial_endpoint(service, default_pair), api_name="dial", **waits)
    api(nudge_endpoint(service, default_pair), api_name="nudge", **waits)
    api(pairs_endpoint(service), api_name="pairs")


def compare_endpoint(service: Service, default_pair: str) -> Callable[..., ComparisonJson]:
    def compare(
        query: str,
        request: gr.Request,
        pair: str = default_pair,
        method: MethodName = "urial",
        examples: int | None = None,
        history: list[MessageJson] | None = None,
        temperature: float = 0.0,
        top_p: float = 1.0,
        base_penalty: float = 1.1,
        aligned_penalty: float = 1.0,
        max_new_tokens: int = 256,
        seed: int = 0,
        aligned_method: AlignedMethodName = "chat",
    ) -> ComparisonJson:
        """Ask a base model and its chat-tuned sibling the same question and measure how far tuning moved each token.

        Args:
            query: the question or task, at most 50,000 characters.
            pair: the name of a pair, see /pairs.
            method: how the base is prompted: urial, urial_no_refusal, vanilla_icl,
                retrieval_icl, icil or zero_shot.
            examples: for the two urial methods, 0, 1, 3 or 8; leave it out for the method's own number.
            history: earlier turns, a user's message and an answer in turn; leave it out for a first question.
            temperature: 0 is greedy, at most 5.
            top_p: above 0 and up to 1.
            base_penalty: repetition penalty of the base, 1 for none.
            aligned_penalty: repetition penalty of the sibling, 1 for none.
            max_new_tokens: for each side, at most 1024.
            seed: for sampled answers.
            aligned_method: chat asks the sibling the question as it is, and s2a has it rewrite the question
                without opinion and distraction first (System 2 Attention; the record has both calls).

        Returns:
            A record urial.comparison/1 with both answers
            and for each context (zero_shot is the question alone and urial the whole prompt)
            one row for every token of the aligned answer with its base_rank and class
            probabilities
            kl in nats and both top-10 lists (a row of class unscored has null for what could not be had)
            texts and summaries grow for a client that streams and rows come with the last
            some 2,000 characters for each token: see /brief for less.
        """
        values = {
            "query": query,
            "pair": pair,
            "method": method,
            "examples": examples,
            "history": history,
            "temperature": temperature,
            "top_p": top_p,
            "base_penalty": base_penalty,
            "aligned_penalty": aligned_penalty,
            "max_new_tokens": max_new_tokens,
            "seed": seed,
            "aligned_method": aligned_method,
        }
        yield from answers(lambda: watch_compare(service, values, visitor(request)))

    return compare


def brief_endpoint(service: Service, default_pair: str) -> Callable[..., str]:
    def brief(
        query: str,
        request: gr.Request,
        pair: str = default_pair,
        method: MethodName = "urial",
        examples: int | None = None,
        history: list[MessageJson] | None = None,
        max_new_tokens: int = 256,
    ) -> str:
        """Compare a base model with its chat-tuned sibling, told in brief: both answers and where tuning shows most.

        Args:
            query: the question or task, at most 50,000 characters.
            pair: the name of a pair, see /pairs.
            method: how the base is prompted: urial, urial_no_refusal, vanilla_icl,
                retrieval_icl, icil or zero_shot.
            examples: for the two urial methods, 0, 1, 3 or 8; leave it out for the method's own number.
            history: earlier turns, a user's message and an answer in turn; leave it out for a first question.
            max_new_tokens: for each side, at most 1024.

        Returns:
            JSON text with both answers (greedy)
            and for each context (zero_shot is the question alone and urial the whole prompt)
            the shares unshifted, marginal and shifted, and the most shifted tokens.
        """
        values = {
            "query": query,
            "pair": pair,
            "method": method,
            "examples": examples,
            "history": history,
            "max_new_tokens": max_new_tokens,
        }
        return answer(lambda: in_brief(run_compare(service, values, visitor(request))))

    return brief


def score_endpoint(service: Service, default_pair: str) -> Callable[..., ComparisonJson]:
    def score(
        query: str,
        answer_text: str,
        request: gr.Request,
        pair: str = default_pair,
        method: MethodName = "urial",
        examples: int | None = None,
        history: list[MessageJson] | None = None,
    ) -> ComparisonJson:
        """Measure the token distribution shift of a given answer instead of a generated one.

        Args:
            query: the question that the answer is for.
            answer_text: the answer to score, taken as the aligned model's.
            pair: the name of a pair, see /pairs.
            method: how the base is prompted: urial, urial_no_refusal, vanilla_icl,
                retrieval_icl, icil or zero_shot.
            examples: for the two urial methods, 0, 1, 3 or 8; leave it out for the method's own number.
            history: earlier turns, a user's message and an answer in turn; leave it out for a first question.

        Returns:
            A record urial.comparison/1; the base's own answer in it is empty.
        """
        values = {"query": query, "pair": pair, "method": method, "examples": examples, "history": history}
        return answer(lambda: as_json(run_score(service, values, answer_text, visitor(request))))

    return score


def pairs_endpoint(service: Service) -> Callable[[], list[PairJson]]:
    def pairs() -> list[PairJson]:
        """List the pairs of models that can be asked for.

        Returns:
            For each pair its name, title, licence, a note, its state (absent, loading, ready or failed)
            and a message where there is more to say of that.
        """
        return [listed(service, name) for name in service.models.pairs]

    return pairs


def listed(service: Service, name: str) -> PairJson:
    pair, status = service.models.pairs[name], service.models.status(name)
    return PairJson(
        name=name,
        title=pair.title,
        licence=pair.licence,
        note=pair.note,
        state=status.state,
        message=status.message,
    )


def visitor(request: gr.Request) -> str:
    return str(request.session_hash)


def as_json(comparison: Comparison) -> dict[str, Any]:
    return comparison.model_dump(by_alias=True)


def answer(work: Callable[[], Result]) -> Result:
    """What the work gives, or gr.Error with one sentence."""
    try:
        return work()
    except UrialError as error:
        raise gr.Error(str(error), print_exception=False) from error


def answers(work: Callable[[], Iterator[Comparison]]) -> Iterator[dict[str, Any]]:
    """Each record as JSON values as it comes, or gr.Error with one sentence."""
    try:
        for comparison in work():
            yield as_json(comparison)
    except UrialError as error:
        raise gr.Error(str(error), print_exception=False) from error


def parse(values: Values) -> Ask:
    """What is asked; None stands for what was left out. Raises SettingsError or PromptError."""
    return asking.parse({name: value for name, value in values.items() if value is not None})


def run_compare(service: Service, values: Values, visitor: str) -> Comparison:
    """Raises UrialError. A kept answer is given without running anything, an equal question that runs is joined."""
    ask = parse(values)
    return service.record(Work(ask, CompareTask(asking.to_request(ask)), reusable=True), visitor)


def watch_compare(service: Service, values: Values, visitor: str) -> Iterator[Comparison]:
    """Records that grow while the answers are written, the whole one last. Raises UrialError."""
    ask = parse(values)
    request = asking.to_request(ask)
    work = Work(ask, CompareTask(request), reusable=True)
    return growing(service.events(work, visitor), request)


def run_score(service: Service, values: Values, answer_text: object, visitor: str) -> Comparison:
    """Raises UrialError."""
    if not isinstance(answer_text, str):
        raise SettingsError("The answer to score must be a text; send it as a string.")
    ask = parse(values)
    return service.record(Work(ask, ScoreTask(asking.to_request(ask), answer_text)), visitor)

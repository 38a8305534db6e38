"""The named endpoints `/dial` and `/nudge`; see `api.py` for how Gradio reads them.

Annotations must not be kept as text here.
"""

from collections.abc import Callable, Iterator
from typing import Any, Literal, cast

import gradio as gr

from urial.compare.steering_events import SteeringEvent
from urial.errors import UrialError
from urial.steering_records import DialRecord, NudgeRecord
from urial.ui import steering
from urial.ui.api_types import AlignedMethodName, MessageJson, MethodName, json_type
from urial.ui.service import Service
from urial.ui.work import Work

DialJson: Any = json_type(DialRecord)
NudgeJson: Any = json_type(NudgeRecord)
Context = Literal["zero_shot", "urial"]
Kind = Literal["logits", "adapter"]


def dial_endpoint(service: Service, default_pair: str) -> Callable[..., DialJson]:
    def dial(
        query: str,
        request: gr.Request,
        pair: str = default_pair,
        at: list[float] | None = None,
        context: Context = "zero_shot",
        kind: Kind = "logits",
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
    ) -> DialJson:
        """Answer a question at several amounts of alignment between a base model and its chat-tuned sibling.

        Args:
            query: the question or task, at most 50,000 characters.
            pair: the name of a pair that runs on this machine, see /pairs.
            at: amounts from 0 (the base) to 1 (the aligned model) and up to 1.5; leave it out for five of them.
            context: what the base sees, zero_shot for the question alone or urial for the whole prompt.
            kind: logits mixes what both models say, adapter scales the adapter of one in the chat template.
            method: how the base is prompted: urial, urial_no_refusal, vanilla_icl or zero_shot.
            examples: for the two urial methods, 0, 1, 3 or 8; leave it out for the method's own number.
            history: earlier turns, a user's message and an answer in turn; leave it out for a first question.
            temperature: 0 is greedy, at most 5.
            top_p: above 0 and up to 1.
            base_penalty: repetition penalty of the base, 1 for none.
            aligned_penalty: repetition penalty of the sibling, 1 for none.
            max_new_tokens: for each position, at most 1024.
            seed: the same at all positions.
            aligned_method: chat asks the question as it is, s2a has the sibling rewrite it first (the record has it).

        Returns:
            A record urial.dial/1 with the answer at each position
            and the switch points of the answer at 1 (how much alignment each of its tokens needs)
            texts grow for a client that streams.
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
        yield from answers(service, lambda: steering.dial_work(known(values), at, context, kind), request)

    return dial


def nudge_endpoint(service: Service, default_pair: str) -> Callable[..., NudgeJson]:
    def nudge(
        query: str,
        rule: str,
        request: gr.Request,
        pair: str = default_pair,
        context: Context = "urial",
        method: MethodName = "urial",
        examples: int | None = None,
        history: list[MessageJson] | None = None,
        base_penalty: float = 1.1,
        aligned_penalty: float = 1.0,
        max_new_tokens: int = 256,
        aligned_method: AlignedMethodName = "chat",
    ) -> NudgeJson:
        """Let a base model answer while its chat-tuned sibling gives it single tokens where a rule fires.

        Args:
            query: the question or task, at most 50,000 characters.
            rule: rank>R (its first choice is below R on the base's list), confidence<g (of the base), or first:k.
            pair: the name of a pair that runs on this machine, see /pairs.
            context: what the base sees, zero_shot for the question alone or urial for the whole prompt.
            method: how the base is prompted: urial, urial_no_refusal, vanilla_icl or zero_shot.
            examples: for the two urial methods, 0, 1, 3 or 8; leave it out for the method's own number.
            history: earlier turns, a user's message and an answer in turn; leave it out for a first question.
            base_penalty: repetition penalty of the base, 1 for none.
            aligned_penalty: repetition penalty of the sibling, 1 for none.
            max_new_tokens: at most 1024.
            aligned_method: chat asks the sibling the question as it is, and s2a has it rewrite the question
                without opinion and distraction first (System 2 Attention; the record has that call).

        Returns:
            A record urial.nudge/1 with the answer and the positions of the given tokens
            it grows for a client that streams.
        """
        values = {
            "query": query,
            "pair": pair,
            "method": method,
            "examples": examples,
            "history": history,
            "base_penalty": base_penalty,
            "aligned_penalty": aligned_penalty,
            "max_new_tokens": max_new_tokens,
            "aligned_method": aligned_method,
        }
        yield from answers(service, lambda: steering.nudge_work(known(values), rule, context), request)

    return nudge


def known(values: dict[str, Any]) -> dict[str, Any]:
    """None stands for what was left out."""
    return {name: value for name, value in values.items() if value is not None}


def answers(service: Service, prepare: Callable[[], Work], request: gr.Request) -> Iterator[dict[str, Any]]:
    """Each record as JSON values as it comes, or gr.Error with one sentence."""
    try:
        events = service.events(prepare(), str(request.session_hash))
        for record in steering.growing(cast(Iterator[list[SteeringEvent]], events)):
            yield record.model_dump(by_alias=True)
    except UrialError as error:
        raise gr.Error(str(error), print_exception=False) from error

"""What is asked of a comparison, and the exact texts and ids that the models are given for it.

Read `run.py` next.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal

from urial.engines.base import Sampling
from urial.engines.pair import PairEngines
from urial.engines.sampling import check_sampling
from urial.prompts import Method, check_history, check_query
from urial.records import ContextName, Message, Rewrite, Settings, SideName, SidePenalties, SideSettings

AlignedMethod = Literal["chat", "s2a"]
ALL_CONTEXTS: tuple[ContextName, ...] = ("zero_shot", "urial")


def paper_penalties() -> SidePenalties:
    """The paper's decoding (section 4.1): 1.1 on the base, none on the aligned model."""
    return SidePenalties(base=1.1, aligned=1.0)


@dataclass(frozen=True, slots=True)
class Request:
    """A query with its earlier turns, the base's method, and how to decode; `own` goes before the rest for a side."""

    query: str
    method: Method
    history: tuple[Message, ...] = ()
    contexts: tuple[ContextName, ...] = ALL_CONTEXTS
    temperature: float = 0.0
    top_p: float = 1.0
    penalties: SidePenalties = field(default_factory=paper_penalties)
    max_new_tokens: int = 256
    seed: int = 0
    own: Mapping[SideName, Sampling] = field(default_factory=dict)
    aligned_method: AlignedMethod = "chat"
    rewrite: Rewrite | None = None  # made by `s2a_rewrite.py` under s2a: what the aligned side is asked instead

    def sampling(self, side: SideName) -> Sampling:
        shared = Sampling(
            temperature=self.temperature,
            top_p=self.top_p,
            repetition_penalty=self.penalties.base if side == "base" else self.penalties.aligned,
            max_new_tokens=self.max_new_tokens,
            seed=self.seed,
        )
        return self.own.get(side, shared)

    def decoding(self, side: SideName) -> SideSettings:
        """How that side is decoded, for the record."""
        return SideSettings(**asdict(self.sampling(side)))

    def settings(self) -> Settings:
        return Settings(
            method=self.method.name,
            examples=self.method.examples,
            temperature=self.temperature,
            top_p=self.top_p,
            repetition_penalty=self.penalties,
            max_new_tokens=self.max_new_tokens,
            seed=self.seed,
            retrieved=self.method.retrieved(self.query),
        )


def checked(request: Request) -> Request:
    """The same request. Raises PromptError or SettingsError for what no model could answer, before any is loaded."""
    check_query(request.query)
    check_history(request.history)
    check_sampling(request.sampling("base"))
    check_sampling(request.sampling("aligned"))
    return request


class Control:
    """Stops one side or both from another thread; takes effect within one step."""

    def __init__(self) -> None:
        self._stopped: dict[SideName, threading.Event] = {"base": threading.Event(), "aligned": threading.Event()}

    def stop(self, side: SideName) -> None:
        self._stopped[side].set()

    def stop_all(self) -> None:
        for event in self._stopped.values():
            event.set()

    def is_stopped(self, side: SideName) -> bool:
        return self._stopped[side].is_set()


@dataclass(frozen=True, slots=True)
class Prompts:
    """All texts that the models are given, with their ids; `constant_ids` begin every base prompt of the method."""

    base: str
    aligned: str
    base_ids: list[int]
    aligned_ids: list[int]
    constant_ids: list[int]
    contexts: dict[ContextName, str]
    context_ids: dict[ContextName, list[int]]

    def ids(self, side: SideName) -> list[int]:
        return self.base_ids if side == "base" else self.aligned_ids

    def texts(self) -> dict[SideName, str]:
        return {"base": self.base, "aligned": self.aligned}

    def counts(self) -> dict[SideName, int]:
        """Tokens of each side's prompt."""
        return {"base": len(self.base_ids), "aligned": len(self.aligned_ids)}


def make_prompts(engines: PairEngines, request: Request) -> Prompts:
    """Render and encode everything. Raises PromptError, MismatchError or SettingsError where it cannot be run."""
    check_query(request.query)
    base = request.method.render(request.query, request.history)
    asked = request.rewrite.asked if request.rewrite else request.query
    aligned = engines.aligned.render_chat([*request.history, Message(role="user", content=asked)])
    contexts = context_texts(request, base)
    base_ids = engines.base.encode(base)
    prompts = Prompts(
        base=base,
        aligned=aligned,
        base_ids=base_ids,
        aligned_ids=engines.aligned.encode_chat(aligned),
        constant_ids=constant_start(engines, request.method, base_ids),
        contexts=contexts,
        context_ids={name: engines.base.encode(text) for name, text in contexts.items()},
    )
    for side in ("base", "aligned"):
        engines.side(side).check_length(len(prompts.ids(side)), request.sampling(side).max_new_tokens)
    return prompts


def context_texts(request: Request, base: str) -> dict[ContextName, str]:
    """What the base sees when it scores: the query alone in the method's format, and the method's own prompt."""
    zero_shot = request.method.bare().render(request.query, request.history)
    texts: dict[ContextName, str] = {"zero_shot": zero_shot, "urial": base}
    return {name: texts[name] for name in request.contexts}


def constant_start(engines: PairEngines, method: Method, base_ids: Sequence[int]) -> list[int]:
    """The ids that the method's constant text and this prompt both begin with: a token may reach over its end."""
    constant = engines.base.encode(method.prefix) if method.prefix else []
    same = 0
    while same < min(len(constant), len(base_ids)) and constant[same] == base_ids[same]:
        same += 1
    return constant[:same]


def forget(engines: PairEngines, prompts: Prompts) -> None:
    """Free what the engines keep for these prompts; the method's constant beginning stays for the next query."""
    engines.aligned.forget(prompts.aligned_ids)
    for ids in [prompts.base_ids, *prompts.context_ids.values()]:
        if ids != prompts.constant_ids:
            engines.base.forget(ids)

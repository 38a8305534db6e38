"""From what a comparison has brought to its record: sides, shift, settings, what failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from urial.compare.live_scoring import Growing
from urial.compare.request import Prompts, Request
from urial.engines.pair import PairEngines
from urial.records import (
    Comparison,
    ContextName,
    ContextShift,
    Problem,
    Settings,
    Side,
    SideName,
    SideSettings,
)
from urial.shares import summarize


def own_settings(request: Request, settings: Settings, names: Sequence[SideName]) -> dict[SideName, SideSettings]:
    """Of the sides that are decoded otherwise than `settings` say."""
    decoding = {name: request.decoding(name) for name in names}
    return {name: found for name, found in decoding.items() if found != settings.of(name)}


def kept_problems(earlier: Comparison | None, names: Sequence[SideName]) -> list[Problem]:
    """Of what is taken over from an earlier comparison; the shift is the aligned side's."""
    if earlier is None:
        return []
    return [problem for problem in earlier.problems if (problem.name or "aligned") not in names]


def make_shift(engines: PairEngines, prompts: Prompts, rows: Growing) -> dict[ContextName, ContextShift]:
    return {
        name: ContextShift(
            context=prompts.contexts[name],
            context_ids=prompts.context_ids[name],
            exact=engines.is_exact,
            summary=summarize(found),
            tokens=found,
        )
        for name, found in rows.items()
    }


def make_record(
    engines: PairEngines,
    request: Request,
    sides: Mapping[SideName, Side],
    shift: dict[ContextName, ContextShift],
) -> Comparison:
    return Comparison(
        query=request.query,
        history=list(request.history),
        pair=engines.info,
        settings=request.settings(),
        base=sides["base"],
        aligned=sides["aligned"],
        shift=shift,
        rewrite=request.rewrite,
    )


def given_sides(prompts: Prompts, ids: list[int], text: str) -> dict[SideName, Side]:
    """The sides of a scored answer: nothing was generated, so there are no times."""
    timeless = {"stop_reason": "stop", "seconds": 0.0, "first_token_seconds": None, "tokens_per_second": None}
    return {
        "base": Side(prompt=prompts.base, prompt_ids=prompts.base_ids, text="", token_ids=[], **timeless),
        "aligned": Side(prompt=prompts.aligned, prompt_ids=prompts.aligned_ids, text=text, token_ids=ids, **timeless),
    }

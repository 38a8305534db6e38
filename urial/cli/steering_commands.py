"""What `dial` and `nudge` do, from parsed arguments to output. Arguments themselves are in `main.py`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from urial import steering_records
from urial.cli.commands import chosen_method, history, open_engines, rewrite_lines, shows_progress, write
from urial.errors import EngineError, SettingsError
from urial.progress import Bar
from urial.records import ContextName, SidePenalties
from urial.steering_records import DialKind, DialPosition, DialRecord, NudgeRecord

if TYPE_CHECKING:  # commands import what is heavy only when they run
    from urial.compare.request import Request
    from urial.compare.steering_events import SteeringEvent

CONTEXTS: tuple[ContextName, ...] = get_args(ContextName)
DIAL_KINDS: tuple[DialKind, ...] = get_args(DialKind)
Choice = TypeVar("Choice", bound=str)
ENDS = {"stop": "ends by itself", "length": "at the length limit", "cancelled": "stopped", "error": "failed"}


def dial(options: argparse.Namespace) -> int:
    from urial.compare import dial as core

    at, kind = core.checked_positions(numbers(options.at)), one_of(options.kind, DIAL_KINDS, "--kind")
    context = one_of(options.context, CONTEXTS, "--context")
    sampling = {"temperature": options.temperature, "top_p": options.top_p, "seed": options.seed}
    request = checked_request(options, sampling)
    engines = open_engines(options)
    record = follow(core.dial(engines, request, at, context, kind), engines.preparing, options)
    return finish(record, dial_text, options)


def nudge(options: argparse.Namespace) -> int:
    from urial.compare import nudge as core
    from urial.compare.nudge_rules import parse_rule

    rule, context = parse_rule(options.rule), one_of(options.context, CONTEXTS, "--context")
    request = checked_request(options, {})
    engines = open_engines(options)
    record = follow(core.nudge(engines, request, rule, context), engines.preparing, options)
    return finish(record, nudge_text, options)


def numbers(text: str) -> list[float]:
    """Positions with a comma between. Raises SettingsError."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise SettingsError(f"--at {text!r}: write numbers with a comma between, such as 0,0.5,1.") from None


def one_of(value: str, known: tuple[Choice, ...], flag: str) -> Choice:
    """The choice by its name. Raises SettingsError."""
    for choice in known:
        if choice == value:
            return choice
    raise SettingsError(f"{flag} {value!r}: choose {' or '.join(known)}.")


def checked_request(options: argparse.Namespace, sampling: dict[str, Any]) -> Request:
    """Before any weights are loaded. Raises PromptError or SettingsError."""
    from urial.compare.request import Request, checked

    request = Request(
        query=options.query,
        method=chosen_method(options),
        history=history(options),
        penalties=SidePenalties(base=options.base_penalty, aligned=options.aligned_penalty),
        max_new_tokens=options.max_new_tokens,
        aligned_method=options.aligned_method,
    )
    return checked(replace(request, **sampling))


def follow(events: Iterator[SteeringEvent], preparing: str, options: argparse.Namespace) -> DialRecord | NudgeRecord:
    """The record at the end of the stream."""
    from urial.compare.steering_events import NudgeToken, PositionToken, SteeringDone

    with Bar(" tokens", is_shown=shows_progress(options)) as bar:
        bar.report(preparing, None)
        for event in events:
            if isinstance(event, PositionToken | NudgeToken):
                bar.label("")
                bar.step()
            elif isinstance(event, SteeringDone):
                return event.record
    raise EngineError("The answers ended without a result; run it again.")


def finish(record: DialRecord | NudgeRecord, as_text: Callable[..., str], options: argparse.Namespace) -> int:
    """Print and write what was asked for. Raises EngineError with the first failure, after that."""
    print(steering_records.to_json(record) if options.json else as_text(record))
    if options.save:
        write(options.save, steering_records.to_json(record, indent=1))
    if record.problems:
        raise EngineError(record.problems[0])
    return 0


def dial_text(record: DialRecord) -> str:
    """For a reader at a terminal."""
    parts = rewrite_lines(record.rewrite)
    parts += [f"{position_title(position)}\n{position.text.strip()}\n" for position in record.positions]
    needed = [switch for switch in record.switch_points if switch is not None]
    if needed:
        free = sum(switch == 0 for switch in needed)
        parts.append(f"{free} of {len(needed)} tokens of the aligned answer need no alignment.")
    return "\n".join(parts)


def position_title(position: DialPosition) -> str:
    shifted = "" if position.shifted is None else f", {100 * position.shifted:.1f} % shifted"
    declines = ", declines by its words" if position.declines else ""
    return f"AT {position.at:g} ({len(position.token_ids)} tokens{shifted}, {ENDS[position.stop_reason]}{declines})"


def nudge_text(record: NudgeRecord) -> str:
    """Given tokens stand in brackets."""
    given = set(record.given)
    marked = "".join(f"[{text}]" if i in given else text for i, text in enumerate(record.token_texts))
    lines = [
        *rewrite_lines(record.rewrite),
        marked.strip(),
        "",
        f"{steering_records.given_words(record)}, {ENDS[record.stop_reason]}",
    ]
    if record.mean_log_probability is not None:
        lines[-1] += f", mean log-probability {record.mean_log_probability:.2f} nats under the aligned model"
    return "\n".join(lines)

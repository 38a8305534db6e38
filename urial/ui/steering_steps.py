"""Events of the dial and of nudging as steps for the page: only what is new; how they travel is in `page_steps.py`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from urial.compare.events import Failed
from urial.compare.steering_events import (
    NudgeToken,
    PositionDone,
    PositionToken,
    SteeringDone,
    SteeringStarted,
)
from urial.steering_records import DialPosition, DialRecord, NudgeRecord, given_words
from urial.ui.page_steps import Step


def steering_steps(events: Iterable[object]) -> list[Step]:
    """Tokens that follow each other are one step; any other step stands where its event did."""
    steps: list[Step] = []
    for event in events:
        match event:
            case SteeringStarted(record):
                steps.append(["steerStart", {"at": places(record)}])
            case PositionToken(index, _, text):
                grown = _open(steps, "dialAppend", {}).setdefault(str(index), {"text": "", "tokens": 0})
                grown["text"] += text
                grown["tokens"] += 1
            case PositionDone(index, position):
                steps.append(["dialDone", {"index": index, **position_facts(position)}])
            case NudgeToken(_, text, is_given):
                _open(steps, "nudgeAppend", {"pieces": []})["pieces"].append([text, is_given])
            case Failed(_, message):
                steps.append(["steerFail", {"message": message}])
            case SteeringDone(record):
                steps.append(["steerDone", nudge_facts(record) if isinstance(record, NudgeRecord) else {}])
    return steps


def _open(steps: list[Step], name: str, empty: dict[str, Any]) -> dict[str, Any]:
    """The argument of the open step of that name; a step of another kind closes it."""
    if not steps or steps[-1][0] != name:
        steps.append([name, empty])
    return steps[-1][1]


def places(record: DialRecord | NudgeRecord) -> list[float]:
    """The amounts of alignment that are asked for; none for nudging."""
    return [position.at for position in record.positions] if isinstance(record, DialRecord) else []


def position_facts(position: DialPosition) -> dict[str, Any]:
    """All but the text, which has been sent; `counted` tokens are what the share is over, which leaves out `ends`."""
    return {
        "tokens": len(position.token_ids),
        "shifted": position.shifted,
        "counted": position.tokens,
        "ends": sum(rank is not None for rank in position.base_ranks) - position.tokens,
        "stop_reason": position.stop_reason,
        "declines": position.declines,
    }


def nudge_facts(record: NudgeRecord) -> dict[str, Any]:
    """The answer in its pieces, and what is said of it."""
    return {
        "pieces": pieces(record),
        "words": given_words(record),
        "stop_reason": record.stop_reason,
        "declines": record.declines,
        "mean_log_probability": record.mean_log_probability,
    }


def pieces(record: NudgeRecord) -> list[list[Any]]:
    """[text, whether it was given] of each token that the answer shows: a stop mark and what follows it are cut off.

    While an answer grows, text that may become a stop mark comes with a later token; here each has its own.
    """
    found: list[list[Any]] = []
    left = len(record.text)
    given = set(record.given)
    for position, text in enumerate(record.token_texts):
        if left <= 0:
            break
        found.append([text[:left], position in given])
        left -= len(text)
    return found

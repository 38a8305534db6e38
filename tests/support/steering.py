"""Whole dials, nudged answers and the comparisons they are held against, as records."""

from __future__ import annotations

from dataclasses import replace

from urial.compare.dial import dial
from urial.compare.nudge import nudge
from urial.compare.nudge_rules import parse_rule
from urial.compare.request import Request
from urial.compare.run import compare, result
from urial.compare.steering_events import SteeringDone
from urial.engines.pair import PairEngines
from urial.prompts import method
from urial.records import Comparison, ContextName
from urial.steering_records import DialRecord, NudgeRecord


def asked(**options: object) -> Request:
    settings = {"query": "what is the answer?", "method": method("urial", 0), "max_new_tokens": 24, **options}
    return Request(**settings)


def compared(engines: PairEngines, request: Request, context: ContextName) -> Comparison:
    """The comparison whose base sees that context."""
    chosen = request.method if context == "urial" else replace(request.method, name="zero_shot", examples=0, prefix="")
    return result(compare(engines, replace(request, method=chosen)))


def dialled(engines: PairEngines, request: Request, at: list[float], **options: object) -> DialRecord:
    *_, last = dial(engines, request, at, **options)
    assert isinstance(last, SteeringDone)
    return last.record


def nudged(engines: PairEngines, request: Request, rule: str, **options: object) -> NudgeRecord:
    *_, last = nudge(engines, request, parse_rule(rule), **options)
    assert isinstance(last, SteeringDone)
    return last.record

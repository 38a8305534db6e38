"""A comparison as plain JSON values, which the token view draws: what a page gets while an answer grows, or whole.

It is not a record: probabilities are rounded to what a page shows, and rows are written column by column.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from urial.records import (
    Comparison,
    ContextShift,
    Message,
    PairInfo,
    Rewrite,
    Settings,
    ShiftClass,
    Side,
    SideName,
    TokenShift,
    TopEntry,
)
from urial.render.command_line import command

CLASS_SIGNS: dict[ShiftClass, str] = {"unshifted": "u", "marginal": "m", "shifted": "s", "unscored": "n"}
PROBABILITY_DIGITS = 5  # decimals of a fraction; the page shows at most four (0.01 %)
NATS_DIGITS = 4  # decimals; the page shows two

Payload = dict[str, Any]


def payload(comparison: Comparison, note: str = "") -> Payload:
    """What the page needs of a comparison, as plain JSON values; `note` is the pair's note from `models.yaml`.

    It is not a record: probabilities are rounded to 5 decimals and nats to 4 (`to_json` keeps them whole).
    """
    return {
        "view": "urial.view/1",
        "query": comparison.query,
        "history": [message.model_dump() for message in comparison.history],
        "pair": comparison.pair.model_dump(),
        "settings": comparison.settings.model_dump(),
        "note": note,
        "command": command(comparison),
        "base": side_payload(comparison.base),
        "aligned": side_payload(comparison.aligned),
        "repeats": comparison.repeats,
        "shift": {name: _context_payload(shift) for name, shift in comparison.shift.items()},
        "problems": [problem.model_dump() for problem in comparison.problems],
        "rewrite": comparison.rewrite and _rewrite_payload(comparison.rewrite),
    }


def _rewrite_payload(rewrite: Rewrite) -> Payload:
    """The call before the aligned answer, in full."""
    prompt, text = rewrite.call.prompt, rewrite.call.text
    call = {"prompt": prompt, "tokens": len(rewrite.call.prompt_ids), "text": text}
    return {**call, "asked": rewrite.asked, "fallback": rewrite.fallback}


def started_payload(
    query: str,
    history: Sequence[Message],
    pair: PairInfo,
    settings: Settings,
    prompts: Mapping[SideName, str],
    prompt_tokens: Mapping[SideName, int],
    note: str = "",
) -> Payload:
    """What is known of a comparison before its first token: the facts of `events.Started`, for `view.reset`."""
    return {
        "query": query,
        "history": [message.model_dump() for message in history],
        "pair": pair.model_dump(),
        "settings": settings.model_dump(),
        "prompts": dict(prompts),
        "prompt_tokens": dict(prompt_tokens),
        "note": note,
    }


def side_payload(side: Side) -> Payload:
    """One finished side; `tokens` counts all that the model produced, its end token included."""
    return {
        "prompt": side.prompt,
        "prompt_tokens": len(side.prompt_ids),
        "text": side.text,
        "tokens": len(side.token_ids),
        "stop_reason": side.stop_reason,
        "seconds": _round(side.seconds, 3),
        "first_token_seconds": _round(side.first_token_seconds, 3),
        "tokens_per_second": _round(side.tokens_per_second, 2),
        "settings": side.settings and side.settings.model_dump(),
    }


def _context_payload(shift: ContextShift) -> Payload:
    return {
        "context": shift.context,
        "context_tokens": len(shift.context_ids),
        "exact": shift.exact,
        "rows": rows_payload(shift.tokens),
    }


def rows_payload(rows: Sequence[TokenShift]) -> Payload:
    """Consecutive rows of one context as columns; each token text is sent once, in `table`, and named by its index."""
    table: dict[tuple[int, str], int] = {}

    def index(token_id: int, text: str) -> int:
        return table.setdefault((token_id, text), len(table))

    def ids(top: Iterable[TopEntry]) -> list[int]:
        return [index(token_id, text) for token_id, text, _ in top]

    columns: Payload = {
        "start": rows[0].position if rows else 0,
        "token": [index(row.id, row.text) for row in rows],
        "class": "".join(CLASS_SIGNS[row.shift_class] for row in rows),
        "special": [row.position for row in rows if row.is_special],
        "base_rank": [row.base_rank for row in rows],
        "aligned_rank": [row.aligned_rank for row in rows],
        "base_p": _probabilities(row.base_probability for row in rows),
        "aligned_p": _probabilities(row.aligned_probability for row in rows),
        "kl": [_round(row.kl, NATS_DIGITS) for row in rows],
        "js": [_round(row.js, NATS_DIGITS) for row in rows],
        "switch": _probabilities(row.switch_point for row in rows),
        "base_top": [ids(row.base_top) for row in rows],
        "base_top_p": [_probabilities(p for _, _, p in row.base_top) for row in rows],
        "aligned_top": [ids(row.aligned_top) for row in rows],
        "aligned_top_p": [_probabilities(p for _, _, p in row.aligned_top) for row in rows],
    }
    if any(row.uncovered is not None for row in rows):  # KL and JS are lower bounds
        columns["uncovered"] = [_round(row.uncovered, PROBABILITY_DIGITS) for row in rows]
    if not all(row.is_scored for row in rows):
        columns["unscored"] = {row.position: row.reason for row in rows if not row.is_scored}
    return {"table": [list(entry) for entry in table], **columns}


def _probabilities(values: Iterable[float | None]) -> list[float | int | None]:
    return [_round(value, PROBABILITY_DIGITS) for value in values]


def _round(value: float | None, digits: int) -> float | int | None:
    """Rounded, and without the `.0` that JSON would carry."""
    if value is None:
        return None
    rounded = round(value, digits)
    return int(rounded) if rounded == int(rounded) else rounded

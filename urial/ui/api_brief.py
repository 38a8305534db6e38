"""A comparison in brief, as JSON text: what a reader with little room needs, such as a language model with tools."""

from __future__ import annotations

import json
from typing import Any

from urial.records import Comparison, ContextShift, TokenShift

MOST_TOKENS = 40  # shifted tokens of one context


def brief(comparison: Comparison) -> str:
    """Both answers, the summary of each context, and its most shifted tokens in order of position."""
    found = {
        "query": comparison.query,
        "models": {"base": comparison.pair.base, "aligned": comparison.pair.aligned},
        "base_answer": comparison.base.text,
        "aligned_answer": comparison.aligned.text,
        "shift": {name: context(shift) for name, shift in comparison.shift.items()},
    }
    if comparison.problems:
        found["problems"] = [problem.message for problem in comparison.problems]
    return json.dumps(found, ensure_ascii=False)


def context(shift: ContextShift) -> dict[str, Any]:
    """The summary, and at most MOST_TOKENS tokens of the class shifted, those of the highest KL."""
    rows = [row for row in shift.tokens if row.shift_class == "shifted" and not row.is_special]
    most = sorted(rows, key=lambda row: row.kl or 0.0, reverse=True)[:MOST_TOKENS]
    shown = sorted(most, key=lambda row: row.position)
    return {
        "summary": shift.summary.model_dump(),
        "most_shifted": [token(row) for row in shown],
        "shifted_tokens": len(rows),
    }


def token(row: TokenShift) -> dict[str, Any]:
    """One token beside the base's own first choice; nats and probabilities to four decimals."""
    return {
        "position": row.position,
        "text": row.text,
        "base_rank": row.base_rank,
        "kl": rounded(row.kl),
        "base_probability": rounded(row.base_probability),
        "aligned_probability": rounded(row.aligned_probability),
        "base_first_choice": row.base_top[0][1] if row.base_top else None,
    }


def rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)

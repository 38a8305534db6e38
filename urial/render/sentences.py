"""Shares without repeats, and the sentences that say which rows are not in a share, and why. Knows the record."""

from __future__ import annotations

from collections import Counter

from urial.records import Comparison, ContextName, Summary, TokenShift, UnscoredReason
from urial.shares import summarize

UNSCORED_WORDS: dict[UnscoredReason, str] = {
    "impossible_numbers": "the server's numbers contradict themselves",
    "missing": "the server told no number",
    "not_in_base_vocabulary": "the base does not know the token",
}


def unscored_sentence(tokens: list[TokenShift]) -> str:
    """How many rows are in no share, and why, end tokens left out; empty where all are scored."""
    counted = [token for token in tokens if not token.is_special]
    reasons = Counter(token.reason for token in counted if token.reason is not None)
    if not reasons:
        return ""
    parts = ", ".join(f"{count:,} because {UNSCORED_WORDS[reason]}" for reason, count in reasons.most_common())
    verb = "is" if reasons.total() == 1 else "are"
    return f"{reasons.total():,} of {len(counted):,} tokens {verb} not scored and in no share or mean: {parts}."


def fresh_summary(comparison: Comparison, context: ContextName) -> Summary:
    """The summary over the rows that repeat nothing."""
    repeated = comparison.repeated_positions()
    return summarize([row for row in comparison.shift[context].tokens if row.position not in repeated])


def repeats_sentence(comparison: Comparison, context: ContextName) -> str:
    """How many rows repeat earlier ones, and the paper's own count with them; empty where none does."""
    all_of_them, fresh = comparison.shift[context].summary, fresh_summary(comparison, context)
    left_out = all_of_them.tokens - fresh.tokens
    if not left_out:
        return ""
    verb = "repeats" if left_out == 1 else "repeat"
    rest = "is" if left_out == 1 else "are"
    share = f"{100 * (all_of_them.shifted or 0):.1f} % shifted"
    return (
        f"{left_out:,} of {all_of_them.tokens:,} tokens {verb} earlier ones word for word and {rest} left out; "
        f"all counted, as in the paper: {share}."
    )


def headline(comparison: Comparison, context: ContextName) -> Summary:
    """The shares that are told first: repeats left out, unless the answer is nothing else."""
    fresh = fresh_summary(comparison, context)
    return fresh if fresh.tokens else comparison.shift[context].summary

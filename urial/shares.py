"""The paper's three classes of a token, and the summary of an answer: its shares of them, and means."""

from __future__ import annotations

from collections.abc import Iterable

from urial.records import ShiftClass, Summary, TokenShift


def classify(base_rank: int | None) -> ShiftClass:
    """The paper's three classes (section 2): rank 1, ranks 2 and 3, the rest; without a rank, none of them."""
    if base_rank is None:
        return "unscored"
    if base_rank == 1:
        return "unshifted"
    return "marginal" if base_rank <= 3 else "shifted"


def summarize(tokens: list[TokenShift]) -> Summary:
    """Fractions and means over the rows that are scored and not special."""
    counted = [token for token in tokens if not token.is_special]
    rows = [token for token in counted if token.is_scored]
    if not rows:
        return Summary(
            tokens=0,
            unscored=len(counted),
            unshifted=None,
            marginal=None,
            shifted=None,
            mean_kl=None,
            mean_base_rank=None,
            mean_base_probability=None,
        )
    n = len(rows)
    switches = [row.switch_point for row in rows if row.switch_point is not None]

    def mean(values: Iterable[float | None]) -> float:
        return sum(value for value in values if value is not None) / n

    def fraction(name: ShiftClass) -> float:
        return sum(row.shift_class == name for row in rows) / n

    return Summary(
        tokens=n,
        unscored=len(counted) - n,
        unshifted=fraction("unshifted"),
        marginal=fraction("marginal"),
        shifted=fraction("shifted"),
        mean_kl=mean(row.kl for row in rows),
        mean_base_rank=mean(row.base_rank for row in rows),
        mean_base_probability=mean(row.base_probability for row in rows),
        mean_switch_point=sum(switches) / len(switches) if switches else None,
    )

"""The shift of a comparison as a table for spreadsheets: one line per context and position."""

from __future__ import annotations

import csv
import io
import json

from urial.records import Comparison, TokenShift

CSV_COLUMNS = (
    "context",
    "position",
    "id",
    "text",
    "class",
    "base_rank",
    "aligned_rank",
    "base_probability",
    "aligned_probability",
    "kl_nats",
    "js_nats",
    "switch_point",
    "uncovered",
    "unscored_reason",
    "is_special",
    "base_top",
    "aligned_top",
)


def to_csv(comparison: Comparison) -> str:
    """One line per context and position, RFC 4180 (CRLF), numbers in full precision, top lists as JSON.

    A row of class `unscored` has empty cells where it has no numbers, and says why under `unscored_reason`.

    A text cell that a spreadsheet would take for a formula gets a leading apostrophe.
    """
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(CSV_COLUMNS)
    for name, shift in comparison.shift.items():
        writer.writerows(_csv_row(name, row) for row in shift.tokens)
    return out.getvalue()


def _csv_row(context: str, row: TokenShift) -> list[object]:
    return [
        context,
        row.position,
        row.id,
        defuse(row.text),
        row.shift_class,
        row.base_rank,
        row.aligned_rank,
        row.base_probability,
        row.aligned_probability,
        row.kl,
        row.js,
        row.switch_point,
        row.uncovered,
        row.reason,
        row.is_special,
        json.dumps(row.base_top, ensure_ascii=False),
        json.dumps(row.aligned_top, ensure_ascii=False),
    ]


def defuse(cell: str) -> str:
    """Text that no spreadsheet runs: a first `=`, `+`, `-`, `@`, tab or line end gets an apostrophe before it."""
    dangerous = cell.lstrip(" \u00a0").startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"))
    return "'" + cell if dangerous else cell

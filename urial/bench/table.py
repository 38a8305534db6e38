"""A bench report for a reader at a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

WORDS = {
    "comparison_vs_naive": "our comparison is this many times as fast as naive",
    "comparison_vs_llama_cpp": "... as llama.cpp doing the two generations alone",
    "answers_vs_llama_cpp": "our two generations alone are this many times as fast as llama.cpp's",
    "same_job_vs_llama_cpp": "our comparison is this many times as fast as llama.cpp doing the same job",
    "comparison_vs_vllm": "... as vLLM doing the two generations alone",
    "scoring_share": "scoring both contexts adds this fraction to the two generations",
    "first_token_urial_vs_bare": "first token with URIAL over first token with the bare query",
}


def as_text(report: dict[str, Any]) -> str:
    head = f"{report['pair']}, {report['dtype']} on {report['device']}, {report['new_tokens']} new tokens a side"
    lines = [head, ""]
    lines += [f"{name:24} {seconds:8.2f} s" for name, seconds in report["medians"].items()]
    lines += ["", *(f"{value:8.2f}  {WORDS[name]}" for name, value in report["ratios"].items())]
    limit = report["limit"]
    lines += ["", f"{report['peak_rss_gb']:8.2f}  GB resident at most (ours)"]
    lines += [f"{100 * limit['share_reached']:7.0f}%  of the bandwidth limit reached while generating"]
    return "\n".join(lines)


def rows_as_text(rows: Sequence[dict[str, Any]]) -> str:
    """Rows of the same keys as a Markdown table."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *([shown(value) for value in row.values()] for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)

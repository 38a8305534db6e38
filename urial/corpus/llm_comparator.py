"""LLM Comparator's JSON (PAIR-code/llm-comparator, `client/lib/types.ts`): base as A, aligned as B, a file a method.

Opens there by upload. Scores are null where no judge has spoken, which its types allow; token level cannot be told.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from urial.corpus.folder import write_json
from urial.corpus.lines import read_lines
from urial.records import Comparison

FIELDS = [
    {"name": "shifted_share", "type": "number"},
    {"name": "mean_kl", "type": "number"},
    {"name": "first_shifted_token", "type": "text"},
    {"name": "words", "type": "per_model_number"},
    {"name": "stop_reason", "type": "per_model_category"},
]


def write(folder: Path, summary: dict[str, Any]) -> None:
    """`llm_comparator.METHOD.json` for each method."""
    for method in summary["methods"]:
        lines = (line for line in read_lines(folder) if line.origin.method == method)
        examples = {line.origin.key: example(line.record, line.origin.tags) for line in lines if line.record}
        if examples:
            write_json(folder / f"llm_comparator.{method}.json", document(list(examples.values()), method, summary))


def document(examples: list[dict[str, Any]], method: str, summary: dict[str, Any]) -> dict[str, Any]:
    pair = summary["pair"]
    return {
        "metadata": {"source_path": f"urial corpus, {pair['name']}, {method}", "custom_fields_schema": FIELDS},
        "models": [{"name": f"{pair['base']} ({method})"}, {"name": pair["aligned"]}],
        "examples": examples,
    }


def example(record: Comparison, tags: dict[str, list[str]]) -> dict[str, Any]:
    shift = record.shift.get("zero_shot") or next(iter(record.shift.values()))
    first = next((row.text for row in shift.tokens if row.shift_class == "shifted" and not row.is_special), "")
    sides = (record.base, record.aligned)
    return {
        "input_text": record.query,
        "tags": list(dict.fromkeys(value for values in tags.values() for value in values)),
        "output_text_a": record.base.text,
        "output_text_b": record.aligned.text,
        "score": None,
        "individual_rater_scores": [],
        "custom_fields": {
            "shifted_share": shift.summary.shifted,
            "mean_kl": shift.summary.mean_kl,
            "first_shifted_token": first,
            "words": [len(side.text.split()) for side in sides],
            "stop_reason": [side.stop_reason for side in sides],
        },
    }

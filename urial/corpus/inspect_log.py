"""Inspect's log, version 2 (inspect_ai 0.3.285, `log/_log.py`): one file a method and side, for `inspect view`.

Its scores are this corpus's shares, each with its mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from urial.corpus.folder import write_json
from urial.corpus.lines import FILE, Line, read_lines
from urial.records import Side, SideName

STOPS = {"stop": "stop", "length": "max_tokens", "cancelled": "unknown", "error": "unknown"}
SCORER = "token_distribution_shift"


def write(folder: Path, summary: dict[str, Any]) -> None:
    """`inspect.base.METHOD.json` for each method, and `inspect.aligned.json` with the shift as scores."""
    methods = list(summary["methods"])
    for method in methods:
        _write(folder, summary, method, "base", f"inspect.base.{method}.json")
    _write(folder, summary, methods[0], "aligned", "inspect.aligned.json")


def _write(folder: Path, summary: dict[str, Any], method: str, name: SideName, file: str) -> None:
    found = {
        line.origin.id: sample(line, name)
        for line in read_lines(folder)
        if line.origin.method == method and line.record is not None
    }
    write_json(folder / file, log(list(found.values()), summary, method, name))


def sample(line: Line, name: SideName) -> dict[str, Any]:
    record = line.record
    if record is None:
        raise ValueError("a line without a record has no sample")
    side: Side = getattr(record, name)
    asked = [{"role": one.role, "content": one.content} for one in [*record.history]]
    messages = [*asked, {"role": "user", "content": record.query}, {"role": "assistant", "content": side.text}]
    scores = {
        context: {"value": shift.summary.shifted, "explanation": f"Share of shifted tokens, {context} in sight."}
        for context, shift in record.shift.items()
        if name == "aligned" and shift.summary.shifted is not None
    }
    return {
        "id": line.origin.id,
        "epoch": 1,
        "input": record.query,
        "target": "",
        "messages": messages,
        "output": {
            "model": getattr(record.pair, name),
            "choices": [{"message": messages[-1], "stop_reason": STOPS[side.stop_reason]}],
            "completion": side.text,
        },
        "scores": scores,
        "metadata": {"method": line.origin.method, "tags": line.origin.tags},
    }


def log(samples: list[dict[str, Any]], summary: dict[str, Any], method: str, name: SideName) -> dict[str, Any]:
    pair = summary["pair"]
    now = datetime.now(UTC).isoformat(timespec="seconds")
    settings = {key: summary["settings"][key] for key in ("temperature", "top_p", "seed")}
    settings["max_tokens"] = summary["settings"]["max_new_tokens"]
    return {
        "version": 2,
        "status": "success",
        "eval": {
            "created": now,
            "task": f"urial_corpus_{method}" if name == "base" else "urial_corpus",
            "dataset": {"name": FILE, "samples": len(samples), "sample_ids": [one["id"] for one in samples]},
            "model": pair[name],
            "config": {},
            "metadata": {"pair": pair["name"], "method": method, "side": name},
        },
        "plan": {"name": "plan", "steps": [], "config": settings},
        "results": {
            "total_samples": len(samples),
            "completed_samples": len(samples),
            "scores": [score(context, samples) for context in _contexts(samples)],
        },
        "stats": {"started_at": now, "completed_at": now, "model_usage": {}},
        "samples": samples,
    }


def _contexts(samples: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(context for one in samples for context in one["scores"]))


def score(context: str, samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    values = [one["scores"][context]["value"] for one in samples if context in one["scores"]]
    mean = {"name": "mean", "value": sum(values) / len(values), "params": {}}
    return {"name": context, "scorer": SCORER, "params": {}, "metrics": {"mean": mean}}

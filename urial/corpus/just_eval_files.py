"""just-eval's own output files (Re-Align/just-eval), so that its scorer reads these answers: a file a method and side.

The aligned answers do not depend on the method, so there is one file of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from urial.corpus.folder import write_json
from urial.corpus.lines import Line, read_lines
from urial.records import Side


def write(folder: Path, summary: dict[str, Any]) -> None:
    """`just_eval.base.METHOD.json` for each method, and `just_eval.aligned.json`."""
    pair = summary["pair"]
    aligned: dict[str, dict[str, Any]] = {}
    for method in summary["methods"]:
        base: dict[str, dict[str, Any]] = {}
        for line in read_lines(folder):
            if line.record is not None and line.origin.method == method:
                base[line.origin.id] = item(line, line.record.base, f"{pair['base']} ({method})")
                aligned.setdefault(line.origin.id, item(line, line.record.aligned, pair["aligned"]))
        if base:
            write_json(folder / f"just_eval.base.{method}.json", list(base.values()))
    write_json(folder / "just_eval.aligned.json", list(aligned.values()))


def item(line: Line, side: Side, generator: str) -> dict[str, Any]:
    """As the scorer reads it: `instruction`, `output` and `generator`; the rest is what its own files hold too."""
    tags = line.origin.tags
    return {
        "id": line.origin.id,
        "instruction": line.query,
        "source_id": line.origin.id,
        "dataset": (tags.get("dataset") or ["urial"])[0],
        "category": (tags.get("safety") or ["regular"])[0],
        "output": side.text,
        "generator": generator,
        "datasplit": "just_eval",
        "num_tokens": len(side.token_ids),
    }

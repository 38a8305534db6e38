"""Three tables as JSONL and CSV, and as Parquet where pyarrow is installed; with a README the folder is a hub data set.

`answers` has a row a question and method, `tokens` a row a context and position, `judgements` a row a judge's reply
where there are any. Written row by row.
"""

from __future__ import annotations

import csv
import importlib.util
import json
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

from urial.corpus.folder import write_bytes, write_text
from urial.corpus.lines import Line, read_lines
from urial.errors import Failure
from urial.files import whole_file
from urial.render.csv_table import defuse
from urial.validation import json_value

Row = dict[str, Any]
JUDGEMENTS = "judgements.jsonl"
BATCH = 20_000  # rows
KINDS = {type(None): "null", bool: "bool", int: "int", float: "float", str: "text"}

README = """---
configs:
{configs}---

# A corpus of URIAL side by side

Answers of `{base}`, prompted, and of its chat-tuned sibling `{aligned}` to {questions} questions, with the base rank of
every token of the aligned answers. `answers` has a row a question and method, `tokens` a row a context and position.
`records.jsonl` holds everything, `summary.json` the figures, `report.html` shows both without a network. The models'
licences apply to their answers. In CSV files, a text that a spreadsheet would run begins with an apostrophe.
"""


def write(folder: Path, summary: dict[str, Any]) -> None:
    """Everything into `tables/`, and README.md beside it. Raises Failure."""
    names = []
    for name, rows in (("answers", answers), ("tokens", tokens), ("judgements", judgements)):
        if write_table(folder / "tables" / name, rows(folder)):
            names.append(name)
    configs = "".join(f"- config_name: {name}\n  data_files: tables/{name}.jsonl\n" for name in names)
    pair = summary["pair"]
    text = README.format(configs=configs, base=pair["base"], aligned=pair["aligned"], questions=summary["questions"])
    write_text(folder / "README.md", text)


def answers(folder: Path) -> Iterator[Row]:
    for line in read_lines(folder):
        yield answer(line)


def answer(line: Line) -> Row:
    """A failed question has its error and no answers."""
    record = line.record
    own = {"key": line.origin.key, "question": line.origin.id, "method": line.origin.method, "query": line.query}
    tags = json.dumps(line.origin.tags, ensure_ascii=False)
    shares: Row = {}
    for context in ("zero_shot", "urial"):
        summary = record.shift[context].summary if record and context in record.shift else None
        for name in ("tokens", "unshifted", "marginal", "shifted", "mean_kl"):
            shares[f"{context}_{name}"] = getattr(summary, name) if summary else None
    return {
        **own,
        "tags": tags,
        "base_text": record.base.text if record else None,
        "aligned_text": record.aligned.text if record else None,
        "base_stop": record.base.stop_reason if record else None,
        "aligned_stop": record.aligned.stop_reason if record else None,
        **shares,
        "error": line.error,
    }


def tokens(folder: Path) -> Iterator[Row]:
    for line in read_lines(folder):
        for context, shift in (line.record.shift if line.record else {}).items():
            for row in shift.tokens:
                yield {
                    "key": line.origin.key,
                    "question": line.origin.id,
                    "method": line.origin.method,
                    "context": context,
                    "position": row.position,
                    "id": row.id,
                    "text": row.text,
                    "class": row.shift_class,
                    "base_rank": row.base_rank,
                    "aligned_rank": row.aligned_rank,
                    "base_probability": row.base_probability,
                    "aligned_probability": row.aligned_probability,
                    "kl_nats": row.kl,
                    "js_nats": row.js,
                    "is_special": row.is_special,
                }


def judgements(folder: Path) -> Iterator[Row]:
    """As they are; what is nested becomes JSON text, so that every row has the same plain columns."""
    path = folder / JUDGEMENTS
    if not path.exists():
        return
    with path.open(encoding="utf-8") as file:
        for number, text in enumerate(file, start=1):
            where = f"{path}, line {number}"
            if text.endswith("\n") and isinstance(data := json_value(text, where, "delete that line"), dict):
                yield {key: _plain(value) for key, value in data.items()}


def _plain(value: object) -> object:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value


def write_table(stem: Path, rows: Iterator[Row]) -> bool:
    """STEM.jsonl and STEM.csv, whole or not at all; whether there was a row. Raises Failure."""
    first = next(rows, None)
    if first is None:
        return False
    try:
        stem.parent.mkdir(parents=True, exist_ok=True)
        with (
            whole_file(stem.with_suffix(".jsonl")) as jsonl,
            whole_file(stem.with_suffix(".csv")) as table,
            jsonl.open("w", encoding="utf-8", newline="") as lines,
            table.open("w", encoding="utf-8", newline="") as sheet,
        ):
            writer = csv.DictWriter(sheet, list(first), restval="", extrasaction="ignore")
            writer.writeheader()
            for row in chain([first], rows):
                _put(row, lines, writer)
    except OSError as error:
        raise Failure(f"{stem} could not be written ({error.strerror}); free some space and run it again.") from error
    if importlib.util.find_spec("pyarrow"):
        write_parquet(stem)
    return True


def _put(row: Row, lines: Any, writer: csv.DictWriter[str]) -> None:
    lines.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
    writer.writerow({name: defuse(value) if isinstance(value, str) else value for name, value in row.items()})


def write_parquet(stem: Path) -> None:
    """From the JSONL file beside it, some rows at a time. Raises Failure.

    Types are told from the values, and no text is taken for a date or a number.
    """
    import pyarrow as pa  # not in the requirements: it is large, and the other forms hold the same
    from pyarrow import parquet

    kinds: dict[str, str] = {}
    for row in read_rows(stem):
        for name, value in row.items():
            kinds[name] = wider(kinds.get(name, "null"), KINDS[type(value)])
    names = {"null": pa.null(), "bool": pa.bool_(), "int": pa.int64(), "float": pa.float64(), "text": pa.string()}
    schema = pa.schema([(name, names[kind]) for name, kind in kinds.items()])
    sink = pa.BufferOutputStream()
    with parquet.ParquetWriter(sink, schema) as writer:
        for rows in batched(read_rows(stem), BATCH):
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))
    write_bytes(stem.with_suffix(".parquet"), sink.getvalue().to_pybytes())


def read_rows(stem: Path) -> Iterator[Row]:
    with stem.with_suffix(".jsonl").open(encoding="utf-8", newline="\n") as file:
        yield from map(json.loads, file)


def batched(rows: Iterator[Row], size: int) -> Iterator[list[Row]]:
    while held := list(islice(rows, size)):
        yield held


def wider(one: str, other: str) -> str:
    """The kind that holds values of both."""
    if "null" in (one, other) or one == other:
        return other if one == "null" else one
    if {one, other} == {"int", "float"}:
        return "float"
    raise Failure(f"A column of the tables holds both {one} and {other}; this is a fault of ours.")

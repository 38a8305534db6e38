"""Repeats: the record says which tokens they are, headlines leave them out, and the paper's count stands beside."""

from __future__ import annotations

import csv
import io
import json

import pytest

from tests.support.records_builder import build
from urial import records
from urial.cli.commands import as_text
from urial.errors import RecordError
from urial.records import Comparison
from urial.render.csv_table import to_csv
from urial.render.sentences import fresh_summary, headline, repeats_sentence
from urial.render.view import payload
from urial.shares import summarize

ROUND = [" I", "'m", " a", " little", " old"]


def looping(rounds: int = 6) -> Comparison:
    """The same five tokens over and over, then an end token."""
    found = build(ROUND * rounds)
    ids = [1000 + i % len(ROUND) for i in range(len(ROUND) * rounds)] + [1]
    return found.model_copy(update={"aligned": found.aligned.model_copy(update={"token_ids": ids})})


def test_the_record_says_which_tokens_are_repeats() -> None:
    data = json.loads(records.to_json(looping()))
    assert data["repeats"] == [[5, 30]]
    assert payload(looping())["repeats"] == [(5, 30)]
    assert json.loads(records.to_json(build()))["repeats"] == []


def test_files_without_the_key_load_and_files_with_it_come_back_the_same() -> None:
    data = json.loads(records.to_json(looping()))
    assert records.from_data(data) == looping()
    assert records.from_data({**data, "repeats": [[0, 31]]}).repeats == [(5, 30)], "made anew from the tokens"
    del data["repeats"]
    assert records.from_data(data) == looping()
    with pytest.raises(RecordError, match="repeat"):
        records.from_data({**data, "repeat": []})


def test_the_headline_is_over_the_rows_that_repeat_nothing() -> None:
    found = looping()
    rows = found.shift["urial"].tokens
    assert fresh_summary(found, "urial") == summarize([*rows[:5], rows[30]]) == headline(found, "urial")
    assert found.shift["urial"].summary == summarize(rows), "the record's own summary counts all, as the paper does"
    assert headline(build(), "urial") == build().shift["urial"].summary


def test_the_terminal_says_how_many_and_the_count_with_them() -> None:
    found = looping()
    share = 100 * found.shift["urial"].summary.shifted
    said = repeats_sentence(found, "urial")
    assert said.startswith("25 of 30 tokens repeat earlier ones word for word and are left out")
    assert said.endswith(f"as in the paper: {share:.1f} % shifted.") and said in as_text(found)
    assert "(n = 5," in as_text(found)
    assert repeats_sentence(build(), "urial") == "" and "left out" not in as_text(build())


def test_the_table_has_a_column() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(looping()), newline="")))
    for row in rows:
        assert row["is_repeat"] == str(5 <= int(row["position"]) < 30)

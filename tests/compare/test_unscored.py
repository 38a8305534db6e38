"""Rows that are not scored: one mechanism from the statistics' columns to record, table, page data and terminal."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest

from tests.support import tiny
from tests.support.records_builder import PLAIN, build, unscore
from urial.cli.commands import as_text
from urial.compare.scoring import make_row
from urial.errors import RecordError
from urial.records import from_json, to_json
from urial.render import csv_table, report, view
from urial.render.sentences import unscored_sentence
from urial.shares import classify, summarize
from urial.shift.statistics import ShiftStatistics

END = len(PLAIN)  # the position of the end token
REASONS = {2: "missing", 5: "impossible_numbers", 6: "impossible_numbers", 9: "not_in_base_vocabulary"}


def test_the_record_comes_back_whole_with_such_rows() -> None:
    comparison = unscore(build(), REASONS)
    assert from_json(to_json(comparison)) == comparison
    row = json.loads(to_json(comparison))["shift"]["urial"]["tokens"][5]
    assert (row["class"], row["base_rank"], row["kl"], row["reason"]) == ("unscored", None, None, "impossible_numbers")


def test_a_record_of_scored_rows_has_no_key_more_than_before() -> None:
    found = json.loads(to_json(build()))["shift"]["urial"]
    assert "unscored" not in found["summary"] and all("reason" not in row for row in found["tokens"])


@pytest.mark.parametrize(
    ("position", "changes"),
    [
        (0, {"base_rank": None}),
        (0, {"kl": None}),
        (0, {"aligned_rank": None}),
        (0, {"reason": "missing"}),
        (0, {"class": "unscored"}),
        (2, {"reason": None}),
        (2, {"reason": "because"}),
        (2, {"base_rank": 3}),
        (2, {"kl": 0.5}),
        (2, {"class": "shifted"}),
    ],
)
def test_a_row_is_scored_or_not_and_never_a_half(position: int, changes: dict) -> None:
    data = json.loads(to_json(unscore(build(), REASONS)))
    data["shift"]["urial"]["tokens"][position] |= changes
    with pytest.raises(RecordError, match=rf'key "shift\.urial\.tokens\.{position}'):
        from_json(json.dumps(data))


def test_shares_and_means_are_those_of_the_other_rows_alone() -> None:
    comparison = build()
    kept = [row for row in comparison.shift["urial"].tokens if row.position not in REASONS]
    summary = unscore(comparison, REASONS).shift["urial"].summary
    assert summary.model_dump(exclude={"unscored"}) == summarize(kept).model_dump(exclude={"unscored"})
    assert summary.unscored == len(REASONS) and summary.tokens == len(PLAIN) - len(REASONS)


def test_an_end_token_is_in_no_count_whether_scored_or_not() -> None:
    comparison = build()
    assert (
        unscore(comparison, {END: "not_in_base_vocabulary"}).shift["urial"].summary == comparison.shift["urial"].summary
    )


def test_where_no_row_is_scored_there_is_no_share_and_no_division_by_zero() -> None:
    comparison = unscore(build(), dict.fromkeys(range(END), "missing"))
    summary = comparison.shift["urial"].summary
    assert (summary.tokens, summary.unscored, summary.shifted, summary.mean_kl) == (0, END, None, None)
    assert f"{END} of {END} tokens are not scored" in as_text(comparison)


def test_the_terminal_says_how_many_and_why() -> None:
    assert "not scored" not in as_text(build()) and unscored_sentence(build().shift["urial"].tokens) == ""
    said = as_text(unscore(build(), REASONS, contexts=("urial",)))
    assert said.count("not scored") == 1
    assert f"4 of {END} tokens are not scored and in no share or mean: 2 because the server's numbers" in said
    assert "1 because the server told no number" in said and "1 because the base does not know the token" in said


def test_the_table_has_empty_cells_and_the_reason() -> None:
    rows = list(csv.DictReader(io.StringIO(csv_table.to_csv(unscore(build(), REASONS)), newline="")))
    empty = ("base_rank", "base_probability", "kl_nats", "js_nats")
    for row in rows:
        reason = REASONS.get(int(row["position"]), "")
        assert row["unscored_reason"] == reason and (row["class"] == "unscored") == bool(reason)
        assert all((row[name] == "") == bool(reason) for name in empty)


def test_the_page_gets_a_class_of_its_own_and_the_reasons() -> None:
    rows = unscore(build(), REASONS).shift["urial"].tokens
    found = view.rows_payload(rows)
    assert [i for i, sign in enumerate(found["class"]) if sign == "n"] == sorted(REASONS)
    assert found["unscored"] == REASONS and found["base_rank"][2] is None and found["base_p"][2] is None
    assert found["aligned_p"][2] is None and found["aligned_p"][9] is not None
    assert "unscored" not in view.rows_payload(build().shift["urial"].tokens)


def test_every_reason_has_its_words_on_the_page() -> None:
    words = (report.ASSETS / "js/words.js").read_text(encoding="utf-8")
    block = re.search(r"UNSCORED_REASONS = \{(.*?)\};", words, re.DOTALL)
    assert set(re.findall(r"(\w+): \"", block[1])) == set(REASONS.values())


def test_columns_with_a_position_left_out_become_such_a_row() -> None:
    found = ShiftStatistics()
    found.leave_out("missing")
    found.leave_out("not_in_base_vocabulary", 1, 0.75, [(7, 0.75)])
    first, second = (make_row(tiny.engine(), found, i, 10 + i, 7, "x") for i in range(2))
    assert (first.shift_class, first.reason, first.aligned_rank, first.aligned_top) == ("unscored", "missing", None, [])
    assert (second.base_rank, second.aligned_rank, second.aligned_probability) == (None, 1, 0.75)
    assert [entry[0] for entry in second.aligned_top] == [7] and second.base_top == []
    assert classify(None) == "unscored"

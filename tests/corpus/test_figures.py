"""Every figure of summary.json against a recomputation in plain Python, straight from records.jsonl."""

from __future__ import annotations

import json
import math
import statistics
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.support.lines_builder import METHODS, make_lines, write_lines
from urial.corpus.answers import read
from urial.corpus.figures import summarize
from urial.corpus.intervals import DRAWS, FLIPS, SEED

CONTEXTS = ("zero_shot", "urial")
NAMES = ("unshifted", "marginal", "shifted", "mean_kl")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lines(tmp_path_factory.mktemp("corpus"), make_lines())


@pytest.fixture(scope="module")
def summary(folder: Path) -> dict:
    found = summarize(read(folder))
    return json.loads(json.dumps(found, allow_nan=False))


@pytest.fixture(scope="module")
def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "records.jsonl").read_text(encoding="utf-8").splitlines()]


# --- the second, independent way ----------------------------------------------------------------------------------


def answered(lines: list[dict], method: str) -> list[dict]:
    return [line for line in lines if line["corpus"]["method"] == method and "error" not in line]


def repeated(ids: list[int]) -> set[int]:
    """Every position of eight tokens in a row that stood somewhere before: straight from the definition."""
    found = set()
    for start in range(len(ids) - 7):
        if any(ids[before : before + 8] == ids[start : start + 8] for before in range(start)):
            found |= set(range(start, start + 8))
    return found


def rows_of(line: dict, context: str, *, end: bool = False, repeats: bool = False) -> list[dict]:
    rows = [row for row in line["shift"][context]["tokens"] if row["base_rank"] is not None]
    left_out = set() if repeats or end else repeated(line["aligned"]["token_ids"])
    return [row for row in rows if (end or not row["is_special"]) and row["position"] not in left_out]


def value(row: dict, name: str) -> float:
    if name == "mean_kl":
        return row["kl"]
    low, high = {"unshifted": (1, 1), "marginal": (2, 3), "shifted": (4, math.inf)}[name]
    return 1.0 if low <= row["base_rank"] <= high else 0.0


def mean(rows: list[dict], name: str) -> float:
    return sum(value(row, name) for row in rows) / len(rows)


def flat(groups: list[list[dict]]) -> list[dict]:
    return [row for rows in groups for row in rows]


def draws(count: int) -> list[list[int]]:
    return np.random.default_rng(SEED).integers(0, count, size=(DRAWS, count)).tolist()


def quantile(values: list[float], q: float) -> float:
    ordered = sorted(values)
    place = q * (len(ordered) - 1)
    low = math.floor(place)
    return ordered[low] + (place - low) * (ordered[min(low + 1, len(ordered) - 1)] - ordered[low])


def interval(values: list[float]) -> list[float]:
    return [quantile(values, 0.025), quantile(values, 0.975)]


def pooled_draws(groups: list[list[dict]], name: str) -> list[float]:
    totals = [sum(value(row, name) for row in rows) for rows in groups]
    sizes = [len(rows) for rows in groups]
    return [sum(totals[i] for i in drawn) / sum(sizes[i] for i in drawn) for drawn in draws(len(groups))]


# --- held against each other --------------------------------------------------------------------------------------


def test_counts(summary: dict, lines: list[dict]) -> None:
    assert summary["schema"] == "urial.corpus/1"
    assert summary["questions"] == len({line["corpus"]["id"] for line in lines}) == 14
    assert summary["failed"] == sum("error" in line for line in lines) == 1
    for method in METHODS:
        assert summary["methods"][method]["answers"] == len(answered(lines, method))
        words = [len(line["aligned"]["text"].split()) for line in answered(lines, method)]
        assert summary["methods"][method]["words"]["aligned"] == pytest.approx(statistics.fmean(words))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("context", CONTEXTS)
def test_shares_means_and_their_intervals(summary: dict, lines: list[dict], method: str, context: str) -> None:
    figures = summary["methods"][method]["contexts"][context]
    assert figures["unscored"] == sum(
        row["base_rank"] is None and not row["is_special"]
        for line in answered(lines, method)
        for row in line["shift"][context]["tokens"]
    )
    check_figures(figures, [rows_of(line, context, repeats=True) for line in answered(lines, method)])
    check_figures(figures["without_repeats"], [rows_of(line, context) for line in answered(lines, method)])
    assert figures["repeats"] == figures["tokens"] - figures["without_repeats"]["tokens"] > 0
    with_end = [row for line in answered(lines, method) for row in rows_of(line, context, end=True)]
    assert figures["with_end"]["tokens"] == len(with_end) > figures["tokens"]
    for name in NAMES:
        assert figures["with_end"]["pooled"][name] == pytest.approx(mean(with_end, name))


def check_figures(found: dict, groups: list[list[dict]]) -> None:
    every = [row for rows in groups for row in rows]
    assert found["tokens"] == len(every)
    for name in NAMES:
        own = [mean(rows, name) for rows in groups]
        assert found["pooled"][name] == pytest.approx(mean(every, name))
        assert found["per_answer"][name] == pytest.approx(statistics.fmean(own))
        assert found["median"][name] == pytest.approx(statistics.median(own))
        assert found["interval"][name] == pytest.approx(interval(pooled_draws(groups, name)))
        means = [statistics.fmean(own[i] for i in drawn) for drawn in draws(len(own))]
        assert found["per_answer_interval"][name] == pytest.approx(interval(means))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("context", CONTEXTS)
def test_ranks_and_the_most_shifted(summary: dict, lines: list[dict], method: str, context: str) -> None:
    found = summary["methods"][method]["contexts"][context]
    answers = answered(lines, method)
    every = [row for line in answers for row in rows_of(line, context)]
    assert found["ranks"]["median"] == statistics.median(row["base_rank"] for row in every)
    assert found["ranks"]["mean_capped_at_50"] == pytest.approx(
        statistics.fmean(min(row["base_rank"], 50) for row in every)
    )
    assert found["ranks"]["mean_base_probability"] == pytest.approx(
        statistics.fmean(row["base_probability"] for row in every)
    )
    expected = {}
    for token in {row["id"] for row in every}:
        same = [row for row in every if row["id"] == token]
        shifted = [row for row in same if row["base_rank"] > 3]
        if len(same) >= 5 and shifted:
            places = [
                (line["corpus"]["key"], row["position"])
                for line in answers
                for row in rows_of(line, context)
                if row["id"] == token and row["base_rank"] > 3
            ]
            expected[token] = (
                len(shifted),
                len(same),
                sum(row["position"] < 5 for row in shifted),
                places[0],
                same[0]["text"],
                statistics.fmean(min(row["base_rank"], 50) for row in same),
            )
    assert {row["id"] for row in found["most_shifted"]} == expected.keys()
    for row in found["most_shifted"]:
        shifted, all_of_it, opening, place, text, rank = expected[row["id"]]
        assert (row["shifted"], row["occurrences"], row["opening"], row["text"]) == (shifted, all_of_it, opening, text)
        assert row["share"] == pytest.approx(shifted / all_of_it)
        assert row["mean_rank_capped_at_50"] == pytest.approx(rank)
        assert (row["example"]["key"], row["example"]["position"]) == place
    for one, following in pairwise(found["most_shifted"]):
        assert (one["shifted"], one["share"]) >= (following["shifted"], following["share"])


MEASURED = {
    "kl": lambda row: row["kl"],
    "log_rank": lambda row: math.log(row["base_rank"]),
    "base_probability": lambda row: row["base_probability"],
    "shifted": lambda row: float(row["base_rank"] > 3),
}


@pytest.mark.parametrize("context", CONTEXTS)
def test_curves(summary: dict, lines: list[dict], context: str) -> None:
    found = summary["methods"]["urial"]["contexts"][context]["curves"]
    groups = [{row["position"]: row for row in rows_of(line, context)} for line in answered(lines, "urial")]
    lengths = [max(rows) + 1 for rows in groups]
    least = max(0.2 * len(groups), min(10, len(groups)))
    cut = next(t for t in range(max(lengths)) if sum(size > t for size in lengths) < least)
    assert found["cut"] == cut == len(found["n"])
    long = [rows for rows, size in zip(groups, lengths, strict=True) if size >= cut]
    for made, chosen in ((found, groups), (found["long_only"], long)):
        assert made["answers"] == len(chosen)
        for name, measure in MEASURED.items():
            for t in range(cut):
                there = [measure(rows[t]) for rows in chosen if t in rows]
                assert made["n"][t] == len(there)
                assert made[name]["mean"][t] == pytest.approx(statistics.fmean(there))
                assert made[name]["median"][t] == pytest.approx(statistics.median(there))
    t = 1  # a position where an answer has an unscored row: draws without any other are left out
    means = []
    for drawn in draws(len(groups)):
        there = [MEASURED["kl"](groups[i][t]) for i in drawn if t in groups[i]]
        means.append(statistics.fmean(there))
    assert [found["kl"]["low"][t], found["kl"]["high"][t]] == pytest.approx(interval(means))


def test_relative_positions(summary: dict, lines: list[dict]) -> None:
    found = summary["methods"]["urial"]["contexts"]["zero_shot"]["curves"]["relative"]
    bins: list[list[dict]] = [[] for _ in range(20)]
    for line in answered(lines, "urial"):
        rows = rows_of(line, "zero_shot")
        length = rows[-1]["position"] + 1
        for row in rows:
            bins[math.floor(20 * row["position"] / length)].append(row)
    assert found["n"] == [len(rows) for rows in bins]
    for name, measure in MEASURED.items():
        for place, rows in enumerate(bins):
            if rows:
                assert found[name]["mean"][place] == pytest.approx(statistics.fmean(map(measure, rows)))
            else:
                assert found[name]["mean"][place] is None


@pytest.mark.parametrize("method", METHODS)
def test_openers_and_tags(summary: dict, lines: list[dict], method: str) -> None:
    found = summary["methods"][method]["contexts"]["zero_shot"]
    answers = answered(lines, method)
    first = [[row for row in rows_of(line, "zero_shot") if row["position"] < 5] for line in answers]
    rest = [[row for row in rows_of(line, "zero_shot") if row["position"] >= 5] for line in answers]
    both = [i for i in range(len(answers)) if first[i] and rest[i]]
    for name in NAMES:
        assert found["openers"]["first"]["pooled"][name] == pytest.approx(mean(flat(first), name))
        assert found["openers"]["rest"]["pooled"][name] == pytest.approx(mean(flat(rest), name))
        apart = found["openers"]["difference"]
        one, other = (mean([row for i in both for row in part[i]], name) for part in (first, rest))
        assert apart["pooled"][name] == pytest.approx(one - other)
    for kind in ("topic", "task"):
        values = {value for line in answers for value in line["corpus"]["tags"][kind]}
        assert found["by_tag"][kind].keys() == values
        for value_name in values:
            groups = [rows_of(a, "zero_shot") for a in answers if value_name in a["corpus"]["tags"][kind]]
            cell = found["by_tag"][kind][value_name]
            assert (cell["answers"], cell["few"]) == (len(groups), len(groups) < 10)
            assert cell["pooled"]["shifted"] == pytest.approx(mean(flat(groups), "shifted"))
            assert cell["interval"]["shifted"] == pytest.approx(interval(pooled_draws(groups, "shifted")))


def flipped(apart: list[float]) -> float:
    signs = (np.random.default_rng(SEED).integers(0, 2, size=(FLIPS, len(apart))) * 2 - 1).tolist()
    limit = abs(math.fsum(apart)) * (1 - 1e-12)
    above = sum(abs(math.fsum(s * x for s, x in zip(row, apart, strict=True))) >= limit - 1e-15 for row in signs)
    return (1 + above) / (1 + FLIPS)


def held_against(found: dict, one: list[list[dict]], other: list[list[dict]]) -> None:
    assert found["questions"] == len(one)
    for name in NAMES:
        assert found["pooled"][name] == pytest.approx(mean(flat(one), name) - mean(flat(other), name))
        apart = [a - b for a, b in zip(pooled_draws(one, name), pooled_draws(other, name), strict=True)]
        assert found["interval"][name] == pytest.approx(interval(apart))
        own = [mean(a, name) - mean(b, name) for a, b in zip(one, other, strict=True)]
        assert found["p"][name] == pytest.approx(flipped(own), abs=2e-3)


def test_paired_differences(summary: dict, lines: list[dict]) -> None:
    for method in METHODS:
        one, other = ([rows_of(line, context) for line in answered(lines, method)] for context in CONTEXTS)
        held_against(summary["methods"][method]["difference_of_contexts"], one, other)
    (between,) = summary["differences"]
    assert (between["first"], between["second"], between["context"]) == (*METHODS, "urial")
    first = {line["corpus"]["id"]: rows_of(line, "urial") for line in answered(lines, METHODS[0])}
    second = {line["corpus"]["id"]: rows_of(line, "urial") for line in answered(lines, METHODS[1])}
    shared = [name for name in first if name in second]
    assert len(shared) == 13
    held_against(between, [first[name] for name in shared], [second[name] for name in shared])


def test_as_the_original_counts(summary: dict, lines: list[dict]) -> None:
    """By the aligned model's first choice, at its place in the base's list of ten; end tokens in."""
    found = summary["methods"]["urial"]["contexts"]["zero_shot"]["as_original"]
    ranks, kls, jaccards = [], [], []
    for line in answered(lines, "urial"):
        for row in line["shift"]["zero_shot"]["tokens"]:
            if not row["base_top"] or not row["aligned_top"]:
                continue
            listed = [entry[0] for entry in row["base_top"]]
            top = row["aligned_top"][0][0]
            ranks.append(listed.index(top) + 1 if top in listed else 11)
            p, q = ({i: x for i, _, x in row[side]} for side in ("base_top", "aligned_top"))
            p, q = ({i: x / sum(d.values()) for i, x in d.items()} for d in (p, q))
            shared = p.keys() & q.keys()
            kls.append(sum(p[i] * math.log(p[i] / q[i]) for i in shared if p[i] > 0 and q[i] > 0))
            jaccards.append(len(shared) / len(p.keys() | q.keys()))
    assert found["tokens"] == len(ranks)
    assert found["unshifted"] == pytest.approx(sum(rank == 1 for rank in ranks) / len(ranks))
    assert found["marginal"] == pytest.approx(sum(rank in (2, 3) for rank in ranks) / len(ranks))
    assert found["shifted"] == pytest.approx(sum(rank > 3 for rank in ranks) / len(ranks))
    assert found["mean_kl_at_10"] == pytest.approx(statistics.fmean(kls))
    assert found["mean_jaccard_at_10"] == pytest.approx(statistics.fmean(jaccards))


def test_a_line_of_the_same_key_counts_as_the_newest_says(tmp_path: Path) -> None:
    lines = make_lines(5)
    failed = [line for line in lines if line.error]
    mended = lines[0].model_copy(update={"origin": failed[0].origin})
    found = summarize(read(write_lines(tmp_path, [*lines, mended])))
    assert found["failed"] == 0 and found["methods"]["zero_shot"]["answers"] == 5


def test_one_answer_has_figures_and_no_intervals(tmp_path: Path) -> None:
    found = summarize(read(write_lines(tmp_path, make_lines(1, ("urial",)))))
    context = found["methods"]["urial"]["contexts"]["zero_shot"]
    assert context["pooled"]["unshifted"] is not None and context["interval"]["unshifted"] is None
    json.dumps(found, allow_nan=False)

"""just-eval's files: the published numbers come out of the published judgements, and ours are read by its report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import REFERENCE
from urial.errors import RecordError
from urial.judge import just_eval

FOLDER = REFERENCE / "just_eval"
OFFICIAL = ["1.score_multi.gpt-4", "1.safety.score_safety.chatgpt"]


def save(path: Path, items: list[dict[str, Any]]) -> Path:
    path.write_text(json.dumps(items), encoding="utf-8")
    return path


def scored(**scores: Any) -> dict[str, Any]:
    verdicts = {aspect: {"reason": "because", "score": score} for aspect, score in scores.items()}
    return {"id": 0, "input": "q", "output_cand": "one two three", "generator_cand": "m", "parsed_result": verdicts}


@pytest.mark.parametrize("name", OFFICIAL)
def test_official_numbers_come_out_exactly(name: str) -> None:
    if not FOLDER.is_dir():
        pytest.skip("the official files are not at ../shared/reference/just_eval")
    found = just_eval.aggregate(FOLDER / f"{name}.json")
    wanted = json.loads((FOLDER / f"{name}.eval_res.json").read_text(encoding="utf-8"))
    for key in wanted.keys() - {"output_file"}:
        assert found[key] == wanted[key], key
    with pytest.raises(RecordError, match="already a report"):
        just_eval.aggregate(FOLDER / f"{name}.eval_res.json")


def test_not_applicable_both_ways_and_what_is_left_out(tmp_path: Path) -> None:
    items = [scored(depth="3", factuality="N/A"), scored(depth=5, factuality="4"), {"id": 7, "output_cand": "x"}]
    found = just_eval.aggregate(save(tmp_path / "a.json", items))
    assert found["total"] == 2 and found["without_parsed_result"] == 1 and found["avg_lens"] == 3.0
    assert found["depth_mean"] == 4.0 and found["factuality_mean"] == 4.5  # N/A counts as 5.0
    assert found["dropped"] == {"depth_mean": 4.0, "factuality_mean": 4.0}
    assert found["not_applicable"] == {"depth": 0, "factuality": 1}


def test_older_pairwise_files(tmp_path: Path) -> None:
    sides = {"output_A": "one two", "output_B": "one", "generator_A": "m", "generator_B": "n"}
    swapped = {"output_A": "one", "output_B": "one two three", "generator_A": "n", "generator_B": "m"}
    single = [{**sides, "parsed_result": {"preference": "A", "reason": ""}}]
    single += [{**swapped, "parsed_result": {"preference": "b"}}, {**sides, "parsed_result": {"preference": "same"}}]
    found = just_eval.aggregate(save(tmp_path / "single.json", single))
    assert found["m"] == 2 and found["same"] == 1 and "n" not in found and found["total"] == 3
    assert found["avg_lens"] == {"m": 7 / 3, "n": 1.0}
    multi = [{**sides, "parsed_result": {"depth": {"preference": "A"}, "safety": {"preference": "tie"}}}]
    found = just_eval.aggregate(save(tmp_path / "multi.json", multi))
    assert found["depth"] == {"same": 0, "m": 1} and found["safety"] == {"same": 1} and found["total"] == 2


def test_pairwise_files_of_urial(tmp_path: Path) -> None:
    item = {"model_output": "abc", "ref_output": "abcde", "generator": "m", "ref_generator": "n"}
    first = {**item, "assignment": {"A": "m", "B": "n"}, "parsed_result": {"choices": {"depth": "A", "clarity": "tie"}}}
    second = {**item, "assignment": {"A": "n", "B": "m"}, "parsed_result": {"choices": {"depth": "A", "clarity": "B"}}}
    found = just_eval.aggregate(save(tmp_path / "urial.json", [first, second]))
    assert found["depth"] == {"win": 0.5, "tie": 0.0, "lose": 0.5}
    assert found["clarity"] == {"win": 0.5, "tie": 0.5, "lose": 0.0}
    assert found["avg_lens"] == {"m": 3.0, "n": 5.0}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("nonsense", "not JSON"),
        ("{}", "not a list"),
        ("[1]", "not a list"),
        ("[]", "nothing in it was judged"),
        ('[{"output_cand": "x"}]', "nothing in it was judged"),
        ('[{"output_cand": 1, "parsed_result": {}}]', "output_cand"),
        ('[{"output_cand": "x", "parsed_result": []}]', "parsed_result"),
        ('[{"output_cand": "x", "parsed_result": {"depth": {"score": "good"}}}]', "depth"),
        ('[{"output_A": "x", "parsed_result": {}}]', "generator_A"),
        ('[{"x": "x", "parsed_result": {}}]', '"generator"'),
    ],
)
def test_a_wrong_file_is_one_sentence(text: str, named: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RecordError, match=named):
        just_eval.aggregate(path)
    with pytest.raises(RecordError, match="cannot be read"):
        just_eval.aggregate(tmp_path / "none.json")


def original_report(items: list[dict[str, Any]]) -> dict[str, Any]:
    """What the original's `report` computes for several aspects, written anew from its description."""
    sums: dict[str, list[float]] = {}
    for item in items:
        if "parsed_result" in item:
            for aspect, result in item["parsed_result"].items():
                sums.setdefault(aspect, []).append(5.0 if result["score"] == "N/A" else float(result["score"]))
    return {f"{aspect}_mean": sum(found) / len(found) for aspect, found in sums.items()}


def test_ours_are_read_by_the_originals_report(tmp_path: Path) -> None:
    def item(number: int, verdicts: Any) -> dict[str, Any]:
        return just_eval.item_of(
            number=number, query="q", answer="a b", generator="m", mode="score_multi", judge="j", prompt="p",
            reply="{}", verdicts=verdicts,
        )  # fmt: skip

    verdicts = [{"depth": {"reason": "", "score": 2}}, {"depth": {"reason": "", "score": None}}, None]
    items = [item(number, found) for number, found in enumerate(verdicts)]
    assert items[1]["parsed_result"]["depth"]["score"] == "N/A" and "parsed_result" not in items[2]
    assert all(isinstance(i["parsed_result"]["depth"]["score"], str) for i in items[:2])
    assert original_report(items) == {"depth_mean": 3.5}
    assert just_eval.aggregate(save(tmp_path / "ours.json", items))["depth_mean"] == 3.5

"""Exports hold what other tools read; report and recording hold every answer; what is no corpus is refused."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
import yaml

from tests.support.lines_builder import METHODS, make_lines, write_lines
from tests.support.records_builder import HOSTILE, build
from urial.cli.main import main
from urial.corpus import hub_tables
from urial.corpus.lines import FILE, Line, Origin, read_lines
from urial.corpus.report import report
from urial.corpus.sources import open_source
from urial.corpus.views import TOP, cut_lists, unpack
from urial.errors import RecordError
from urial.render import view


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As the command line makes it of lines that are there; two of its questions are hostile."""
    made = tmp_path_factory.mktemp("corpus")
    hostile = Origin(key="h", id="</script><script>1", method="urial", tags={"topic": ["=1+1", "<img src=x>"]})
    lines = [
        *make_lines(12),
        Line(origin=hostile, query="".join(HOSTILE), record=build(HOSTILE, query="".join(HOSTILE))),
    ]
    write_lines(made, lines)
    assert main(["corpus", "--out", str(made), "--export", "all", "--record", str(made / "recorded.jsonl")]) == 0
    return made


def load(folder: Path, name: str):
    return json.loads((folder / name).read_text(encoding="utf-8"))


def test_llm_comparator_has_the_published_shape(folder: Path) -> None:
    """Its loader (client/lib/types.ts) wants every declared field in every example, lists where lists are."""
    for method in METHODS:
        data = load(folder, f"llm_comparator.{method}.json")
        assert data["metadata"].keys() == {"source_path", "custom_fields_schema"}
        assert [set(model) for model in data["models"]] == [{"name"}, {"name"}]
        declared = {field["name"]: field["type"] for field in data["metadata"]["custom_fields_schema"]}
        assert set(declared.values()) <= {"number", "text", "per_model_number", "per_model_category"}
        for one in data["examples"]:
            assert all(isinstance(one[key], str) for key in ("input_text", "output_text_a", "output_text_b"))
            assert one["individual_rater_scores"] == [] and one["score"] is None
            assert one["custom_fields"].keys() == declared.keys()
            for name, kind in declared.items():
                assert not kind.startswith("per_model") or len(one["custom_fields"][name]) == 2
    assert len(load(folder, "llm_comparator.urial.json")["examples"]) == 13


def test_just_eval_outputs(folder: Path) -> None:
    for name, count in (("base.urial", 13), ("base.zero_shot", 11), ("aligned", 13)):
        data = load(folder, f"just_eval.{name}.json")
        assert len(data) == count
        assert all(isinstance(one[key], str) for one in data for key in ("instruction", "output", "generator"))


def test_inspect_log_has_what_version_2_requires(folder: Path) -> None:
    data = load(folder, "inspect.aligned.json")
    assert data["version"] == 2 and data["status"] == "success"
    assert {"created", "task", "dataset", "model", "config"} <= data["eval"].keys()
    assert all({"id", "epoch", "input", "target"} <= one.keys() for one in data["samples"])
    (zero_shot,) = [one for one in data["results"]["scores"] if one["name"] == "zero_shot"]
    values = [one["scores"]["zero_shot"]["value"] for one in data["samples"]]
    assert zero_shot["metrics"]["mean"]["value"] == pytest.approx(sum(values) / len(values))


def test_tables_agree_with_the_records_and_carry_no_formula(folder: Path) -> None:
    rows = [
        json.loads(line) for line in (folder / "tables" / "tokens.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    ]
    lines = [line for line in read_lines(folder) if line.record]
    assert len(rows) == sum(len(shift.tokens) for line in lines for shift in line.record.shift.values())
    with (folder / "tables" / "tokens.csv").open(encoding="utf-8", newline="") as file:
        sheet = list(csv.DictReader(file))
    assert len(sheet) == len(rows)
    for one, other in zip(sheet, rows, strict=True):
        assert not one["text"].lstrip(" ").startswith(("=", "+", "-", "@"))
        assert one["text"].removeprefix("'") == other["text"].removeprefix("'")
        assert one["base_rank"] == ("" if other["base_rank"] is None else str(other["base_rank"]))
    answers = [
        json.loads(line) for line in (folder / "tables" / "answers.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    ]
    assert len(answers) == len(list(read_lines(folder))) and sum(bool(one["error"]) for one in answers) == 1


def test_parquet_holds_the_same_rows_with_types(folder: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    for name in ("answers", "tokens"):
        text = (folder / "tables" / f"{name}.jsonl").read_text(encoding="utf-8")
        rows = [json.loads(line) for line in text.split("\n")[:-1]]
        table = parquet.read_table(folder / "tables" / f"{name}.parquet")
        assert table.to_pylist() == rows
    kinds = {field.name: str(field.type) for field in table.schema}
    assert kinds["base_rank"] == "int64" and kinds["kl_nats"] == "double" and kinds["is_special"] == "bool"


def test_parquet_takes_no_text_for_a_date_and_no_late_value_by_surprise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows beyond one batch, a column that begins empty, whole numbers among fractions, dates and line ends as text."""
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(hub_tables, "BATCH", 3)
    rows = [
        {
            "id": f"2026-01-{n + 1:02}",
            "late": None if n < 7 else "x",
            "share": 1 if n % 2 else 0.5,
            "text": "a\u2028b\r",
        }
        for n in range(10)
    ]
    assert hub_tables.write_table(tmp_path / "answers", iter(rows))
    table = parquet.read_table(tmp_path / "answers.parquet")
    assert table.to_pylist() == rows
    assert [str(field.type) for field in table.schema] == ["string", "string", "double", "string"]


def test_the_readme_names_tables_that_are_there(folder: Path) -> None:
    text = (folder / "README.md").read_text(encoding="utf-8")
    configs = yaml.safe_load(text.split("---")[1])["configs"]
    assert [one["config_name"] for one in configs] == ["answers", "tokens"]
    assert all((folder / one["data_files"]).is_file() for one in configs)


def test_the_report_holds_every_answer_and_runs_nothing_of_theirs(folder: Path) -> None:
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert len(page.encode()) < 3_000_000
    packed = re.findall(r'<script type="text/plain" id="question-(\d+)">([A-Za-z0-9+/=]+)</script>', page)
    front = json.loads(re.search(r'id="corpus">(.*?)</script>', page, re.DOTALL)[1])
    assert len(front["rows"]) == 13 and len(packed) == 13
    assert page.count("<script") == 13 + 2 and "<img" not in page
    for place, text in packed:
        for method, payload in unpack(text).items():
            assert payload["query"] == front["rows"][int(place)]["query"]
            assert method in front["rows"][int(place)]["methods"]


def test_a_large_report_stays_small_and_says_what_it_left_out(folder: Path) -> None:
    """Lists are cut first, then the answers of the last questions; script, figures and rows stay."""
    summary = load(folder, "summary.json")
    whole, least = (len(report(folder, summary, limit).encode()) for limit in (3_000_000, 1))
    kept = []
    for limit in (whole - 1, (whole + least) // 2, least + (whole - least) // 10, least):
        page = report(folder, summary, limit)
        assert len(page.encode()) <= limit and "alternatives are cut to" in page
        places = [int(place) for place in re.findall(r'text/plain" id="question-(\d+)"', page)]
        assert places == sorted(places) and places == [*range(len(places))]
        left_out = f"The answers of the first {len(places)} of 13 questions are in this file"
        assert (left_out in page) == (len(places) < 13)
        kept.append(len(places))
    assert kept[:2] == [13, 13] and 0 < kept[2] < 13 and kept[3] == 0


def test_a_folder_and_its_recording_show_the_same(folder: Path) -> None:
    whole, recorded = open_source(folder), open_source(folder / "recorded.jsonl")
    assert whole.front()["summary"] == recorded.front()["summary"] == load(folder, "summary.json")
    assert whole.front()["rows"] == recorded.front()["rows"]
    for row in whole.front()["rows"]:
        one, other = whole.question(row["id"]), recorded.question(row["id"])
        assert one.keys() == other.keys()
        for method, payload in one.items():
            assert other[method]["aligned"]["text"] == payload["aligned"]["text"]
    with pytest.raises(RecordError, match="no answer to the question"):
        recorded.question("none")


def test_shorter_lists_name_the_same_tokens() -> None:
    payload = view.payload(build())
    cut = cut_lists(payload, 3)
    assert cut_lists(payload, TOP) is payload
    for name, context in payload["shift"].items():
        rows, short = context["rows"], cut["shift"][name]["rows"]
        assert [rows["table"][i] for i in rows["token"]] == [short["table"][i] for i in short["token"]]
        for key in ("base_top", "aligned_top"):
            named = [[rows["table"][i] for i in entry[:3]] for entry in rows[key]]
            assert named == [[short["table"][i] for i in entry] for entry in short[key]]
            assert [entry[:3] for entry in rows[f"{key}_p"]] == short[f"{key}_p"]


@pytest.mark.parametrize(
    ("name", "text", "named"),
    [
        ("summary.json", '{"schema": "other/1"}', "schema"),
        ("summary.json", "nonsense", "not JSON"),
        (FILE, "nonsense\n", "line 1 is not JSON"),
        (FILE, "", "holds no line yet"),
    ],
)
def test_a_wrong_folder_is_one_sentence(
    name: str, text: str, named: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert main(["corpus", "--out", str(tmp_path)]) == 2
    told = capsys.readouterr()
    assert named in told.err and told.err.count("\n") == 1 and told.out == ""


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--export", "magic"], "--export 'magic'"),
        (["held_out", "--methods", "magic"], "no method 'magic'"),
        (["held_out", "--methods", ","], "--methods names none"),
        (["held_out", "--pool", "x.jsonl"], "--pool goes with"),
        (["held_out", "--limit", "0"], "--limit 0 is too small"),
        (["none.jsonl"], "cannot be read"),
    ],
)
def test_a_wrong_argument_is_one_sentence(
    arguments: list[str], named: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(["corpus", "--out", str(tmp_path / "x"), *arguments]) == 2
    told = capsys.readouterr()
    assert named in told.err and told.err.count("\n") == 1

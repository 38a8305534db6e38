"""Recording the gallery: resumable, whole files or none, one sentence for each mistake, over tiny random models."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.support import tiny
from tests.support.paths import ROOT
from urial.cli.main import main
from urial.compare.events import Failed
from urial.gallery import FOLDER, Entry, files, load_entries, load_entry, recording
from urial.gallery.listing import load_items
from urial.shares import summarize
from urial.sibling.examples import load_files
from urial.sibling.similarity import nearest
from urial.sibling.training import OWN_EXAMPLES
from urial.weights.sources import fingerprint

ONE = {"id": "one", "title": "One", "topic": "Facts", "turns": ["the question"], "look_at": "a token"}
TWO = {"id": "two", "title": "Two", "topic": "Two turns", "turns": ["the first", "a second"], "look_at": "a turn"}
ITEMS: list[dict[str, Any]] = [{**ONE, "method": "zero_shot"}, {**TWO, "examples": 0}]


class Desk:
    """A folder with a pair, a list and what is recorded; `record` runs the command."""

    def __init__(self, folder: Path, pairs: Path) -> None:
        self.folder = folder
        self.pairs = pairs
        self.out = folder / "recordings"
        self.write([{**item, "max_new_tokens": 6} for item in ITEMS])

    def write(self, items: list[dict[str, Any]]) -> None:
        (self.folder / "list.yaml").write_text(yaml.safe_dump(items, allow_unicode=True), encoding="utf-8")
        self.items = items

    def change(self, index: int, **changes: object) -> None:
        self.write([{**item, **changes} if each == index else item for each, item in enumerate(self.items)])

    def record(self, *more: str) -> int:
        names = ["--models", str(self.pairs), "--list", str(self.folder / "list.yaml"), "--out", str(self.out)]
        return main(["gallery", "record", *names, "--device", "cpu", *more])

    def bytes(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.out.iterdir()}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pairs of tiny models that differ in the sibling."""
    folder = tmp_path_factory.mktemp("models")
    for seed in range(3):
        model = tiny.model("llama", seed)
        model.config.max_position_embeddings = 16384
        model.save_pretrained(folder / f"m{seed}")
        tiny.tokenizer().save_pretrained(folder / f"m{seed}")
    rows = [
        {"name": f"p{seed}", "title": "T", "licence": "x", "base": {"folder": "m0"}, "aligned": {"folder": f"m{seed}"}}
        for seed in (1, 2)
    ]
    (folder / "models.yaml").write_text(yaml.safe_dump({"default": "p1", "pairs": rows}), encoding="utf-8")
    return folder / "models.yaml"


@pytest.fixture
def desk(tmp_path: Path, pairs: Path) -> Desk:
    return Desk(tmp_path, pairs)


@pytest.fixture(scope="module")
def first_run(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command records into an empty folder."""
    desk = Desk(tmp_path_factory.mktemp("first"), pairs)
    assert desk.record() == 0
    return desk.out


@pytest.fixture
def recorded(desk: Desk, first_run: Path) -> Desk:
    """A desk where the command ran once."""
    shutil.copytree(first_run, desk.out)
    return desk


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The queries that models are run on."""
    queries: list[str] = []
    compare = recording.core.compare

    def counting(engines, request, control=None):
        queries.append(request.query)
        return compare(engines, request, control)

    monkeypatch.setattr(recording.core, "compare", counting)
    return queries


def test_every_item_becomes_a_recording_in_the_lists_order(desk: Desk, counted: list[str]) -> None:
    assert desk.record() == 0
    assert counted == ["the question", "the first", "a second"]
    assert sorted(desk.bytes()) == ["01-one.json", "02-two.json"]
    one, two = load_entries(desk.out)
    assert (one.title, one.topic, one.look_at) == ("One", "Facts", "a token")
    assert set(one.turns[0].shift) == {"zero_shot", "urial"}
    assert one.turns[0].settings.method == "zero_shot" and one.turns[0].settings.max_new_tokens == 6
    first, second = two.turns
    assert [message.content for message in second.history] == ["the first", first.aligned.text]
    assert (second.query, second.settings.examples) == ("a second", 0)


def test_what_is_recorded_is_left_alone(recorded: Desk, counted: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    before = recorded.bytes()
    assert recorded.record() == 0
    assert counted == [] and recorded.bytes() == before
    assert "2 unchanged" in capsys.readouterr().out
    (recorded.out / "01-one.json").unlink()
    recorded.record()
    assert counted == ["the question"]


def test_changed_words_follow_without_running_anything(recorded: Desk, counted: list[str]) -> None:
    before = load_entry(recorded.out / "01-one.json")
    recorded.change(0, look_at="another sentence", title="Uno")
    recorded.record()
    after = load_entry(recorded.out / "01-one.json")
    assert (after.title, after.look_at) == ("Uno", "another sentence")
    assert (after.turns, after.recorded_at) == (before.turns, before.recorded_at)
    assert counted == []


@pytest.mark.parametrize("change", [{"max_new_tokens": 5}, {"method": "vanilla_icl"}, {"turns": ["another question"]}])
def test_another_setting_is_recorded_anew(recorded: Desk, counted: list[str], change: dict) -> None:
    recorded.change(0, **change)
    recorded.record()
    assert len(counted) == 1
    assert recorded.record() == 0 and len(counted) == 1


def test_other_models_and_the_users_wish_record_anew(recorded: Desk, counted: list[str]) -> None:
    recorded.record("--only", "one", "--again")
    assert counted == ["the question"]
    recorded.record("--pair", "p2")
    assert len(counted) == 4
    assert {turn.pair.name for entry in load_entries(recorded.out) for turn in entry.turns} == {"p2"}


def test_a_recording_moves_with_its_place_in_the_list(recorded: Desk, counted: list[str]) -> None:
    recorded.write([*reversed(recorded.items)])
    recorded.record()
    assert sorted(recorded.bytes()) == ["01-two.json", "02-one.json"]
    assert counted == []


def test_a_recording_that_the_list_does_not_hold_is_named(recorded: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    recorded.write(recorded.items[:1])
    recorded.record()
    assert "02-two.json is not in the list" in capsys.readouterr().out
    assert (recorded.out / "02-two.json").exists()


def test_a_broken_recording_is_made_anew(recorded: Desk) -> None:
    (recorded.out / "01-one.json").write_bytes(b'{"schema": "urial.gallery/1", "tit')
    recorded.record()
    assert load_entry(recorded.out / "01-one.json").title == "One"


def test_a_full_disk_leaves_the_earlier_file_and_no_part(
    recorded: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = recorded.bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    assert recorded.record("--again", "--only", "one") == 1
    assert "No space left" in capsys.readouterr().err
    assert recorded.bytes() == before


def test_half_a_comparison_is_no_recording(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    compare = recording.core.compare

    def failing(engines, request, control=None):
        if request.query == "a second":
            yield Failed("aligned", "The sibling gave up; ask again.")
        yield from compare(engines, request, control)

    monkeypatch.setattr(recording.core, "compare", failing)
    assert desk.record() == 1
    assert "two was not recorded: The sibling gave up" in capsys.readouterr().err
    assert sorted(desk.bytes()) == ["01-one.json"]  # what was finished stays


# Mistakes

HEAD = "- {id: a, title: A, topic: T, look_at: L, turns: [q]}\n"
WRONG_LISTS: dict[str, tuple[str, str]] = {
    "not there": ("", "cannot be read"),
    "no YAML": ("- [", "not YAML"),
    "empty": ("# nothing\n", "must be a list"),
    "a mapping": ("a: 1\n", "must be a list"),
    "a key twice": ("- {id: a, id: b}\n", "appears twice"),
    "an unknown key": (HEAD.replace("topic", "subject"), "number 1 (a)"),
    "no turns": (HEAD.replace("turns: [q]", "turns: []"), "turns"),
    "nothing to look at": (HEAD.replace("look_at: L, ", ""), "look_at"),
    "a number for a text": (HEAD.replace("title: A", "title: 7"), "title"),
    "an empty question": (HEAD.replace("[q]", "[' ']"), "query is empty"),
    "an unknown method": (HEAD.replace("[q]", "[q], method: magic"), "no method 'magic'"),
    "a prompt file": (HEAD.replace("[q]", "[q], method: file"), "file"),
    "examples that there are not": (HEAD.replace("[q]", "[q], examples: 5"), "examples"),
    "no tokens": (HEAD.replace("[q]", "[q], max_new_tokens: 0"), "max_new_tokens"),
    "an id with a slash": (HEAD.replace("id: a", "id: ../a"), "id"),
    "an id twice": (HEAD + HEAD, "two recordings have the id 'a'"),
}


def complaint(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of a mistake."""
    assert main(["gallery", "record", *arguments]) == 2
    output = capsys.readouterr()
    assert output.out == "" and output.err.count("\n") == 1
    return output.err


@pytest.mark.parametrize("name", WRONG_LISTS)
def test_a_wrong_list_is_one_sentence(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, words = WRONG_LISTS[name]
    path = tmp_path / "list.yaml"
    if text:
        path.write_text(text, encoding="utf-8")
    assert words in complaint(["--list", str(path), "--out", str(tmp_path / "out")], capsys)
    assert not (tmp_path / "out").exists()


def test_a_misspelt_recording_is_guessed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 'did you mean "lighthouse"?' in complaint(["--only", "lighthose", "--out", str(tmp_path)], capsys)


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "taken").write_text("", encoding="utf-8")
    assert "choose another --out" in complaint(["--out", str(tmp_path / "taken")], capsys)


def test_an_unknown_pair_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "gpt-9" in complaint(["--pair", "gpt-9", "--out", str(tmp_path)], capsys)


# Numbers in files


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_keep_single_precision(value: float) -> None:
    assert files.shortened({"a": [value]})["a"][0] == pytest.approx(value, rel=1e-6, abs=0)


def test_files_hold_no_number_longer_than_its_precision(desk: Desk) -> None:
    desk.record("--only", "one")
    data = (desk.out / "01-one.json").read_text(encoding="utf-8")
    long: list[str] = []
    json.loads(data, parse_float=lambda text: long.append(text) if len(text.split("e")[0].lstrip("-0.")) > 8 else 0.0)
    assert long == []


# The gallery's own list


def test_the_list_covers_what_it_should() -> None:
    items = load_items()
    assert 12 <= len(items) <= 15
    topics = {item.topic for item in items}
    assert topics >= {
        "Facts",
        "Advice",
        "Safety",
        "Code",
        "Arithmetic",
        "Story",
        "Another language",
        "Two turns",
        "List",
        "An honest unknown",
    }
    assert sum(item.topic == "Safety" for item in items) == 3
    assert any(len(item.turns) == 2 for item in items)


def test_the_sibling_was_not_trained_on_what_the_list_asks() -> None:
    splits = [ROOT / "urial" / "sibling" / name for name in ("held_out.jsonl", "choosing.jsonl")]
    seen = [content for e in load_files([*OWN_EXAMPLES, *splits]) for role, content in e.messages if role == "user"]
    assert len(seen) > 1000
    for item in load_items():
        for turn in item.turns:
            assert nearest(turn, seen, 2) < 0.6, turn


# The recordings that are shipped


@pytest.fixture(scope="module")
def shipped() -> list[tuple[Path, Entry]]:
    return [(path, load_entry(path)) for path in sorted(FOLDER.glob("*.json"))]


def test_what_is_shipped_is_the_list_word_for_word(shipped: list[tuple[Path, Entry]]) -> None:
    items = load_items()
    assert [path.name for path, _ in shipped] == [place.path.name for place in files.places(FOLDER, items)]
    for item, (_, entry) in zip(items, shipped, strict=True):
        assert (entry.title, entry.topic, entry.look_at) == (item.title, item.topic, item.look_at)
        assert [turn.query for turn in entry.turns] == item.turns
        assert {turn.settings.max_new_tokens for turn in entry.turns} == {item.max_new_tokens}


def test_recordings_were_made_with_the_embedded_pair_of_today(shipped: list[tuple[Path, Entry]]) -> None:
    adapter = fingerprint(ROOT / "urial" / "sibling" / "adapter")
    for path, entry in shipped:
        for turn in entry.turns:
            assert turn.pair.name == "gemma3-270m-embedded"
            assert str(turn.pair.revisions["aligned"]).endswith(adapter), f"{path.name}: record the gallery again"


def known(summary: dict[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in summary.items() if value is not None}


def test_recordings_hold_both_contexts_and_their_numbers_agree(shipped: list[tuple[Path, Entry]]) -> None:
    for path, entry in shipped:
        for turn in entry.turns:
            assert set(turn.shift) == {"zero_shot", "urial"}
            for shift in turn.shift.values():
                assert "".join(row.text for row in shift.tokens) == turn.aligned.text, path.name
                assert [row.id for row in shift.tokens] == turn.aligned.token_ids
                again = summarize(shift.tokens).model_dump()
                assert known(shift.summary.model_dump()) == pytest.approx(known(again), rel=1e-5), path.name


def test_recordings_are_small_and_say_nothing_of_the_machine(shipped: list[tuple[Path, Entry]]) -> None:
    sizes = [path.stat().st_size for path, _ in shipped]
    assert sum(sizes) < 8_000_000
    for path, _ in shipped:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"/(home|root|tmp|work|Users|mnt|var|opt)/|[A-Z]:\\\\", text), path.name


def shares(entry: Entry) -> set[float]:
    """All percentages that a sentence about a recording may quote."""
    summaries = [shift.summary for turn in entry.turns for shift in turn.shift.values()]
    names = ("unshifted", "marginal", "shifted")
    return {round(100 * getattr(summary, name), digits) for summary in summaries for name in names for digits in (0, 1)}


def test_what_to_look_at_quotes_true_numbers(shipped: list[tuple[Path, Entry]]) -> None:
    for path, entry in shipped:
        for quoted in re.findall(r"([\d.]+) %", entry.look_at):
            assert float(quoted) in shares(entry), f"{path.name}: {quoted} %"
        for quoted in re.findall(r"“([^”]+)”", entry.look_at):
            texts = [side.text for turn in entry.turns for side in (turn.base, turn.aligned)]
            asked = [turn.query for turn in entry.turns]
            assert any(quoted in text for text in (*texts, *asked)), f"{path.name}: {quoted}"

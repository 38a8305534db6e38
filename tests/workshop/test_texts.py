"""The languages of the class's pages: every key in each, every place filled, plural forms by the language's rules."""

from __future__ import annotations

import ast
import re

import pytest

from tests.support.paths import ROOT
from urial.workshop.refusals import Refused
from urial.workshop.texts import FOLDER, PLURALS, say, spoken, texts

WORKSHOP = ROOT / "urial" / "workshop"
FORMS = re.compile(r"\.(?:zero|one|two|few|many|other)$")


def stems(language: str) -> dict[str, set[str]]:
    """Keys without their plural forms, each with the forms that there are."""
    found: dict[str, set[str]] = {}
    for key in texts(language):
        form = FORMS.search(key)
        found.setdefault(FORMS.sub("", key) if form else key, set()).update([form[0][1:]] if form else [])
    return found


def test_there_is_one_file_for_each_language() -> None:
    assert {path.stem for path in FOLDER.glob("*")} == set(PLURALS)
    listed = re.search(r"const LANGUAGES = \{(.*?)\}", (WORKSHOP / "pages" / "common.js").read_text(encoding="utf-8"))
    assert listed and set(re.findall(r"(\w+):", listed[1])) == set(PLURALS)


@pytest.mark.parametrize("language", sorted(PLURALS))
def test_all_keys_are_in_each_language(language: str) -> None:
    ours, english = stems(language), stems("en")
    assert set(ours) == set(english)
    for stem, forms in ours.items():
        assert forms == (set(PLURALS[language]) if english[stem] else set()), stem


@pytest.mark.parametrize("language", sorted(PLURALS))
def test_texts_have_the_same_places_and_no_markup(language: str) -> None:
    english = {FORMS.sub("", key): text for key, text in texts("en").items()}
    for key, text in texts(language).items():
        assert text.strip() and not re.search(r"[<>&]", text), key
        places = set(re.findall(r"\{(\w+)\}", text))
        assert places == set(re.findall(r"\{(\w+)\}", english[FORMS.sub("", key)])), key


def test_japanese_is_japanese() -> None:
    same = [key for key, text in texts("ja").items() if not re.search(r"[ぁ-んァ-ヶ一-龠]", text)]
    assert set(same) <= {"choice.a", "choice.b", "host.export.csv", "host.export.json"}


def test_every_key_that_a_page_names_is_there_and_none_is_left_over() -> None:
    scripts = "\n".join(path.read_text(encoding="utf-8") for path in (WORKSHOP / "pages").glob("*.js"))
    code = "\n".join(path.read_text(encoding="utf-8") for path in WORKSHOP.glob("*.py"))
    quoted = set(re.findall(r"[\"'`]([a-z_]+(?:\.[a-z_]+)*)[\"'`]", scripts + code))
    patterns = [
        re.compile(re.sub(r"\\?\$?\\?\{.*?\\?\}", "[a-z_]+", re.escape(found)))
        for found in re.findall(
            r"(?:t|button)\(`([^`]+)`|f\"((?:yours|mark|legend|guesser|table|tally|outcome|choice|context)\.\{[^\"]+)\"",
            scripts + code,
        )
        for found in found
        if found
    ]
    known = stems("en")
    named = {key for key in re.findall(r"\bt\(\"([a-z_.]+)\"", scripts)}
    assert named <= set(known), named - set(known)
    refusals = set()
    for path in WORKSHOP.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Refused":
                if isinstance(node.args[0], ast.Constant):
                    refusals.add(f"refused.{node.args[0].value}")
    assert refusals <= set(known)
    used = quoted | refusals | {"refused.tries", "refused.many_rooms", "refused.many_records"}
    left = {key for key in known if key not in used and not any(p.fullmatch(key) for p in patterns)}
    assert left == set()


def test_plurals_and_values() -> None:
    assert say("en", "students", n=1) == "1 student" and say("en", "students", n=30) == "30 students"
    assert say("ja", "students", n=1) == "生徒 1 人"
    assert say("en", "item.of", number="{of}", of=3) == "{of} of 3"  # a value is not filled in again
    assert "12" in str(Refused("tries", seconds=12))


@pytest.mark.parametrize(
    ("accepted", "language"),
    [("ja,en;q=0.8", "ja"), ("en-GB", "en"), ("fr-FR, ja-JP;q=0.5", "ja"), ("fr", "en"), ("", "en"), (";;,", "en")],
)
def test_the_browser_chooses(accepted: str, language: str) -> None:
    assert spoken(accepted) == language

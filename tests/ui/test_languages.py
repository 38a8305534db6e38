"""The main page's languages: every key in each, the same places, no markup; plural forms by the language's rules."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from urial.ui import gallery_tab, languages, learn_tab

PLURALS = {"en": {"one", "other"}, "ja": {"other"}}  # categories of Unicode's CLDR for whole numbers
FORM = re.compile(r"\.(?:zero|one|two|few|many|other)$")


def stems(language: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for key in languages.dictionary(language):
        form = FORM.search(key)
        found.setdefault(FORM.sub("", key), set()).update([form[0][1:]] if form else [])
    return found


def test_there_is_one_file_for_each_language() -> None:
    files = {path.stem for path in Path(languages.__file__).parent.glob("*.json")}
    assert files == set(languages.NAMES) == set(PLURALS)


@pytest.mark.parametrize("language", sorted(languages.NAMES))
def test_all_keys_are_in_each_language(language: str) -> None:
    ours, english = stems(language), stems("en")
    assert set(ours) == set(english)
    for stem, forms in ours.items():
        assert forms == (PLURALS[language] if english[stem] else set()), stem


@pytest.mark.parametrize("language", sorted(languages.NAMES))
def test_texts_have_the_same_places_and_no_markup(language: str) -> None:
    english = {FORM.sub("", key): text for key, text in languages.dictionary("en").items()}
    for key, text in languages.dictionary(language).items():
        assert text.strip() == text and text and not re.search(r"[<>&]", text), key
        assert sorted(re.findall(r"\{\w+\}", text)) == sorted(re.findall(r"\{\w+\}", english[FORM.sub("", key)])), key


def test_an_english_text_stands_for_one_key() -> None:
    """It is what the others are found by."""
    texts = list(languages.dictionary("en").values())
    assert sorted(texts) == sorted(set(texts))


def test_japanese_is_japanese() -> None:
    same = [key for key, text in languages.dictionary("ja").items() if not re.search(r"[ぁ-んァ-ヶ一-龠]", text)]
    assert set(same) <= {"percent", "table.each", "row.pbase", "strip.kl", "row.js"}


class Outline(HTMLParser):
    """For each language of the lesson, the names of its elements in order, and whether each says what it means."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, list[str]] = {}
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._open.append(given.get("lang") or (self._open[-1] if self._open else ""))
        self.found.setdefault(self._open[-1], []).append(f"{tag} {'data-says' in given}")

    def handle_endtag(self, tag: str) -> None:
        self._open.pop()


def test_the_lesson_has_the_same_parts_in_each_language() -> None:
    text = (learn_tab.ASSETS / "learn.html").read_text(encoding="utf-8")
    outline = Outline()
    outline.feed(re.sub(r"<img[^>]*>", "", text))
    assert set(outline.found) == {"", *languages.NAMES}
    kinds = {name: sorted(outline.found[name]) for name in languages.NAMES}
    assert all(each == kinds["en"] for each in kinds.values())
    style = (learn_tab.ASSETS / "page.css").read_text(encoding="utf-8")
    for name in languages.NAMES:
        assert f'.learn [lang="{name}"]' in style  # hidden where the page speaks another one


def test_every_topic_of_the_gallery_has_its_words() -> None:
    known = {text for key, text in languages.dictionary("en").items() if key.startswith("topic.")}
    assert {entry.topic for entry in gallery_tab.entries(gallery_tab.FOLDER)} <= known

"""Measuring a sibling: batched answers equal single ones, sums are right, an evaluation goes on where it stopped."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

import pytest
import torch

from tests import tiny
from urial.errors import RecordError, SettingsError
from urial.prompts import method
from urial.sibling import evaluate
from urial.sibling.examples import Example
from urial.sibling.generation import Job, PlainReader, Writer, Written
from urial.sibling.measures import fenced, measure, table, transcripts
from urial.weights import LoadedModel, LoadedPair

pytestmark = pytest.mark.slow

ENDS = frozenset({1, 3})


def loaded(seed: int = 0) -> LoadedModel:
    return LoadedModel(tiny.model("gemma3", seed), tiny.tokenizer(), ENDS, "tiny", "r1")


def jobs() -> list[Job]:
    words = ["the answer", "to", "the question is here the question is here", "is here the answer is", "x"]
    return [Job(f"j{i}", tuple([0, *tiny.tokenizer()(text)["input_ids"]])) for i, text in enumerate(words)]


def greedy(side: LoadedModel, prompt: tuple[int, ...], most: int) -> list[int]:
    """The plain definition: the whole text again for every token."""
    ids = list(prompt)
    for _ in range(most):
        with torch.no_grad():
            ids.append(int(side.model(torch.tensor([ids])).logits[0, -1].argmax()))
        if ids[-1] in ENDS:
            break
    return ids[len(prompt) :]


def test_batched_answers_are_those_of_each_prompt_alone() -> None:
    side = loaded()
    written = {answer.id: answer for answer in Writer(side, 24, 1.0, PlainReader).write(jobs(), batch=3)}
    for job in jobs():
        expected = greedy(side, job.prompt, 24)
        assert written[job.id].ended == (expected[-1] in ENDS)
        assert list(written[job.id].ids) == [i for i in expected if i not in ENDS]


class FirstPiece:
    """Ends an answer at the first text that it is shown."""

    def __init__(self) -> None:
        self.stopped = False

    def feed(self, piece: str) -> str:
        self.stopped = bool(piece)
        return piece

    def finish(self) -> str:
        return ""


def test_reader_ends_an_answer_and_its_tokens() -> None:
    plain = {answer.id: answer for answer in Writer(loaded(), 24, 1.0, PlainReader).write(jobs(), batch=5)}
    cut = {answer.id: answer for answer in Writer(loaded(), 24, 1.0, FirstPiece).write(jobs(), batch=5)}
    stopped = [i for i in plain if plain[i].text]
    assert stopped
    for i in stopped:
        assert cut[i].ended and plain[i].text.startswith(cut[i].text)
        assert plain[i].ids[: len(cut[i].ids)] == cut[i].ids
        assert not tiny.tokenizer().decode(cut[i].ids[:-1]).strip("\N{REPLACEMENT CHARACTER}")
        assert len(cut[i].ids) <= len(plain[i].ids)


def some_examples() -> list[Example]:
    topics = ("facts", "harmful", "code", "harmful")
    return [Example(f"x{i}", t, (("user", "why"), ("assistant", "Here."))) for i, t in enumerate(topics)]


def answers(*texts: str, ended: bool = True) -> dict[str, Written]:
    return {f"x{i}": Written(f"x{i}", (1, 2, 3), text, ended) for i, text in enumerate(texts)}


def test_measures_count_what_they_say() -> None:
    found = answers("Sure.", "I can't help with that.", "I won't help you.", "Of course!")
    found["x0"] = Written("x0", tuple([7] * 30), "Sure.", False)
    got = measure(some_examples(), found, 2.0)
    assert (got.ended, got.without_loop, got.declines_harmful, got.declines_harmless) == (0.75, 0.75, 0.5, 0.5)
    assert (got.not_ended, got.looping) == (("x0",), ("x0",))
    assert (got.declined_harmful, got.declined_harmless) == (("x1",), ("x2",))


def test_table_holds_both_sides_and_the_ratio() -> None:
    one = measure(some_examples(), answers("a", "I can't help with that.", "c", "I won't help."), 2.1)
    other = measure(some_examples()[:1], answers("a", ended=False), 3.0)
    text = table(one, other)
    assert "2.100 (70.0 % of the base's)" in text and "3.000" in text
    assert "| declines the harmful | 100.0 % | >= 80 % | none to count |" in text


def test_transcript_shows_text_verbatim() -> None:
    nasty = "```html\n<script>alert(1)</script>\n````\n# Query:"
    text = transcripts(some_examples()[:1], answers(nasty), answers("plain", ended=False))
    assert nasty in text and "`````text" in text
    assert "URIAL prompt (cut at the length limit)" in text
    assert fenced("a").startswith("```text\na\n```")


@pytest.fixture
def study(tmp_path: Path) -> evaluate.Study:
    pair = LoadedPair(loaded(0), loaded(1), False)
    return evaluate.Study(pair, some_examples(), tmp_path, 2)


def test_evaluation_writes_everything_and_goes_on_where_it_stopped(
    study: evaluate.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "NEW_TOKENS", 6)
    text = evaluate._report(study)
    assert text == (study.out / "measures.md").read_text(encoding="utf-8")
    measures = json.loads((study.out / "measures.json").read_text(encoding="utf-8"))
    assert measures["sibling"]["answers"] == measures["base"]["answers"] == 4
    path = study.out / "answers-sibling.jsonl"
    before = path.read_text(encoding="utf-8")
    lines = before.split("\n")
    path.write_text("\n".join(lines[:2]) + "\n" + lines[2][:9], encoding="utf-8")  # killed while writing
    (study.out / "measures.md").unlink()
    assert evaluate._report(study) == text
    assert sorted(path.read_text(encoding="utf-8").splitlines()) == sorted(before.splitlines())


def test_broken_answers_file_is_named(study: evaluate.Study) -> None:
    (study.out / "answers-base.jsonl").write_text('{"id": "x0"}\n', encoding="utf-8")
    with pytest.raises(RecordError, match="answers-base"):
        list(evaluate._read_answers(study.out / "answers-base.jsonl"))


def test_folder_of_another_evaluation_is_refused(tmp_path: Path) -> None:
    options = Namespace(adapter=tmp_path, out=tmp_path, base_folder=None, base_hub=None, base_package=None)
    evaluate._claim(options, some_examples())
    evaluate._claim(options, some_examples())
    with pytest.raises(SettingsError, match="something else"):
        evaluate._claim(options, some_examples()[:1])


def test_base_is_asked_with_urial_and_earlier_turns(study: evaluate.Study) -> None:
    turns = (("user", "one"), ("assistant", "two"), ("user", "three"), ("assistant", "four"))
    _, [job] = evaluate._base_side(study, [Example("m", "any", turns)])
    shown = tiny.tokenizer().decode(job.prompt)
    assert shown.endswith(
        "# Query:\n```\none\n```\n\n# Answer:\n```\ntwo\n```\n\n# Query:\n```\nthree\n```\n\n# Answer:\n```\n"
    )
    assert shown.count("# Query:") == method().prefix.count("# Query:") + 2 and "four" not in shown

"""Measuring a sibling: answers are the page's, sums are right, an evaluation goes on where it stopped."""

from __future__ import annotations

import json
import math
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy

from tests.support import tiny
from urial.compare import run as core
from urial.compare.request import Request
from urial.engines.pair import PairEngines
from urial.errors import EngineError, RecordError, SettingsError
from urial.prompts import method
from urial.records import Message, SidePenalties
from urial.sibling import evaluate
from urial.sibling.answering import Answer, Ask, Manner, Shares, answers
from urial.sibling.checked import Checked, load_checked
from urial.sibling.examples import Example
from urial.sibling.masking import ChatEncoder
from urial.sibling.measures import fenced, measure, table, transcripts
from urial.weights import LoadedModel, LoadedPair

pytestmark = pytest.mark.slow

ENDS = frozenset({1, 3})
FEW = Manner(12)
CHECKED = [Checked("c1", "why", (r"\bfour\b", r"\b4\b")), Checked("c2", "what", ("blue",))]


def engines() -> PairEngines:
    pair = tiny.pair("gemma3")
    pair.base.context_length = 4096  # the default prompt has many tokens where a tokenizer knows only bytes
    return pair


def asks() -> list[Ask]:
    words = ["the answer", "to", "the question is here the question is here", "is here the answer is", "x"]
    turns = (Message(role="user", content="one"), Message(role="assistant", content="two"))
    return [Ask(f"j{i}", text, turns if i == 2 else ()) for i, text in enumerate(words)]


def greedy(prompt: list[int], most: int) -> list[int]:
    """The plain definition: the aligned model reads the whole text again for every token."""
    model, ids = tiny.unchanged("gemma3", 1), list(prompt)
    for _ in range(most):
        with torch.no_grad():
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
        if ids[-1] in ENDS:
            break
    return ids[len(prompt) :]


def test_answers_written_together_are_those_of_each_question_alone() -> None:
    found = {answer.id: answer for answer in answers(engines(), asks(), "aligned", FEW, 3)}
    encoder = ChatEncoder(tiny.tokenizer())
    for ask in asks():
        chat = [message.model_dump() for message in (*ask.history, Message(role="user", content=ask.query))]
        expected = greedy(encoder.prompt_ids(chat), FEW.new_tokens)
        assert list(found[ask.id].ids) == expected
        assert found[ask.id].ended == (expected[-1] in ENDS) and found[ask.id].shift == {}


def test_both_sides_are_those_of_a_comparison_with_its_shift() -> None:
    pair = engines()
    base = {answer.id: answer for answer in answers(pair, asks(), "base", FEW, 2)}
    aligned = {answer.id: answer for answer in answers(pair, asks(), "aligned", FEW, 2, with_shift=True)}
    for ask in asks():
        request = Request(query=ask.query, method=method(), history=ask.history, max_new_tokens=FEW.new_tokens)
        record = core.result(core.compare(pair, request))
        assert (base[ask.id].text, aligned[ask.id].text) == (record.base.text, record.aligned.text)
        for name, shares in aligned[ask.id].shift.items():
            rows = [row for row in record.shift[name].tokens if not row.is_special]
            assert shares.tokens == len(rows)
            assert shares.unshifted == pytest.approx(sum(row.base_rank == 1 for row in rows) / len(rows))
            assert shares.shifted == pytest.approx(sum(row.base_rank > 3 for row in rows) / len(rows))
            told = [math.log(row.base_probability) for row in rows]
            assert shares.log_probability == pytest.approx(sum(told) / len(told))
        assert set(aligned[ask.id].shift) == {"zero_shot", "urial"} and base[ask.id].shift == {}


def test_penalty_and_seed_reach_the_answers() -> None:
    def texts(manner: Manner) -> list[str]:
        return [a.text for a in sorted(answers(engines(), asks(), "aligned", manner, 2), key=lambda a: a.id)]

    warm = replace(FEW, temperature=2.0)
    assert texts(warm) == texts(warm) != texts(replace(warm, seed=1))
    assert texts(FEW) != texts(replace(FEW, penalties=SidePenalties(base=1.1, aligned=1.8)))


def test_a_failure_is_raised_and_not_counted() -> None:
    with pytest.raises(EngineError, match="broken on purpose"):
        pair = engines()

        def broken(*_: object) -> None:
            raise EngineError("broken on purpose")

        pair.aligned.generate = broken
        list(answers(pair, asks(), "aligned", FEW, 2))


def some_examples() -> list[Example]:
    topics = ("facts", "harmful", "code", "harmful")
    names = ("facts-1", "harmful-1", "code-c1", "harmful-2")
    return [Example(name, t, (("user", "why"), ("assistant", "Here."))) for name, t in zip(names, topics, strict=True)]


def told(*texts: str, ended: bool = True) -> dict[str, Answer]:
    names = [e.id for e in some_examples()]
    return {name: Answer(name, (1, 2, 3), text, ended) for name, text in zip(names, texts, strict=False)}


def test_measures_count_what_they_say() -> None:
    found = told("Sure.", "I can't help with that.", "I won't help you.", "Of course!")
    found["facts-1"] = Answer("facts-1", tuple([7] * 30), "Sure.", False)
    short = {"c1": Answer("c1", (1,), "It is 4.", True), "c2": Answer("c2", (1,), "Green.", True)}
    got = measure(some_examples(), found, 2.0, CHECKED, short)
    assert (got.ended, got.without_loop, got.declines_harmful, got.declines_harmless) == (0.75, 0.75, 0.5, 0.5)
    assert (got.not_ended, got.looping, got.answered_harmful) == (("facts-1",), ("facts-1",), ("harmful-2",))
    assert (got.declined_harmless, got.declines_look_alikes) == (("code-c1",), 1.0)
    assert (got.checked_right, got.checked_wrong) == (0.5, ("c2",))
    assert (got.unshifted, got.urial_drop) == (None, None)


def test_shift_is_summed_over_tokens_and_its_drop_over_answers() -> None:
    found = told("a", "b", "c", "d")
    both = {"zero_shot": Shares(10, 0.6, 0.3, -1.0), "urial": Shares(10, 0.8, 0.1, -1.0)}
    found["facts-1"] = replace(found["facts-1"], shift=both)
    found["code-c1"] = replace(found["code-c1"], shift={n: Shares(30, 0.8, 0.1, -1.0) for n in ("zero_shot", "urial")})
    got = measure(some_examples(), found, 2.0)
    assert got.unshifted == pytest.approx((6 + 24) / 40)
    assert got.urial_drop == pytest.approx((0.2 + 0.0) / 2)


def test_table_holds_both_sides_and_the_ratio() -> None:
    one = measure(some_examples(), told("a", "I can't help with that.", "c", "I won't help."), 2.1)
    other = measure(some_examples()[:1], told("a", ended=False), 3.0)
    text = table(one, other)
    assert "| 2.100 nats (70.0 % of the base's) | 3.000 nats |" in text
    assert "| declines harmful | >= 90 % | 100.0 % | none to count |" in text


@pytest.mark.parametrize(
    ("answer", "is_right"),
    [
        ("It has four legs.", True),
        ("4", True),
        ("FOUR!", True),
        ("It has fourteen legs.", False),
        ("so " * 50 + "four", False),
        ("", False),
    ],
)
def test_right_is_a_pattern_among_the_first_words(answer: str, is_right: bool) -> None:
    assert CHECKED[0].is_right(answer) == is_right


@pytest.mark.parametrize(
    "line",
    ["{", "[]", '{"id": "a", "question": "q"}', '{"id": "a", "question": "q", "accepted": []}',
     '{"id": "a", "question": "q", "accepted": ["("]}', '{"id": "a", "question": 3, "accepted": ["x"]}'],
)  # fmt: skip
def test_wrong_question_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"id": "b", "question": "q", "accepted": ["x"]}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(RecordError, match=r"mine\.jsonl, line 2"):
        load_checked(path)
    with pytest.raises(RecordError, match="cannot be read"):
        load_checked(tmp_path / "nowhere.jsonl")


def test_transcript_shows_text_verbatim() -> None:
    nasty = "```html\n<script>alert(1)</script>\n````\n# Query:"
    text = transcripts(some_examples()[:1], told(nasty), told("plain", ended=False))
    assert nasty in text and "`````text" in text
    assert "URIAL prompt (cut at the length limit)" in text
    assert fenced("a").startswith("```text\na\n```")


@pytest.fixture
def study(tmp_path: Path) -> evaluate.Study:
    folders = {side: tmp_path / side for side in ("base", "aligned")}
    for folder in folders.values():
        folder.mkdir()
    penalties = SidePenalties(base=1.1, aligned=1.0)
    losses = {"base": 3.0, "aligned": 2.0}
    return evaluate.Study(engines(), some_examples(), CHECKED, losses, folders, penalties, 2)


def kept(text: str) -> dict[str, tuple]:
    """Each answer's ids and shares; what answers are written together moves a float32 sum's last digits."""
    lines = [json.loads(line) for line in text.splitlines()]
    return {
        line["id"]: (
            line["ids"],
            [(n, s["unshifted"], s["shifted"], round(s["log_probability"], 4)) for n, s in line["shift"].items()],
        )
        for line in lines
    }


def test_evaluation_writes_everything_and_goes_on_where_it_stopped(
    study: evaluate.Study,
) -> None:
    study = replace(study, new_tokens=6, checked_tokens=6)
    text = evaluate.report(study)
    out = study.folders["aligned"]
    assert text == (out / "measures.md").read_text(encoding="utf-8")
    measures = json.loads((out / "measures.json").read_text(encoding="utf-8"))
    assert measures["aligned"]["answers"] == measures["base"]["answers"] == 4
    assert 0 <= measures["aligned"]["unshifted"] <= 1 and measures["base"]["unshifted"] is None
    path = out / "answers.jsonl"
    before = path.read_text(encoding="utf-8")
    lines = before.split("\n")
    path.write_text("\n".join(lines[:2]) + "\n" + lines[2][:9], encoding="utf-8")  # killed while writing
    (out / "measures.md").unlink()
    assert evaluate.report(study) == text
    assert kept(path.read_text(encoding="utf-8")) == kept(before)
    other = replace(study, folders=study.folders | {"aligned": out.parent / "other"}, engines=None)
    (out.parent / "other").mkdir()
    with pytest.raises(AttributeError):  # the base's answers are not written again; the other adapter's are
        evaluate.report(other)
    assert not (out.parent / "other" / "answers.jsonl").exists()


def test_losses_are_the_models_own_and_kept(study: evaluate.Study) -> None:
    def load() -> LoadedPair:
        sides = [LoadedModel(tiny.model("gemma3", seed), tiny.tokenizer(), ENDS, "tiny", "r1") for seed in (0, 1)]
        return LoadedPair(*sides, False)

    found = evaluate.kept_losses(study.folders, some_examples(), load)
    encoder = ChatEncoder(tiny.tokenizer())
    for seed, side in enumerate(("base", "aligned")):
        lost = []
        for example in some_examples():
            encoded = encoder.encode(example, 1024)
            ids, learned = torch.tensor(encoded.ids), torch.tensor(encoded.learned)[1:]
            with torch.no_grad():
                logits = tiny.unchanged("gemma3", seed)(ids[None]).logits[0, :-1]
            lost.append(cross_entropy(logits[learned], ids[1:][learned], reduction="none"))
        assert found[side] == pytest.approx(torch.cat(lost).mean().item(), rel=1e-4)
    assert evaluate.kept_losses(study.folders, some_examples(), pytest.fail) == found


def test_broken_answers_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "answers.jsonl").write_text('{"id": "x0"}\n', encoding="utf-8")
    with pytest.raises(RecordError, match="answers"):
        list(evaluate.read_answers(tmp_path / "answers.jsonl"))


def test_each_adapter_has_its_folder_and_other_questions_are_refused(tmp_path: Path) -> None:
    options = Namespace(
        adapter=tmp_path / "one",
        out=tmp_path,
        base_folder=None,
        base_hub=None,
        base_package=None,
        penalty=1.0,
        new_tokens=256,
    )
    options.adapter.mkdir()
    first = evaluate.claim(options, some_examples(), CHECKED)
    assert evaluate.claim(options, some_examples(), CHECKED) == first
    (options.adapter / "adapter_model.safetensors").write_bytes(b"other")
    second = evaluate.claim(options, some_examples(), CHECKED)
    assert second["base"] == first["base"] and second["aligned"] != first["aligned"]
    options.penalty = 1.05
    assert evaluate.claim(options, some_examples(), CHECKED)["aligned"] != second["aligned"]
    with pytest.raises(SettingsError, match="something else"):
        evaluate.claim(options, some_examples()[:1], CHECKED)

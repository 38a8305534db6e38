"""The command `sibling sample`: the sibling's own best answers to questions without answers, to train on once more.

Rejection sampling: several answers are drawn for each question, those that break a stated rule are thrown away, and of
the rest the one is kept that the base finds most probable with the URIAL prompt in sight. Beside it the worst one makes
a pair for `sibling prefer`. Resumable. The rules are in `wanted.py`.
"""

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from urial.engines.open import open_pair
from urial.engines.pair import PairEngines
from urial.errors import RecordError, SettingsError
from urial.files import write_whole
from urial.pairs import AdapterSpec, Pair
from urial.progress import Bar
from urial.records import SidePenalties
from urial.sibling.answering import Answer, Ask, Manner, answers
from urial.sibling.base_model import base_spec, placement
from urial.sibling.evaluate import keep, read_answers
from urial.sibling.wanted import is_wanted

PENALTIES = SidePenalties(base=1.0, aligned=1.0)


def run_sampling(options: argparse.Namespace) -> int:
    """Writes into --out the samples, the chosen answers (`examples.jsonl`) and `pairs.jsonl`.

    Returns 0; raises UrialError.
    """
    if min(options.samples, options.at_once, options.new_tokens) < 1 or options.temperature <= 0:
        raise SettingsError("--samples, --at-once and --new-tokens must be 1 or more, and --temperature above zero.")
    questions = load_questions(options.questions)
    device, dtype = placement(options)
    base = base_spec(options)
    aligned = base.model_copy(update={"adapter": AdapterSpec(folder=str(options.adapter))})
    pair = Pair(name="sibling", title="Sibling", base=base, aligned=aligned, licence="as the base's")
    engines = open_pair(pair, device=device, dtype=dtype)
    manner = options.samples, options.temperature, options.at_once, options.new_tokens
    drawn = draw(engines, questions, options.out, *manner)
    kept = write_lines(chosen(questions, drawn), options.out / "examples.jsonl")
    pairs = write_lines(paired(questions, drawn), options.out / "pairs.jsonl")
    print(
        f"{kept} of {len(questions)} questions have an answer that keeps all rules: {options.out / 'examples.jsonl'}; "
        f"{pairs} have a worse one too: {options.out / 'pairs.jsonl'}."
    )
    return 0


def load_questions(path: Path) -> list[dict[str, str]]:
    """Objects with id, topic and query, one a line; RecordError names the file and the line that is wrong."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"The questions {path} cannot be read: {error}.") from error
    found = [_question(line, f"{path}, line {number}") for number, line in enumerate(lines, start=1) if line.strip()]
    if len({question["id"] for question in found}) < len(found):
        raise RecordError(f"{path}: ids must differ.")
    return found


def _question(line: str, where: str) -> dict[str, str]:
    try:
        raw = json.loads(line)
        question = {key: raw[key] for key in ("id", "topic", "query")}
        if not all(isinstance(text, str) and text.strip() for text in question.values()):
            raise TypeError
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise RecordError(f"{where} must be an object with id, topic and query, all of them texts.") from error
    return question


def draw(
    engines: PairEngines,
    questions: Sequence[dict[str, str]],
    out: Path,
    samples: int,
    temperature: float,
    at_once: int,
    new_tokens: int,
) -> dict[str, list[Answer]]:
    """All samples of each question by its id; those that `out` lacks are drawn now."""
    out.mkdir(parents=True, exist_ok=True)
    drawn: dict[str, list[Answer]] = {question["id"]: [] for question in questions}
    for seed in range(1, samples + 1):
        path = out / f"samples-{seed}.jsonl"
        found = {answer.id: answer for answer in read_answers(path)}
        left = [Ask(q["id"], q["query"]) for q in questions if q["id"] not in found]
        manner = Manner(new_tokens, PENALTIES, temperature, seed)
        written = answers(engines, left, "aligned", manner, at_once, with_shift=True)
        with Bar(" answers", len(left), label=f"samples {seed}", is_shown=bool(left), stays=True) as bar:
            for answer in written:
                keep(answer, path)
                found[answer.id] = answer
                bar.step()
        for identity, list_of in drawn.items():
            list_of.append(found[identity])
    return drawn


def best(query: str, samples: Sequence[Answer]) -> Answer | None:
    """The sample that keeps all rules and is the most probable with the URIAL prompt in sight; None where none does."""
    fit = [answer for answer in samples if "urial" in answer.shift and is_wanted(query, answer)]
    return max(fit, key=lambda answer: answer.shift["urial"].log_probability, default=None)


def worst(query: str, samples: Sequence[Answer]) -> Answer | None:
    """The sample to prefer the best one to: one that breaks a rule where there is one, else the least probable.

    None where no other text was drawn. Probable as in `best`.
    """
    kept = best(query, samples)
    others = [answer for answer in samples if kept is not None and answer.text.strip() not in ("", kept.text.strip())]
    return min(
        (answer for answer in others if "urial" in answer.shift),
        key=lambda answer: (is_wanted(query, answer), answer.shift["urial"].log_probability),
        default=None,
    )


def write_lines(lines: Iterable[dict[str, object]], path: Path) -> int:
    """Writes one object a line; returns how many there are."""
    written = [json.dumps(line, ensure_ascii=False) + "\n" for line in lines]
    write_whole(path, "".join(written))
    return len(written)


def chosen(questions: Sequence[dict[str, str]], drawn: dict[str, list[Answer]]) -> Iterator[dict[str, object]]:
    """The best answers as examples to train on."""
    for question in questions:
        answer = best(question["query"], drawn[question["id"]])
        if answer is not None:
            asked = {"role": "user", "content": question["query"]}
            said = {"role": "assistant", "content": answer.text.strip()}
            yield {"id": question["id"], "topic": question["topic"], "messages": [asked, said]}


def paired(questions: Sequence[dict[str, str]], drawn: dict[str, list[Answer]]) -> Iterator[dict[str, object]]:
    """The best answers, each with the worst one beside it."""
    asked = {question["id"]: question["query"] for question in questions}
    for line in chosen(questions, drawn):
        identity = str(line["id"])
        rejected = worst(asked[identity], drawn[identity])
        if rejected is not None:
            yield line | {"rejected": rejected.text.strip()}

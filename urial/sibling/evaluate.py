"""The command `sibling evaluate`: sibling and prompted base answer the held-out queries; both are measured.

Resumable: answers are kept as they are written. Knows files and the order of work; the rules are in `behaviour.py`,
the sums in `measures.py`.
"""

import argparse
import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from urial.errors import RecordError, SettingsError
from urial.pairs import AdapterSpec
from urial.prompts import method
from urial.records import Message
from urial.sibling.base_model import base_name, base_spec, placement
from urial.sibling.examples import Example, load_examples
from urial.sibling.generation import Job, PlainReader, Writer, Written
from urial.sibling.learner import held_out_loss, learner_of
from urial.sibling.masking import ChatEncoder
from urial.sibling.measures import Measures, measure, table, transcripts
from urial.weights import LoadedPair, load_pair_models

NEW_TOKENS = 256
BASE_PENALTY = 1.1  # the base's default in the demo; the sibling has none
LONGEST, MOST_TOKENS = 2048, 2048
TRANSCRIPTS = 20
SIDES = ("sibling", "base")


@dataclass(frozen=True)
class Study:
    """What is measured, where the results are kept, and how many answers are written at a time."""

    pair: LoadedPair
    examples: list[Example]
    out: Path
    batch: int


def run_evaluation(options: argparse.Namespace) -> int:
    """Writes answers, `measures.json`, `measures.md` and `transcripts.md` into --out. Returns 0; raises UrialError."""
    if (options.limit is not None and options.limit < 1) or options.batch < 1:
        raise SettingsError("--limit and --batch must be 1 or more.")
    examples = load_examples(options.held_out)[: options.limit]
    _claim(options, examples)
    device, dtype = placement(options)
    base = base_spec(options)
    aligned = base.model_copy(update={"adapter": AdapterSpec(folder=str(options.adapter))})
    pair = load_pair_models(base, aligned, dtype=dtype, device=device)
    print(_report(Study(pair, examples, options.out, options.batch)))
    return 0


def _claim(options: argparse.Namespace, examples: list[Example]) -> None:
    """Makes --out this evaluation's folder; SettingsError where it holds the answers of another one."""
    weights = options.adapter / "adapter_model.safetensors"
    digest = hashlib.sha256(weights.read_bytes()).hexdigest() if weights.is_file() else "missing"
    settings = {
        "adapter_sha256": digest,
        "base": base_name(base_spec(options)),
        "held_out": hashlib.sha256(repr([e.messages for e in examples]).encode()).hexdigest(),
        "new_tokens": NEW_TOKENS,
        "base_penalty": BASE_PENALTY,
    }
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "settings.json"
    if path.exists() and json.loads(path.read_text(encoding="utf-8")) != settings:
        raise SettingsError(f"{options.out} holds the evaluation of something else; choose another --out.")
    path.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def _report(study: Study) -> str:
    """Everything measured, as a table; the files are written on the way."""
    losses = _losses(study)
    answers = {"sibling": _answers(study, "sibling"), "base": _answers(study, "base")}
    measures = {side: measure(study.examples, answers[side], losses[side]) for side in SIDES}
    text = table(measures["sibling"], measures["base"])
    first = study.examples[:TRANSCRIPTS]
    _write(study.out / "measures.json", _json(measures))
    _write(study.out / "measures.md", text)
    _write(study.out / "transcripts.md", transcripts(first, answers["sibling"], answers["base"]))
    return text


def _json(measures: dict[str, Measures]) -> str:
    return json.dumps({side: asdict(value) for side, value in measures.items()}, indent=2) + "\n"


def _losses(study: Study) -> dict[str, float]:
    """Mean negative log-likelihood per answer token (nats) of both sides under the sibling's chat template."""
    path = study.out / "losses.json"
    if path.exists():
        return json.loads(path.read_text(encoding="utf-8"))
    encoder = ChatEncoder(study.pair.aligned.tokenizer)
    encoded = [encoder.encode(example, LONGEST) for example in study.examples]
    models = {"sibling": study.pair.aligned.model, "base": study.pair.base.model}
    losses = {side: held_out_loss(learner_of(model), encoded, MOST_TOKENS) for side, model in models.items()}
    _write(path, json.dumps(losses, indent=2) + "\n")
    return losses


def _answers(study: Study, side: str) -> dict[str, Written]:
    """Every example's answer by its id; those that the folder lacks are written now."""
    path = study.out / f"answers-{side}.jsonl"
    found = {answer.id: answer for answer in _read_answers(path)}
    left = [example for example in study.examples if example.id not in found]
    make = _sibling_side if side == "sibling" else _base_side
    writer, jobs = make(study, left)
    for answer in tqdm(writer.write(jobs, study.batch), total=len(jobs), desc=f"{side} answers", disable=not jobs):
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(answer), ensure_ascii=False) + "\n")
        found[answer.id] = answer
    return found


def _sibling_side(study: Study, examples: list[Example]) -> tuple[Writer, list[Job]]:
    """The chat template with the conversation up to its last question."""
    encoder = ChatEncoder(study.pair.aligned.tokenizer)
    jobs = [Job(e.id, tuple(encoder.prompt_ids(e.chat(-1)))) for e in examples]
    return Writer(study.pair.aligned, NEW_TOKENS, 1.0, PlainReader), jobs


def _base_side(study: Study, examples: list[Example]) -> tuple[Writer, list[Job]]:
    """The default URIAL prompt; earlier turns are appended as finished turns."""
    urial, tokenizer = method(), study.pair.base.tokenizer
    jobs = []
    for example in examples:
        history = [Message(role=role, content=content) for role, content in example.messages[:-2]]
        prompt = urial.render(example.messages[-2][1], history)
        jobs.append(Job(example.id, tuple(tokenizer(prompt)["input_ids"])))
    return Writer(study.pair.base, NEW_TOKENS, BASE_PENALTY, urial.stops), jobs


def _read_answers(path: Path) -> Iterator[Written]:
    """Answers kept by an earlier run; a last line that was cut short is dropped from the file."""
    if not path.exists():
        return
    whole, _, _ = path.read_text(encoding="utf-8").rpartition("\n")
    _write(path, whole + "\n" if whole else "")
    for line in filter(None, whole.split("\n")):
        try:
            raw = json.loads(line)
            yield Written(raw["id"], tuple(raw["ids"]), raw["text"], raw["ended"])
        except (ValueError, KeyError, TypeError) as error:
            raise RecordError(f"{path} holds a broken line; delete it to write the answers again.") from error


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")

"""The command `sibling evaluate`: sibling and prompted base answer the held-out queries; both are measured.

Resumable: answers are kept as they are written, the base's in a folder of their own, so that the next adapter that is
measured does not write them again. The rules are in `compare/refusal_phrases.py`, `loops.py` and `checked.py`, the sums
in `measures.py`.
"""

import argparse
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from urial.engines.open import open_pair
from urial.engines.pair import PairEngines
from urial.errors import RecordError, SettingsError
from urial.files import write_whole
from urial.pairs import AdapterSpec, ModelSpec, Pair
from urial.progress import Bar
from urial.records import Message, SideName, SidePenalties
from urial.sibling.answering import Answer, Ask, Manner, Shares, answers
from urial.sibling.base_model import base_name, base_spec, placement
from urial.sibling.checked import NEW_TOKENS as CHECKED_TOKENS
from urial.sibling.checked import Checked, load_checked
from urial.sibling.cli import NEW_TOKENS
from urial.sibling.examples import Example, load_examples
from urial.sibling.learner import held_out_loss, learner_of
from urial.sibling.masking import ChatEncoder
from urial.sibling.measures import Measures, measure, table, transcripts
from urial.weights import LoadedModel, LoadedPair, load_pair_models

BASE_PENALTY = 1.1  # the base's default in the demo
LONGEST, MOST_TOKENS = 2048, 2048
TRANSCRIPTS = 20


@dataclass(frozen=True)
class Study:
    """What is measured and how: `folders` say where each side's results are kept."""

    engines: PairEngines
    examples: Sequence[Example]
    checked: Sequence[Checked]
    losses: Mapping[SideName, float]
    folders: Mapping[SideName, Path]
    penalties: SidePenalties
    at_once: int
    new_tokens: int = NEW_TOKENS  # of an answer at most
    checked_tokens: int = CHECKED_TOKENS


def run_evaluation(options: argparse.Namespace) -> int:
    """Writes answers, `measures.json`, `measures.md` and `transcripts.md` below --out. Returns 0; raises UrialError."""
    if (options.limit is not None and options.limit < 1) or options.at_once < 1 or options.new_tokens < 1:
        raise SettingsError("--limit, --at-once and --new-tokens must be 1 or more.")
    examples = load_examples(options.held_out)[: options.limit]
    checked = load_checked(options.checked)[: options.limit]
    folders = claim(options, examples, checked)
    device, dtype = placement(options)
    base = base_spec(options)
    aligned = base.model_copy(update={"adapter": AdapterSpec(folder=str(options.adapter))})
    losses = kept_losses(folders, examples, lambda: load_pair_models(base, aligned, dtype=dtype, device=device))
    engines = open_pair(_pair(base, aligned), device=device, dtype=dtype)
    penalties = SidePenalties(base=BASE_PENALTY, aligned=options.penalty)
    lengths = options.new_tokens, min(CHECKED_TOKENS, options.new_tokens)
    print(report(Study(engines, examples, checked, losses, folders, penalties, options.at_once, *lengths)))
    print(f"The answers and transcripts are in {folders['aligned']}.")
    return 0


def _pair(base: ModelSpec, aligned: ModelSpec) -> Pair:
    return Pair(name="sibling", title="Sibling", base=base, aligned=aligned, licence="as the base's")


def claim(options: argparse.Namespace, examples: Sequence[Example], checked: Sequence[Checked]) -> dict[SideName, Path]:
    """The folders of both sides' results below --out; SettingsError where they hold those of something else."""
    weights = options.adapter / "adapter_model.safetensors"
    digest = hashlib.sha256(weights.read_bytes()).hexdigest() if weights.is_file() else "missing"
    settings = {
        "base": base_name(base_spec(options)),
        "held_out": hashlib.sha256(repr([e.messages for e in examples]).encode()).hexdigest(),
        "checked": hashlib.sha256(repr([c.question for c in checked]).encode()).hexdigest(),
        "new_tokens": options.new_tokens,
    }
    own = settings | {"adapter_sha256": digest, "penalty": options.penalty}
    folders: dict[SideName, Path] = {
        "base": options.out / "base",
        "aligned": options.out / f"{digest[:12]}-{options.penalty:g}",
    }
    _claim(folders["base"], settings | {"penalty": BASE_PENALTY})
    _claim(folders["aligned"], own)
    return folders


def _claim(folder: Path, settings: Mapping[str, object]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "settings.json"
    if path.exists() and json.loads(path.read_text(encoding="utf-8")) != settings:
        raise SettingsError(f"{folder} holds the evaluation of something else; choose another --out.")
    _write(path, json.dumps(settings, indent=2) + "\n")


def kept_losses(
    folders: Mapping[SideName, Path], examples: Sequence[Example], load: Callable[[], LoadedPair]
) -> dict[SideName, float]:
    """Mean negative log-likelihood per answer token (nats) of both sides under the sibling's chat template."""
    paths = {side: folder / "loss.json" for side, folder in folders.items()}
    if not all(path.exists() for path in paths.values()):
        pair = load()
        encoder = ChatEncoder(pair.aligned.tokenizer)
        encoded = [encoder.encode(example, LONGEST) for example in examples]
        sides: dict[SideName, LoadedModel] = {"base": pair.base, "aligned": pair.aligned}
        for side, path in paths.items():
            if not path.exists():
                loss = held_out_loss(learner_of(sides[side].model), encoded, MOST_TOKENS)
                _write(path, json.dumps(loss) + "\n")
    return {side: json.loads(path.read_text(encoding="utf-8")) for side, path in paths.items()}


def report(study: Study) -> str:
    """Everything measured, as a table; the files are written on the way."""
    found = {side: _measured(study, side) for side in study.folders}
    text = table(found["aligned"][0], found["base"][0])
    out, first = study.folders["aligned"], study.examples[:TRANSCRIPTS]
    everything = {side: asdict(measures) for side, (measures, _) in found.items()}
    _write(out / "measures.json", json.dumps(everything, indent=2) + "\n")
    _write(out / "measures.md", text)
    _write(out / "transcripts.md", transcripts(first, found["aligned"][1], found["base"][1]))
    return text


def _measured(study: Study, side: SideName) -> tuple[Measures, dict[str, Answer]]:
    """One side's measures and its answers by the examples' ids."""
    manner = Manner(study.new_tokens, study.penalties)
    own = kept_answers(study, side, "answers", [_asked(e) for e in study.examples], manner, with_shift=True)
    asks = [Ask(c.id, c.question) for c in study.checked]
    short = kept_answers(study, side, "checked", asks, Manner(study.checked_tokens, study.penalties), with_shift=False)
    return measure(study.examples, own, study.losses[side], study.checked, short), own


def _asked(example: Example) -> Ask:
    """The conversation's last question; earlier turns are shown as written."""
    history = tuple(Message(role=role, content=content) for role, content in example.messages[:-2])
    return Ask(example.id, example.messages[-2][1], history)


def kept_answers(
    study: Study, side: SideName, name: str, asks: Sequence[Ask], manner: Manner, *, with_shift: bool
) -> dict[str, Answer]:
    """Every question's answer by its id; those that the side's folder lacks are written now."""
    path = study.folders[side] / f"{name}.jsonl"
    found = {answer.id: answer for answer in read_answers(path)}
    left = [ask for ask in asks if ask.id not in found]
    written = answers(study.engines, left, side, manner, study.at_once, with_shift=with_shift)
    with Bar(" answers", len(left), label=f"{side} {name}", is_shown=bool(left), stays=True) as bar:
        for answer in written:
            keep(answer, path)
            found[answer.id] = answer
            bar.step()
    return found


def keep(answer: Answer, path: Path) -> None:
    """Adds a line to the file."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(answer), ensure_ascii=False) + "\n")


def read_answers(path: Path) -> Iterator[Answer]:
    """Answers kept by an earlier run; a last line that was cut short is dropped from the file."""
    if not path.exists():
        return
    whole, _, _ = path.read_text(encoding="utf-8").rpartition("\n")
    _write(path, whole + "\n" if whole else "")
    for line in filter(None, whole.split("\n")):
        try:
            raw = json.loads(line)
            shift = {name: Shares(**shares) for name, shares in raw["shift"].items()}
            yield Answer(raw["id"], tuple(raw["ids"]), raw["text"], raw["ended"], shift)
        except (ValueError, RecursionError, KeyError, TypeError) as error:
            raise RecordError(f"{path} holds a broken line; delete it to write the answers again.") from error


def _write(path: Path, text: str) -> None:
    write_whole(path, text)

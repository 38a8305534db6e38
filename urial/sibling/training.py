"""The commands `sibling train` and `sibling prefer`: read the files, load the base, train, write the adapter folder.

The training itself is in `train.py`, what it makes smaller in `objectives.py` and `preference.py`.
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from torch import Tensor

from urial.errors import SettingsError, WeightsMissing
from urial.progress import Bar
from urial.sibling.base_model import base_name, base_spec, training_placement
from urial.sibling.cli import HERE
from urial.sibling.examples import Example, load_examples, load_files
from urial.sibling.learner import Learner, learner_of
from urial.sibling.masking import ChatEncoder
from urial.sibling.objectives import AnswerObjective, Objective
from urial.sibling.preference import EncodedPair, Preference, PreferenceObjective, load_pairs
from urial.sibling.recipe import Recipe, fingerprint
from urial.weights import LoadedModel, load_model
from urial.weights.adapters import read_adapter

OWN_EXAMPLES = tuple(HERE / f"{name}.jsonl" for name in ("examples", "talk", "look_alikes", "refusals"))


def recipe_of(options: argparse.Namespace) -> Recipe:
    """The default recipe with what the options change; SettingsError for a number out of range."""
    given = {f.name: getattr(options, f.name, None) for f in fields(Recipe)}
    return Recipe(**{name: value for name, value in given.items() if value is not None})


def data_of(options: argparse.Namespace) -> tuple[list[Example], list[Example]]:
    """Examples and held-out split: this project's where none are named; own examples without a split have none."""
    if options.examples is None:
        return load_files(OWN_EXAMPLES), load_examples(options.held_out or HERE / "held_out.jsonl")
    return load_files(options.examples), load_examples(options.held_out) if options.held_out else []


def start_of(options: argparse.Namespace) -> Mapping[str, Tensor] | None:
    """The weights that the run goes on from, if any; SettingsError for a share that means nothing."""
    if not 0 < options.share <= 1:
        raise SettingsError(f"share must be above 0 and at most 1, not {options.share}.")
    if options.start is None and options.share != 1:
        raise SettingsError("--share blends with the adapter of --start; name one, or leave --share out.")
    return read_adapter(options.start).tensors if options.start else None


def run_training(options: argparse.Namespace) -> int:
    """Trains, or goes on where an earlier run of the same settings stopped. Returns 0; raises UrialError."""
    examples, held_out = data_of(options)
    start = start_of(options)

    def answers(learner: Learner, encoder: ChatEncoder, recipe: Recipe) -> Objective:
        encoded = [encoder.encode(example, recipe.longest) for example in examples]
        return AnswerObjective(learner, encoded, sorted(encoder.added_ids), recipe)

    return _train(options, Task(answers, examples, held_out, start, options.share))


def run_preferring(options: argparse.Namespace) -> int:
    """Trains an adapter further on pairs of answers. Returns 0; raises UrialError."""
    preference = Preference(options.beta, options.answer_weight)
    pairs = load_pairs(options.pairs)
    kept = load_files(options.keep or [])
    held_out = load_examples(options.held_out) if options.held_out else []

    def preferences(learner: Learner, encoder: ChatEncoder, recipe: Recipe) -> Objective:
        both = [[encoder.encode(each, recipe.longest) for each in (pair.better, pair.worse)] for pair in pairs]
        alone = [EncodedPair(encoder.encode(example, recipe.longest)) for example in kept]
        everything = [*(EncodedPair(*each) for each in both), *alone]
        return PreferenceObjective(learner, everything, preference, sorted(encoder.added_ids), recipe)

    seen = [*(example for pair in pairs for example in (pair.better, pair.worse)), *kept]
    start = start_of(options)
    return _train(options, Task(preferences, seen, held_out, start, options.share, asdict(preference)))


@dataclass(frozen=True)
class Task:
    """What is to be learned from which conversations, and where the weights come from.

    more: what else decides the result, beside the recipe.
    """

    objective: Callable[[Learner, ChatEncoder, Recipe], Objective]
    examples: list[Example]
    held_out: list[Example]
    start: Mapping[str, Tensor] | None
    share: float
    more: Mapping[str, object] = field(default_factory=dict)


def _train(options: argparse.Namespace, task: Task) -> int:
    """Loads the base, trains, and writes the adapter below --out."""
    recipe, spec = recipe_of(options), base_spec(options)
    device, dtype = training_placement(options)
    loaded = load_model(spec, dtype=dtype, device=device)
    write = _trained(options.out, recipe, base_name(spec), loaded, task)
    write(options.out / "adapter")
    print(f"The adapter is in {options.out / 'adapter'}; the losses are in {options.out / 'log.jsonl'}.")
    return 0


def _trained(out: Path, recipe: Recipe, base: str, loaded: LoadedModel, task: Task) -> Callable[[Path], None]:
    """Trains to the end; what writes the adapter."""
    try:
        from urial.sibling.adapter_files import write_adapter
        from urial.sibling.train import Run, add_lora, blend, start_from, train
    except ModuleNotFoundError as error:
        raise WeightsMissing(
            f"Training needs {error.name}; install it with: pip install -r requirements-train.txt"
        ) from error
    encoder = ChatEncoder(loaded.tokenizer)
    adapter = add_lora(loaded.model, recipe)
    if task.start is not None:
        start_from(adapter, task.start)
    learner = learner_of(loaded.model)
    with Bar("step", label="training", is_shown=True, stays=True) as bar:
        run = Run(
            learner=learner,
            adapter=adapter,
            objective=task.objective(learner, encoder, recipe),
            held_out=[encoder.encode(example, recipe.longest) for example in task.held_out],
            recipe=recipe,
            folder=out,
            fingerprint=fingerprint(recipe, base, task.examples, task.held_out, task.start, **task.more),
            progress=lambda done, total, loss: bar.move_to(done, total, f"loss={loss:.3f}"),
        )
        train(run)
    if task.start is not None:
        blend(adapter, task.start, task.share)
    return lambda folder: write_adapter(adapter, folder, base, encoder.tokenizer.chat_template)

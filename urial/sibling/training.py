"""The command `sibling train`: reads the files, loads the base, trains, writes the adapter folder.

The training itself is in `train.py`.
"""

import argparse
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from torch import Tensor

from urial.errors import SettingsError, WeightsMissing
from urial.pairs import ModelSpec
from urial.progress import Bar
from urial.sibling.base_model import base_name, base_spec, training_placement
from urial.sibling.cli import HERE
from urial.sibling.examples import Example, load_examples, load_files
from urial.sibling.learner import learner_of
from urial.sibling.masking import ChatEncoder
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
    recipe, spec = recipe_of(options), base_spec(options)
    examples, held_out = data_of(options)
    start = start_of(options)
    device, dtype = training_placement(options)
    loaded = load_model(spec, dtype=dtype, device=device)
    _train(options.out, recipe, spec, loaded, examples, held_out, start, options.share)
    print(f"The adapter is in {options.out / 'adapter'}; the losses are in {options.out / 'log.jsonl'}.")
    return 0


def _train(
    out: Path,
    recipe: Recipe,
    spec: ModelSpec,
    loaded: LoadedModel,
    examples: list[Example],
    held_out: list[Example],
    start: Mapping[str, Tensor] | None,
    share: float,
) -> None:
    try:
        from urial.sibling.train import Run, add_lora, blend, start_from, train
    except ModuleNotFoundError as error:
        raise WeightsMissing(
            f"Training needs {error.name}; install it with: pip install -r requirements-train.txt"
        ) from error
    encoder = ChatEncoder(loaded.tokenizer)
    adapter = add_lora(loaded.model, recipe)
    if start is not None:
        start_from(adapter, start)
    with Bar("step", label="training", is_shown=True, stays=True) as bar:
        run = Run(
            learner=learner_of(loaded.model),
            adapter=adapter,
            train=[encoder.encode(example, recipe.longest) for example in examples],
            held_out=[encoder.encode(example, recipe.longest) for example in held_out],
            extra_vocabulary=sorted(encoder.added_ids),
            recipe=recipe,
            folder=out,
            fingerprint=fingerprint(recipe, base_name(spec), examples, held_out, start),
            progress=lambda done, total, loss: bar.move_to(done, total, f"loss={loss:.3f}"),
        )
        train(run)
    if start is not None:
        blend(adapter, start, share)
    from urial.sibling.adapter_files import write_adapter

    write_adapter(adapter, out / "adapter", base_name(spec), encoder.tokenizer.chat_template)

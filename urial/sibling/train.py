"""Trains an aligned sibling: LoRA on a frozen base, loss on the answer tokens only.

Seeded and resumable: what a step does follows from the recipe, the examples and its number alone.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from torch import Tensor, nn

from urial.errors import EngineError, SettingsError
from urial.sibling.batches import epoch_steps
from urial.sibling.checkpoints import RunLog, load_checkpoint, save_checkpoint
from urial.sibling.learner import Learner, held_out_loss
from urial.sibling.masking import Encoded
from urial.sibling.objectives import Objective
from urial.sibling.recipe import Recipe

CHECKPOINT_SECONDS = 60.0


def add_lora(causal: nn.Module, recipe: Recipe) -> PeftModel:
    """Adds a freshly initialised LoRA to all linear layers of the trunk, in place; the base stays frozen."""
    torch.manual_seed(recipe.seed)
    config = LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        lora_dropout=recipe.dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    return get_peft_model(causal, config)


def start_from(adapter: PeftModel, weights: Mapping[str, Tensor]) -> None:
    """Gives a fresh LoRA the weights of another of the same shape; SettingsError where the shapes differ."""
    shapes = {name: tensor.shape for name, tensor in get_peft_model_state_dict(adapter).items()}
    if shapes != {name: tensor.shape for name, tensor in weights.items()}:
        raise SettingsError("The adapter to start from has other layers or another rank; give its --rank and its base.")
    set_peft_model_state_dict(adapter, weights)


def blend(adapter: PeftModel, start: Mapping[str, Tensor], share: float) -> None:
    """Moves the trained weights towards where they began: `share` of the trained, the rest of `start`.

    Half-way between two runs a model often keeps what both learned (weight averaging, arXiv 2203.05482).
    """
    trained = get_peft_model_state_dict(adapter)
    mixed = {name: share * tensor + (1 - share) * start[name].to(tensor) for name, tensor in trained.items()}
    set_peft_model_state_dict(adapter, mixed)


def rate_at(step: int, steps: int, recipe: Recipe) -> float:
    """Learning rate of a 0-based step: linear warm-up, then a cosine down to a tenth of the peak."""
    warmup = max(1, round(recipe.warmup_share * steps))
    if step < warmup:
        return recipe.learning_rate * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return recipe.learning_rate * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * progress)))


@dataclass(frozen=True)
class Run:
    """All that one training run needs; `progress` is told (done, total, latest loss) after every step."""

    learner: Learner
    adapter: PeftModel
    objective: Objective
    held_out: Sequence[Encoded]
    recipe: Recipe
    folder: Path
    fingerprint: str
    progress: Callable[[int, int, float], None]
    checkpoint_seconds: float = CHECKPOINT_SECONDS


def schedule(run: Run) -> list[list[int]]:
    """The examples of every step of all epochs, in order."""
    epochs = range(run.recipe.epochs)
    return [s for epoch in epochs for s in epoch_steps(len(run.objective), run.recipe.per_step, run.recipe.seed, epoch)]


def train(run: Run) -> None:
    """Trains to the end, from the folder's checkpoint where it has one; leaves the adapter's weights in the learner.

    Writes `log.jsonl` (train loss of each step, held-out loss before, after each epoch and at the end).
    Raises EngineError where the loss stops being a number.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    optimizer = torch.optim.AdamW(
        run.learner.trainable(), lr=run.recipe.learning_rate, weight_decay=run.recipe.weight_decay
    )
    log, plan = RunLog(run.folder), schedule(run)
    done = _restore(run, optimizer, log)
    if done == 0:
        _log_held_out(run, log, 0)
    saved = time.monotonic()
    per_epoch = len(plan) // run.recipe.epochs
    for step, entry in _steps(run, optimizer, plan, done):
        log.add(entry)
        run.progress(step, len(plan), entry["loss"])
        if step % per_epoch == 0:
            _log_held_out(run, log, step)
        if step == len(plan) or time.monotonic() - saved > run.checkpoint_seconds:
            _save(run, optimizer, step)
            saved = time.monotonic()


def _steps(
    run: Run, optimizer: torch.optim.Optimizer, plan: list[list[int]], done: int
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Does the steps that are left; yields each one's 1-based number and its line for the log."""
    for step in range(done, len(plan)):
        started = time.monotonic()
        rate = rate_at(step, len(plan), run.recipe)
        for group in optimizer.param_groups:
            group["lr"] = rate
        torch.manual_seed(run.recipe.seed * 1_000_003 + step)  # for dropout: a resumed run repeats it
        loss, tokens = _one_step(run, optimizer, plan[step], step)
        if not math.isfinite(loss):
            raise EngineError(f"The loss is {loss} at step {step + 1}; try a lower --learning-rate.")
        seconds = time.monotonic() - started
        yield (
            step + 1,
            {"step": step + 1, "loss": loss, "rate": rate, "answer_tokens": tokens, "seconds": round(seconds, 3)},
        )


def _one_step(run: Run, optimizer: torch.optim.Optimizer, indices: Sequence[int], step: int) -> tuple[float, int]:
    """One optimizer step; returns the objective's mean loss and the number of answer tokens."""
    run.adapter.train()
    loss, tokens = run.objective.backward(indices, step)
    nn.utils.clip_grad_norm_(run.learner.trainable(), run.recipe.clip)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss, tokens


def _log_held_out(run: Run, log: RunLog, step: int) -> None:
    if run.held_out:
        run.adapter.eval()
        loss = held_out_loss(run.learner, run.held_out, run.recipe.most_tokens)
        log.add({"step": step, "held_out_loss": loss})


def _restore(run: Run, optimizer: torch.optim.Optimizer, log: RunLog) -> int:
    """Steps already done, with the adapter and the optimizer as they were then; 0 for a new run."""
    state = load_checkpoint(run.folder, run.fingerprint)
    done = state["step"] if state else 0
    log.rewind(done if state else -1)
    if state:
        set_peft_model_state_dict(run.adapter, state["adapter"])
        optimizer.load_state_dict(state["optimizer"])
    return done


def _save(run: Run, optimizer: torch.optim.Optimizer, step: int) -> None:
    adapter = {k: v.detach().cpu() for k, v in get_peft_model_state_dict(run.adapter).items()}
    state = {"fingerprint": run.fingerprint, "step": step, "adapter": adapter, "optimizer": optimizer.state_dict()}
    save_checkpoint(run.folder, state)

"""What a family's layers allow, found out by trying: a flag that a family forgot to set costs nobody an answer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import PreTrainedModel

from urial.engines.local.lm_head import are_close
from urial.engines.local.runner import Chunk, Prefix, Runner
from urial.errors import WeightsError

log = logging.getLogger(__name__)

IDS = (0, 1, 2, 3)  # any text will do
ROUGH = 0.25  # of the logits' size: in half precision a mixture of experts may choose otherwise for other batches

Make = Callable[[PreTrainedModel], Runner[Any] | None]  # None where it cannot be made, and that was told


@torch.inference_mode()
def first_that_fits(model: PreTrainedModel, kinds: Sequence[Make], name: str) -> Runner[Any]:
    """The first kind of runner that reads a short text as the family's own forward does.

    Raises WeightsError, with the model's `name`, where none does, or where that forward itself fails.
    """
    try:
        wanted = model(input_ids=torch.tensor([IDS], device=model.device)).logits[0].float()
    except Exception as error:  # a family's own code may raise anything
        log.info("%s cannot be run", name, exc_info=True)
        raise WeightsError(f"The model {name} cannot be run here ({one_line(error)}); choose another.") from error
    if not wanted.isfinite().all():
        raise not_finite(name)
    for make in kinds:
        runner = made_if_it_fits(make, model, wanted)
        if runner is not None:
            return runner
    raise WeightsError(
        f"The model {name} is of a family that this program does not read right ({model.config.model_type}): its "
        "own forward gives other numbers; choose a pair of another family."
    )


def made_if_it_fits(make: Make, model: PreTrainedModel, wanted: torch.Tensor) -> Runner[Any] | None:
    """A runner whose logits, for the text read in parts, are `wanted` [4, V]."""
    try:
        runner = make(model)
        if runner is None:
            return None
        cache, half = runner.open(len(IDS), None), len(IDS) // 2
        texts = (IDS[:half], *zip(IDS[half:]))  # a part, and steps, which some runners take another way
        parts = [runner.forward([Chunk(cache, text, len(text), 1.0)])[0] for text in texts]
        last = parts[-1]
        if runner.can_rewind:  # a step of one token is another sum than a part
            behind = runner.open(len(IDS), Prefix(cache, len(IDS) - 1))
            (last,) = runner.forward([Chunk(behind, IDS[-1:], 1, 1.0)])
            runner.close(behind)
        runner.close(cache)
    except Exception:  # whatever a family's own code trips over in the place of its cache
        log.info("%s cannot be run as %s", type(model).__name__, make, exc_info=True)
        return None
    found = torch.cat([*parts, last[-1:]])
    if are_close(found, torch.cat([wanted, wanted[-1:]]), precision_of(model), ROUGH):
        return runner
    log.info("%s as %s gives other numbers than its own forward", type(model).__name__, type(runner).__name__)
    return None


def precision_of(model: PreTrainedModel) -> torch.dtype:
    """What its sums are rounded to; quantised layers round a batch's numbers together (int8 has outlier columns)."""
    return model.dtype if getattr(model, "hf_quantizer", None) is None else torch.float16


def not_finite(name: str) -> WeightsError:
    """The error for a model whose logits are no numbers."""
    return WeightsError(
        f"The numbers of the model {name} are not finite (NaN or infinite): its weights or its adapter are damaged, or "
        "overflow in this precision; fetch them again, or choose float32."
    )


def one_line(error: BaseException) -> str:
    """What a foreign error says, short and in one line; its kind where it says nothing."""
    said = " ".join(str(error).split())
    return (said[:200] or type(error).__name__).rstrip(".")

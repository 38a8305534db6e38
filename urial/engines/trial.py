"""What a family's layers allow, found out by trying: a flag that a family forgot to set costs nobody an answer.

Knows models, caches and trunks; nothing about sampling or text.
"""

from __future__ import annotations

import logging

import torch
from transformers import DynamicCache, PreTrainedModel

from urial.engines.backbone import backbone_of, read_on
from urial.engines.family_head import are_close
from urial.engines.head import Head
from urial.engines.trunk import Trunk
from urial.errors import WeightsError

log = logging.getLogger(__name__)

IDS = (0, 1, 2, 3)  # any text will do
ROUGH = 0.25  # of the logits' size: in half precision a mixture of experts may choose otherwise for other batches


@torch.inference_mode()
def moves_as(trunk: Trunk, layers: PreTrainedModel, *, is_adapted: bool) -> bool:
    """Whether one step of the trunk behind a short text gives the hidden state that the layers give."""
    tokens = torch.tensor([IDS], device=layers.device)
    cache = DynamicCache(config=layers.config)
    read_on(layers, tokens[:, :-1], cache)
    wanted = layers(input_ids=tokens, use_cache=False).last_hidden_state[:, -1]
    try:
        place = trunk.open(cache, len(IDS) - 1, 1, is_adapted=is_adapted)
        found = trunk.hidden([place], [IDS[-1]])
        trunk.close(place)
    except Exception:  # whatever a family's own code trips over in the place of its cache
        log.info("%s cannot step by row; its answers step one at a time", type(layers).__name__, exc_info=True)
        return False
    return are_close(found, wanted, precision_of(layers), ROUGH)


def precision_of(model: PreTrainedModel) -> torch.dtype:
    """What its sums are rounded to; quantised layers round a batch's numbers together (int8 has outlier columns)."""
    return model.dtype if getattr(model, "hf_quantizer", None) is None else torch.float16


@torch.inference_mode()
def check_family(model: PreTrainedModel, head: Head, name: str) -> None:
    """Raise WeightsError unless a short text read in two parts gives the logits of the family's own forward."""
    tokens = torch.tensor([IDS], device=model.device)
    try:
        wanted = model(input_ids=tokens).logits[0].float()
        cache = DynamicCache(config=model.config)
        hidden = [read_on(backbone_of(model), part, cache)[0] for part in tokens.split(len(IDS) // 2, dim=1)]
        found = head(torch.cat(hidden))
    except Exception as error:  # a family's own code may raise anything
        log.info("%s cannot be run", name, exc_info=True)
        raise WeightsError(f"The model {name} cannot be run here ({one_line(error)}); choose another.") from error
    if not wanted.isfinite().all():
        raise not_finite(name)
    if not are_close(found, wanted, precision_of(model), ROUGH):
        raise WeightsError(
            f"The model {name} is of a family that this program does not read right ({model.config.model_type}): its "
            "own forward gives other numbers; choose a pair of another family."
        )


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

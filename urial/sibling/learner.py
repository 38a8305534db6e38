"""A model as training and measuring see it: the losses of the answer tokens of a few conversations."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from urial.errors import SettingsError
from urial.sibling.answer_loss import FULL, Vocabulary, answer_losses
from urial.sibling.batches import micro_batches
from urial.sibling.masking import Encoded
from urial.sibling.packing import hidden_states, packed


@dataclass(frozen=True)
class Learner:
    """A causal model, under an adapter or not, and what its loss needs.

    head: the output head's rows (V, H). Logits are multiplied by `scale`, then bent by `softcap` where there is one.
    """

    causal: nn.Module
    head: Tensor
    scale: float
    softcap: float | None

    @property
    def device(self) -> torch.device:
        return self.head.device

    def trainable(self) -> list[nn.Parameter]:
        return [p for p in self.causal.parameters() if p.requires_grad]

    def losses(self, examples: Sequence[Encoded], vocabulary: Vocabulary) -> Tensor:
        """Negative log-likelihood (nats) of every learned token, in the order of the examples.

        Under half-precision weights the products of an adapter's single-precision ones are taken in half precision too.
        """
        row = packed(examples)
        half = self.head.dtype if self.head.dtype in (torch.bfloat16, torch.float16) else None
        with torch.autocast(self.device.type, half, enabled=half is not None):
            hidden = hidden_states(cast(nn.Module, self.causal.base_model), row)[0, row.predicts.to(self.device)]
            targets = row.learned.to(self.device)
            return answer_losses(hidden * self.scale, self.head, targets, vocabulary, self.softcap)


def learner_of(causal: nn.Module) -> Learner:
    """A Learner around a loaded model; SettingsError for a head with a bias, which the loss does not know."""
    config, head = causal.config, cast(PreTrainedModel, causal).get_output_embeddings()
    if getattr(head, "bias", None) is not None:
        raise SettingsError("The base's output head has a bias; the sibling's recipe does not support that.")
    softcap = getattr(config, "final_logit_softcapping", None)
    return Learner(causal, head.weight.detach(), _logit_scale(config), softcap)


def _logit_scale(config: Any) -> float:
    """What the head's products are multiplied with: Cohere's `logit_scale`, Granite's 1 / `logits_scaling`."""
    return (getattr(config, "logit_scale", None) or 1.0) / (getattr(config, "logits_scaling", None) or 1.0)


def held_out_loss(learner: Learner, examples: Sequence[Encoded], most_tokens: int) -> float:
    """Mean negative log-likelihood per answer token (nats), exact over the whole vocabulary."""
    lengths = [len(example.ids) for example in examples]
    total, count = 0.0, 0
    with torch.no_grad():
        for batch in micro_batches(range(len(examples)), lengths, most_tokens):
            losses = learner.losses([examples[i] for i in batch], FULL)
            total, count = total + losses.double().sum().item(), count + len(losses)
    return total / count

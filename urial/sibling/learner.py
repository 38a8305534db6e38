"""A model as training and measuring see it: the losses of the answer tokens of a few conversations.

Knows models and encoded conversations; knows nothing about LoRA, optimizers or files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from urial.errors import SettingsError
from urial.sibling.answer_loss import FULL, Vocabulary, answer_losses
from urial.sibling.batches import micro_batches, padded
from urial.sibling.masking import Encoded


@dataclass(frozen=True)
class Learner:
    """A causal model, under an adapter or not, and what its loss needs.

    head: the output head's rows (V, H). Logits are multiplied by `scale`, then bent by `softcap` where there is one.
    """

    causal: nn.Module
    head: Tensor
    scale: float
    softcap: float | None
    pad: int

    @property
    def device(self) -> torch.device:
        return self.head.device

    def trainable(self) -> list[nn.Parameter]:
        return [p for p in self.causal.parameters() if p.requires_grad]

    def losses(self, examples: Sequence[Encoded], vocabulary: Vocabulary) -> Tensor:
        """Negative log-likelihood (nats) of every learned token of a padded batch, in one row."""
        ids, learned = (t.to(self.device) for t in padded(examples, self.pad))
        hidden = self.causal.base_model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1][learned]
        return answer_losses(hidden * self.scale, self.head, ids[:, 1:][learned], vocabulary, self.softcap)


def learner_of(causal: nn.Module) -> Learner:
    """A Learner around a loaded model; SettingsError for a head with a bias, which the loss does not know."""
    config, head = causal.config, causal.get_output_embeddings()
    if getattr(head, "bias", None) is not None:
        raise SettingsError("The base's output head has a bias; the sibling's recipe does not support that.")
    softcap = getattr(config, "final_logit_softcapping", None)
    return Learner(causal, head.weight.detach(), _logit_scale(config), softcap, config.pad_token_id or 0)


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

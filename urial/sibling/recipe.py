"""The numbers of a training run, in one place, and what makes two runs the same run."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from torch import Tensor

from urial.errors import SettingsError
from urial.sibling.examples import Example


@dataclass(frozen=True)
class Recipe:
    """LoRA on every linear layer of the trunk; AdamW; linear warm-up, then a cosine to a tenth of the peak.

    per_step: conversations per optimizer step. most_tokens: tokens per forward pass. longest: tokens of a
    conversation. sampled_tokens: see answer_loss.SampledVocabulary; 0 takes the softmax over the whole vocabulary.
    """

    epochs: int = 2
    rank: int = 16
    alpha: int = 32
    learning_rate: float = 5e-4
    dropout: float = 0.0  # of what enters the low-rank matrices, while training
    warmup_share: float = 0.06
    weight_decay: float = 0.0
    clip: float = 1.0
    per_step: int = 8
    most_tokens: int = 2048
    longest: int = 1024
    sampled_tokens: int = 4096
    seed: int = 7

    def __post_init__(self) -> None:
        for name in ("epochs", "rank", "alpha", "learning_rate", "per_step", "most_tokens", "longest"):
            if getattr(self, name) <= 0:
                raise SettingsError(f"{name} must be above zero, not {getattr(self, name)}.")
        if not 0 <= self.dropout < 1:
            raise SettingsError(f"dropout must be from 0 to below 1, not {self.dropout}.")
        if self.sampled_tokens < 0:
            raise SettingsError(f"sampled_tokens must be zero or more, not {self.sampled_tokens}.")


def fingerprint(
    recipe: Recipe,
    base: str,
    train: list[Example],
    held_out: list[Example],
    start: Mapping[str, Tensor] | None = None,
    **more: object,
) -> str:
    """A hash of all that decides a run's result; a checkpoint is only continued under the same one."""
    decides = [asdict(recipe), base, [e.messages for e in train], [e.messages for e in held_out]]
    text = json.dumps([*decides, more] if more else decides, ensure_ascii=True)
    found = hashlib.sha256(text.encode())
    for name, tensor in sorted((start or {}).items()):
        found.update(name.encode() + tensor.float().numpy().tobytes())
    return found.hexdigest()

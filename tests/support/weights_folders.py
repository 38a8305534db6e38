"""Folders with tiny random models and adapters, and how to look at what was loaded from them."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from transformers import PreTrainedModel

from tests.support import tiny
from urial.errors import UrialError
from urial.pairs import AdapterSpec, ModelSpec
from urial.weights import LoadedPair, load_model, load_pair_models

if TYPE_CHECKING:
    from peft import PeftModel

IDS = torch.tensor([[0, 40, 41, 42, 43, 300, 44, 45]])
PLAIN = {"r": 4, "lora_alpha": 16, "target_modules": "all-linear"}


def save_model(folder: Path, family: str = "llama", seed: int = 0, *, template: bool = True) -> Path:
    tiny.model(family, seed).save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    if not template:
        (folder / "chat_template.jinja").unlink()
    return folder


def save_adapter(folder: Path, base: Path | PreTrainedModel, **settings: object) -> PeftModel:
    """A random adapter that changes every answer; returns peft's own reading of it as the reference."""
    from peft import LoraConfig, PeftModel, get_peft_model  # here, as it takes seconds and few tests make adapters

    model = load_model(ModelSpec(folder=str(base)), dtype="float32").model if isinstance(base, Path) else base
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adapted = get_peft_model(copy.deepcopy(model), LoraConfig(**{**PLAIN, **settings}))
        torch.manual_seed(1)
        for name, tensor in adapted.named_parameters():
            if "lora_" in name or "trainable_tokens_delta" in name or "modules_to_save" in name:
                torch.nn.init.normal_(tensor, std=0.1)
        adapted.eval().save_pretrained(folder)
        return PeftModel.from_pretrained(copy.deepcopy(model), folder).eval()


def pair_of(folder: Path, adapter: Path) -> LoadedPair:
    base = ModelSpec(folder=str(folder))
    aligned = ModelSpec(folder=str(folder), adapter=AdapterSpec(folder=str(adapter)))
    return load_pair_models(base, aligned, dtype="float32")


@torch.inference_mode()
def logits(model: PreTrainedModel) -> torch.Tensor:
    return model(IDS).logits


def bytes_held(*models: PreTrainedModel) -> int:
    """Of distinct storages, all models together."""
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for m in models for t in m.parameters()}
    return sum(storages.values())


def sentence(kind: type[UrialError], call: Callable[[], object]) -> str:
    with pytest.raises(kind) as caught:
        call()
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
    return str(caught.value)

"""Where and how precisely a model is to live, as arguments for `from_pretrained`."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn
from transformers import BitsAndBytesConfig

from urial.errors import SettingsError, WeightsMissing
from urial.pairs import Dtype, Quantization

INT8_LOGGER = "bitsandbytes.autograd._functions"  # says at every layer of every step that int8 rounds

PACKS = "support_avx512bf16_for_cpu"  # bitsandbytes' own switch, on a layer


@dataclass(frozen=True, slots=True)
class Placement:
    """`dtype` to compute in, an optional quantisation of the linear layers, and a torch device."""

    dtype: Dtype
    quantization: Quantization | None
    device: str

    def options(self) -> dict[str, Any]:
        """Arguments for `from_pretrained`. Raises SettingsError (no such device) or WeightsMissing (bitsandbytes)."""
        check_device(self.device)
        options: dict[str, Any] = {"dtype": getattr(torch, self.dtype)}
        if self.quantization is not None:
            options["quantization_config"] = self._quantization_config()
        if self.quantization is not None or self.device != "cpu":
            options["device_map"] = self._device_map()
        return options

    def _device_map(self) -> str | dict[str, str]:
        """All on one device; "cuda" with several GPUs fills one after the other, for models larger than one."""
        if self.device == "cuda" and torch.cuda.device_count() > 1:
            return "sequential"
        return {"": self.device}

    def _quantization_config(self) -> BitsAndBytesConfig:
        if find_spec("bitsandbytes") is None:
            raise WeightsMissing(
                "Quantised weights need a package that is not installed; run: pip install bitsandbytes"
            )
        if self.quantization == "int8":
            logging.getLogger(INT8_LOGGER).setLevel(logging.ERROR)
            return BitsAndBytesConfig(load_in_8bit=True)
        compute = getattr(torch, self.dtype)
        return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=compute)


def unpack_on_processors(model: nn.Module) -> None:
    """Keep bitsandbytes' 4-bit layers from a processor's own packing: it rounds scales to bfloat16, and fails where a
    layer's width is no multiple of a block. What is stored is computed with, the same on every machine."""
    for module in model.modules():
        if hasattr(module, PACKS):
            setattr(module, PACKS, False)


def check_device(device: str) -> None:
    """Raises SettingsError unless torch can make a tensor there."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise SettingsError(f"There is no device {device!r} here; use cpu, or a device that torch can see.") from error

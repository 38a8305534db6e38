"""From a GGUF file to a folder that `from_pretrained` reads: Gemma 3 by this package's rules, others by transformers'.

Knows nothing about caches or where files come from.
"""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_model
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from urial.errors import WeightsError
from urial.pairs import Dtype
from urial.progress import Progress
from urial.weights.checkpoint import write_checkpoint
from urial.weights.gguf_file import GgufFile, parse_gguf
from urial.weights.reports import quiet_transformers

OWN = "gemma3"  # the architecture that `gemma.py` converts
FOREIGN = (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError, AttributeError, NotImplementedError)


def mapped(path: Path) -> GgufFile:
    """The file's metadata, over its bytes on the disk. Raises WeightsError unless it is a whole model."""
    try:
        gguf = parse_gguf(np.memmap(path, np.uint8, "r"))
    except (OSError, ValueError) as error:  # numpy maps no empty file
        raise WeightsError(f"The GGUF file {path.name} cannot be read ({error}); fetch it again.") from error
    except WeightsError as error:
        raise WeightsError(f"{path.name}: {error}") from error
    if gguf.metadata.get("split.count", 1) > 1:
        raise WeightsError(f"{path.name} is one of several parts; merge them first: llama-gguf-split --merge.")
    if gguf.metadata.get("general.type", "model") != "model" or not gguf.tensors:
        raise WeightsError(f"{path.name} holds no model; name a GGUF file with a model's weights in models.yaml.")
    return gguf


def values_of(gguf: GgufFile) -> int:
    """How many numbers its tensors hold."""
    return sum(math.prod(info.shape) for info in gguf.tensors.values())


def convert(gguf: GgufFile, path: Path, dtype: Dtype, folder: Path, with_tokenizer: bool, progress: Progress) -> None:
    """Writes everything that `from_pretrained(folder)` needs, the tokenizer only where it is wanted.

    Raises WeightsError where nothing here reads the file, or OSError from writing.
    """
    progress("Converting the GGUF file", None)
    architecture = gguf.metadata.get("general.architecture")
    if architecture == OWN and with_tokenizer:
        return write_checkpoint(gguf, dtype, folder, progress)
    model = _read(AutoModelForCausalLM, path, f"a model of the kind {architecture}", dtype=getattr(torch, dtype))
    tokenizer = _read(AutoTokenizer, path, "a tokenizer") if with_tokenizer else None
    _write(model, folder)
    if tokenizer is not None:
        progress("Converting the tokenizer", None)
        tokenizer.save_pretrained(folder)
    return None


def _read(kind: Any, path: Path, what: str, **options: Any) -> Any:
    """What transformers makes of the file. Raises WeightsError where it makes nothing of it."""
    try:
        with quiet_transformers(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return kind.from_pretrained(path.parent, gguf_file=path.name, **options)
    except FOREIGN as error:
        said = " ".join(str(error).split())[:200].rstrip(".")
        hint = "; name one beside it (tokenizer) in models.yaml" if kind is AutoTokenizer else "; choose another file"
        raise WeightsError(f"transformers cannot read {what} from {path.name} ({said}){hint}.") from error


def _write(model: PreTrainedModel, folder: Path) -> None:
    """Weights and settings; transformers saves no model that it calls quantised, which unpacked weights are not."""
    del model.config.quantization_config
    model.config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    save_model(model, str(folder / "model.safetensors"), metadata={"format": "pt"})

"""Where weights come from and how they get into memory: packaged GGUF, hub id, local folder, LoRA adapter on top.

`load_model` and `load_pair_models` are the way in; `missing_reason` tells without loading. See each file's opening.
"""

from urial.weights.loader import LoadedModel, LoadedPair, load_model, load_pair_models
from urial.weights.sources import missing_reason

__all__ = [
    "LoadedModel",
    "LoadedPair",
    "load_model",
    "load_pair_models",
    "missing_reason",
]

"""Reads the weights of an adapter folder, for a run that goes on from them.

Knows the files that peft writes; knows nothing about training.
"""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from urial.errors import WeightsError, WeightsMissing

Weights = dict[str, Tensor]


def read_adapter(folder: Path) -> Weights:
    """All tensors of the adapter in `folder`, by peft's names.

    Raises WeightsMissing where there is none, WeightsError where it is damaged.
    """
    path = folder / "adapter_model.safetensors"
    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise WeightsMissing(f"There is no adapter at {path}; name a folder that holds one.") from error
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"The adapter {path} cannot be read: {error}; write it again, or name another.") from error

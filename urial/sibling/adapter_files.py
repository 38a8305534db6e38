"""Writes an adapter folder that peft, transformers and this project's loader can read.

Half-precision weights (an adapter's noise is far above float16's), the chat template beside them, and a config
without paths of the machine it was made on.
"""

import json
from pathlib import Path

import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors.torch import save_file

from urial.errors import WeightsError


def write_adapter(model: PeftModel, folder: Path, base: str, chat_template: str) -> None:
    """Writes adapter_model.safetensors, adapter_config.json and chat_template.jinja; WeightsError on a full disk."""
    weights = get_peft_model_state_dict(model)
    small = {name: tensor.detach().to("cpu", torch.float16).contiguous() for name, tensor in weights.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(small, folder / "adapter_model.safetensors", metadata={"format": "pt"})
        config = json.dumps(_config(model, base), indent=2, sort_keys=True)
        (folder / "adapter_config.json").write_text(config + "\n", encoding="utf-8")
        (folder / "chat_template.jinja").write_text(chat_template, encoding="utf-8")
    except OSError as error:
        raise WeightsError(f"The adapter cannot be written to {folder}: {error}.") from error


def _config(model: PeftModel, base: str) -> dict[str, object]:
    config = model.peft_config["default"].to_dict()
    config = {name: sorted(value) if isinstance(value, set) else value for name, value in config.items()}
    return config | {"base_model_name_or_path": base, "inference_mode": True}

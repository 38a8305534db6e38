"""Which settings of an adapter are run as they say: every other one is refused by its name, never passed over.

A key that says how an adapter was made, or trained, changes nothing once it is made. A key that says how it runs has to
be one that this program runs. A key that nobody here knows may be anything, so it has to be empty.
Keys: peft's `LoraConfig`, https://huggingface.co/docs/peft/package_reference/lora.
"""

from __future__ import annotations

from typing import Any

# What this program, or peft for it, does as the key says.
RUN = frozenset(
    "peft_type r lora_alpha rank_pattern alpha_pattern use_rslora use_dora fan_in_fan_out bias lora_bias "
    "modules_to_save trainable_token_indices target_parameters init_lora_weights ensure_weight_tying".split()
)
# Where its matrices go: their own names say so.
PLACES = frozenset("target_modules exclude_modules layers_to_transform layers_pattern".split())
# How it was made or trained, and for what.
MADE = frozenset(
    "task_type auto_mapping peft_version base_model_name_or_path revision inference_mode lora_dropout megatron_core "
    "qalora_group_size runtime_config loftq_config eva_config corda_config lora_ga_config".split()
)
NEUTRAL: tuple[object, ...] = (None, False, {}, [], "")  # what a key says that asks for nothing


def unknown_settings(config: dict[str, Any]) -> list[str]:
    """The keys that ask for something that is not run here, in the order of the file."""
    return [key for key, value in config.items() if key not in RUN | PLACES | MADE and value not in NEUTRAL]

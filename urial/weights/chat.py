"""The chat template that comes with an adapter, and the tokens at which a turn ends.

Knows nothing about weights.
"""

from __future__ import annotations

import copy
from pathlib import Path

from jinja2 import TemplateError
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from urial.errors import WeightsMissing

TEMPLATE_FILE = "chat_template.jinja"
PROBE = "Yes."


def with_chat_template(tokenizer: PreTrainedTokenizerBase, folder: Path) -> PreTrainedTokenizerBase:
    """The same tokenizer under the folder's chat template, or itself where the folder has none."""
    path = folder / TEMPLATE_FILE
    return with_template_file(tokenizer, path) if path.is_file() else tokenizer


def with_template_file(tokenizer: PreTrainedTokenizerBase, path: Path) -> PreTrainedTokenizerBase:
    """The same tokenizer under a Jinja file; the given one stays as it is. Raises WeightsMissing."""
    dressed = copy.copy(tokenizer)
    try:
        dressed.chat_template = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WeightsMissing(
            f"The chat template {path} cannot be read; correct chat_template in models.yaml."
        ) from error
    return dressed


def end_ids_of(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Every token that ends an answer of a loaded model."""
    return end_ids(model.generation_config, tokenizer)


def end_ids(settings: GenerationConfig | None, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Every token that ends an answer: the configured ones, and the one that closes a turn in the chat template."""
    configured = settings.eos_token_id if settings is not None else None
    listed = configured if isinstance(configured, list) else [configured]
    return frozenset(token for token in [*listed, tokenizer.eos_token_id, _closing_id(tokenizer)] if token is not None)


def _closing_id(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The first special token after an assistant's words in a rendered chat."""
    if tokenizer.chat_template is None:
        return None
    after = tokenizer.encode(_after_answer(tokenizer), add_special_tokens=False)
    special = {token for token, added in tokenizer.added_tokens_decoder.items() if added.special}
    return next((token for token in after if token in special), None)


def _after_answer(tokenizer: PreTrainedTokenizerBase) -> str:
    """What the template writes behind an assistant's words; nothing if it cannot render a finished turn."""
    turns = [{"role": "user", "content": PROBE}, {"role": "assistant", "content": PROBE}]
    try:
        return tokenizer.apply_chat_template(turns, tokenize=False).rpartition(PROBE)[2]
    except (TemplateError, ValueError):  # rendering a real chat will say what is wrong; a base may never need to
        return ""

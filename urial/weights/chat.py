"""The chat template that comes with an adapter, and the tokens at which a turn ends.

Knows nothing about weights.
"""

from __future__ import annotations

import copy
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

TEMPLATE_FILE = "chat_template.jinja"
GEMMA_CHAT_TEMPLATE = (Path(__file__).with_name("gemma_chat_template.jinja")).read_text(encoding="utf-8")
PROBE = "Yes."


def with_chat_template(tokenizer: PreTrainedTokenizerBase, folder: Path) -> PreTrainedTokenizerBase:
    """The same tokenizer under the folder's chat template, or itself where the folder has none."""
    path = folder / TEMPLATE_FILE
    if not path.is_file():
        return tokenizer
    dressed = copy.copy(tokenizer)
    dressed.chat_template = path.read_text(encoding="utf-8")
    return dressed


def end_ids_of(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Every token that ends an answer: the configured ones, and the one that closes a turn in the chat template."""
    configured = model.generation_config.eos_token_id if model.generation_config is not None else None
    listed = configured if isinstance(configured, list) else [configured]
    return frozenset(token for token in [*listed, tokenizer.eos_token_id, _closing_id(tokenizer)] if token is not None)


def _closing_id(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The first special token after an assistant's words in a rendered chat."""
    if tokenizer.chat_template is None:
        return None
    turns = [{"role": "user", "content": PROBE}, {"role": "assistant", "content": PROBE}]
    rendered = tokenizer.apply_chat_template(turns, tokenize=False)
    after = tokenizer.encode(rendered[rendered.rindex(PROBE) + len(PROBE) :], add_special_tokens=False)
    special = {token for token, added in tokenizer.added_tokens_decoder.items() if added.special}
    return next((token for token in after if token in special), None)

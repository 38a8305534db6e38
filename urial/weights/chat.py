"""The tokenizer and chat template that come with an adapter, and the tokens at which a turn ends."""

from __future__ import annotations

import copy
from pathlib import Path

from transformers import AutoTokenizer, GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from urial.errors import WeightsError, WeightsMissing
from urial.validation import json_value

TEMPLATE_FILE = "chat_template.jinja"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json")
PROBE = "Yes."
LONGEST = 160  # characters of a template's error in a sentence


def adapters_tokenizer(tokenizer: PreTrainedTokenizerBase, folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer and the chat template in an adapter's folder; where it lacks one of them, the base's."""
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        return _with_folders_template(tokenizer, folder)
    own = AutoTokenizer.from_pretrained(folder)
    if own.chat_template is None:
        own.chat_template = tokenizer.chat_template
    return own


def _with_folders_template(tokenizer: PreTrainedTokenizerBase, folder: Path) -> PreTrainedTokenizerBase:
    """The same tokenizer under the folder's chat template, or itself where the folder has none."""
    path, settings = folder / TEMPLATE_FILE, folder / "tokenizer_config.json"
    if path.is_file():
        return with_template_file(tokenizer, path)
    if not settings.is_file():
        return tokenizer
    content = json_value(settings.read_bytes(), str(settings), "fetch it again", WeightsError)
    template = content.get("chat_template") if isinstance(content, dict) else None
    if not isinstance(template, str):
        return tokenizer
    dressed = copy.copy(tokenizer)
    dressed.chat_template = template
    return dressed


def check_chat_template(tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    """Raise WeightsMissing unless the chat template of the model `name` can render a question."""
    if tokenizer.chat_template is None:
        raise WeightsMissing(
            f"The aligned model ({name}) has no chat template; "
            f"name one in models.yaml, or put a {TEMPLATE_FILE} into its folder or its adapter's."
        )
    if isinstance(tokenizer.chat_template, dict) and "default" not in tokenizer.chat_template:
        names = ", ".join(sorted(tokenizer.chat_template))
        raise WeightsMissing(
            f"The aligned model ({name}) has several chat templates ({names}) and none is its default; "
            "name the file of one in models.yaml (chat_template)."
        )
    try:
        rendered = render(tokenizer, [{"role": "user", "content": PROBE}])
    except Exception as error:  # a template is a program of its own and may raise anything
        raise WeightsMissing(
            f"The chat template of the aligned model ({name}) cannot be used ({reason_of(error)}); "
            "name another in models.yaml (chat_template)."
        ) from error
    if PROBE not in rendered:
        raise WeightsMissing(
            f"The chat template of the aligned model ({name}) leaves out what the user says; "
            "name another in models.yaml (chat_template)."
        )


def render(tokenizer: PreTrainedTokenizerBase, turns: list[dict[str, str]]) -> str:
    """The conversation with an open assistant turn. Raises whatever the template raises."""
    return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))


def reason_of(error: Exception) -> str:
    """What a template's error says, in one short line."""
    said = " ".join(str(error).split())[:LONGEST].rstrip(".")
    line = getattr(error, "lineno", None)  # of a syntax error
    return (said or type(error).__name__) + (f", line {line}" if line else "")


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
        return str(tokenizer.apply_chat_template(turns, tokenize=False)).rpartition(PROBE)[2]
    except Exception:  # rendering a real chat will say what is wrong; a base may never need to
        return ""

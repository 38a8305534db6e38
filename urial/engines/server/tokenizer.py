"""The tokenizer of a model that runs elsewhere: from the same entry of models.yaml that would name its weights.

A server is given ids and gives ids, so their words are made here.
"""

from __future__ import annotations

from pathlib import Path

from transformers import AutoTokenizer, GenerationConfig, PreTrainedTokenizerBase

from urial.errors import WeightsMissing
from urial.pairs import ModelSpec
from urial.progress import Progress
from urial.weights.chat import adapters_tokenizer, end_ids, with_template_file
from urial.weights.sources import locate_adapter, locate_model, locate_tokenizer


def load_tokenizer(spec: ModelSpec, progress: Progress) -> tuple[PreTrainedTokenizerBase, frozenset[int]]:
    """A tokenizer and the ids that end a turn. Reads no weights; a hub id without a folder fetches a few files.

    Raises WeightsMissing or WeightsError where there is no tokenizer to be had.
    """
    source, revision = locate(spec, progress)
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(source, revision=revision)
    except (OSError, ValueError) as error:
        raise WeightsMissing(
            f"There is no tokenizer at {source}; name the model's folder or hub id beside its server in models.yaml."
        ) from error
    tokenizer = under_template(tokenizer, spec, progress)
    return tokenizer, end_ids(generation_settings(source, revision), tokenizer)


def under_template(tokenizer: PreTrainedTokenizerBase, spec: ModelSpec, progress: Progress) -> PreTrainedTokenizerBase:
    """With the entry's own chat template, or its adapter's, or as it is."""
    if spec.chat_template is not None:
        return with_template_file(tokenizer, Path(spec.chat_template))
    if spec.adapter is not None:
        return adapters_tokenizer(tokenizer, locate_adapter(spec.adapter, progress).folder)
    return tokenizer


def locate(spec: ModelSpec, progress: Progress) -> tuple[str, str | None]:
    """A folder or a hub id with its revision: what the entry names, else the server's name of the model."""
    if spec.tokenizer is not None:
        return str(locate_tokenizer(spec.tokenizer, progress).folder), None
    if spec.is_packed:
        return str(locate_model(spec, "float32", progress).folder), None
    if spec.folder is not None:
        return str(Path(spec.folder).expanduser()), None
    return spec.hub or (spec.server.model if spec.server else ""), spec.revision


def generation_settings(source: str, revision: str | None) -> GenerationConfig | None:
    """The model's own generation settings; None where it has no such file."""
    try:
        return GenerationConfig.from_pretrained(source, revision=revision or "main")
    except OSError:
        return None

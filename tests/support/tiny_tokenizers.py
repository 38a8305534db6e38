"""Small tokenizers of the kinds that models have (bytes, byte fallback, Unigram), with the marks of a chat."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

MARKS = ["<s>", "</s>", "<|im_start|>", "<|im_end|>"]
THINK = ["<think>", "</think>"]  # structural, though no special tokens
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{{ m['content'].split('</think>')[-1] if m['role'] == 'assistant' else m['content'] | trim }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n\n</think>\n\n{% endif %}"
)
KINDS = ("bytes", "byte_fallback", "unigram")


def tokenizer(kind: str, *, template: str = TEMPLATE, ends: bool = False) -> PreTrainedTokenizerFast:
    """`ends`: whether it puts its end token behind every text, as some do."""
    core = {"bytes": _bytes, "byte_fallback": _byte_fallback, "unigram": _unigram}[kind]()
    core.add_special_tokens([AddedToken(mark, special=True, normalized=False) for mark in MARKS])
    core.add_tokens([AddedToken(mark, special=False, normalized=False) for mark in THINK])
    marks = [("<s>", core.token_to_id("<s>")), ("</s>", core.token_to_id("</s>"))]
    single = "<s> $A </s>" if ends else "<s> $A"
    core.post_processor = processors.TemplateProcessing(single=single, special_tokens=marks)
    found = PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>")
    found.chat_template = template
    return found


def _bytes() -> Tokenizer:
    core = Tokenizer(models.BPE(vocab=_byte_vocabulary(), merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    return core


def _byte_vocabulary() -> dict[str, int]:
    return {char: i for i, char in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}


def _characters() -> list[str]:
    return [chr(code) for code in range(33, 127)]


def _fallback_pieces() -> list[str]:
    return ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *_characters()]


def _byte_fallback() -> Tokenizer:
    """As in Llama 2: spaces are part of words, and what has no piece is told byte by byte."""
    vocabulary = {piece: i for i, piece in enumerate([*_fallback_pieces(), "▁t", "▁th", "▁the"])}
    merges = [("▁", "t"), ("▁t", "h"), ("▁th", "e")]
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    return _with_metaspaces(core)


def _unigram() -> Tokenizer:
    """Its vocabulary holds its own marks, as SentencePiece writes them."""
    scored = [(piece, -9.0) for piece in [*_fallback_pieces(), *MARKS[2:]]]
    return _with_metaspaces(Tokenizer(models.Unigram([*scored, ("▁the", -3.0)], unk_id=0, byte_fallback=True)))


def _with_metaspaces(core: Tokenizer) -> Tokenizer:
    core.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    steps: Sequence = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    core.decoder = decoders.Sequence(list(steps))
    return core

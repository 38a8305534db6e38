"""Text to token ids, where only the program's own marks are marks.

A tokenizer turns `<|im_end|>` into the end of a turn wherever it stands. What a user typed is text: a mark in it is
read as the characters that it is written with, so that nobody opens a turn of the model by typing one.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from urial.errors import PromptError

PRIVATE = range(0xE000, 0xF8FF)  # code points that no text needs
PROBE = "a"
BRACKETED = re.compile(r"[<\[][^\s<>\[\]]+[>\]]|<\|[^\s<>]+\|>")


class Rendered(str):
    """A conversation as its template writes it; `typed` are the places of characters inside marks that were typed."""

    typed: frozenset[int] = frozenset()

    @classmethod
    def unmasked(cls, masked: str, mask: str) -> Rendered:
        """The text without the masks, which stand behind the first character of each mark that was typed."""
        parts = masked.split(mask)
        places, length = [], 0
        for part in parts[:-1]:
            length += len(part)
            places.append(length)
        rendered = cls("".join(parts))
        rendered.typed = frozenset(places)
        return rendered


class MarkedText:
    """Ids of a tokenizer for plain text and for rendered conversations."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        added, template = tokenizer.added_tokens_decoder, str(tokenizer.chat_template)
        special = {token.content: token_id for token_id, token in added.items() if token.special}
        structural = {
            token.content: token_id
            for token_id, token in added.items()
            if BRACKETED.fullmatch(token.content) and token.content in template
        }
        self._ids: dict[str, int] = structural | special
        self._special = _any_of(special)
        self._marks = _any_of(self._ids)
        self._beginning = self._added_before()

    def encode(self, text: str) -> list[int]:
        """Ids of a plain prompt, the beginning token first where the tokenizer adds one; nothing behind the text."""
        return [*self._beginning, *self.encode_plain(text)]

    def encode_plain(self, text: str) -> list[int]:
        """Ids of a text alone: marks in it are characters like others."""
        return self._without_marks(text) if self._marks.search(text) else self._encode(text)

    def encode_rendered(self, rendered: str) -> list[int]:
        """Ids of a rendered conversation: marks of its template are marks, typed ones are characters."""
        typed: frozenset[int] = getattr(rendered, "typed", frozenset())
        if not typed:
            return self._encode(str(rendered))
        aliases, _ = self._plain

        def written(found: re.Match[str]) -> str:
            return found[0] if found.start() + 1 in typed else aliases[found[0]]

        return self._without_marks(self._marks.sub(written, str(rendered)))

    def render(self, turns: Sequence[Mapping[str, str]], template: Callable[[list[dict[str, str]]], str]) -> Rendered:
        """What `template` makes of the turns. An answer's own thinking marks stay marks: its model wrote them."""
        mask = self._mask(turns)
        masked = [{**turn, "content": self._masked(turn, mask)} for turn in turns]
        return Rendered.unmasked(template(masked), mask)

    def _masked(self, turn: Mapping[str, str], mask: str) -> str:
        marks = self._special if turn["role"] == "assistant" else self._marks
        return marks.sub(lambda found: found[0][0] + mask + found[0][1:], turn["content"])

    def _mask(self, turns: Sequence[Mapping[str, str]]) -> str:
        """A character that stands in none of the texts."""
        used = set(str(self._tokenizer.chat_template)).union(*(turn["content"] for turn in turns))
        return next(char for char in map(chr, PRIVATE) if char not in used)

    def _encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False)

    def _without_marks(self, text: str) -> list[int]:
        _, plain = self._plain
        return plain.encode(text, add_special_tokens=False).ids

    def _added_before(self) -> list[int]:
        """What the tokenizer puts before a text. Some put an end token behind it too, which would end a prompt."""
        bare, whole = self._encode(PROBE), self._tokenizer.encode(PROBE)
        starts = range(len(whole) - len(bare) + 1)
        return next((whole[:start] for start in starts if whole[start : start + len(bare)] == bare), [])

    @cached_property
    def _plain(self) -> tuple[dict[str, str], Tokenizer]:
        """Another name for each mark, and the tokenizer that knows the marks by those names only.

        Made where somebody types a mark, which few do: the whole vocabulary is written out and read again.
        """
        nonce = secrets.token_hex(8)  # nobody can type it
        aliases = {mark: f"\ue000{nonce}:{token_id}\ue001" for mark, token_id in self._ids.items()}
        try:
            content = json.loads(self._tokenizer.backend_tokenizer.to_str())
            return aliases, Tokenizer.from_str(json.dumps(renamed(content, aliases)))
        except Exception as error:  # the library raises plain Exception
            raise PromptError(
                "The text holds a special mark of the model, which its tokenizer cannot read as plain text; "
                "take the mark out."
            ) from error


def _any_of(marks: Mapping[str, int]) -> re.Pattern[str]:
    """Any of the marks, the longest first; never matches where there is none."""
    names = sorted(filter(None, marks), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, names)) or r"(?!)")


def renamed(content: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """A tokenizer.json whose tokens have other names, with the same ids; nothing is added before or behind a text."""
    model = content["model"]
    vocabulary = model["vocab"]
    if isinstance(vocabulary, dict):
        model["vocab"] = {names.get(token, token): token_id for token, token_id in vocabulary.items()}
    else:  # Unigram's: pairs of token and score
        model["vocab"] = [[names.get(token, token), score] for token, score in vocabulary]
    if model.get("unk_token") in names:
        model["unk_token"] = names[model["unk_token"]]
    for token in content["added_tokens"]:
        token["content"] = names.get(token["content"], token["content"])
    content["post_processor"] = None
    return content

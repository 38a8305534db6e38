"""Token ids to text: a whole answer piece by piece, and one token alone.

Knows nothing about models; reads only a transformers fast tokenizer.
"""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers.decoders import DecodeStream
from transformers import PreTrainedTokenizerBase

INCOMPLETE = "\ufffd"


class TextStream:
    """Pieces that joined give the decoded answer, also where one character spans several tokens."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer.backend_tokenizer
        self._stream = DecodeStream(skip_special_tokens=True)
        self._pending: list[int] = []

    def feed(self, token_id: int) -> str:
        """The text that this token completes; empty while a character is incomplete."""
        self._pending.append(token_id)
        piece = self._stream.step(self._tokenizer, token_id)
        if piece is None:
            return ""
        self._pending.clear()
        return piece

    def finish(self) -> str:
        """What an answer cut in the middle of a character still holds, as replacement characters."""
        rest = self._tokenizer.decode(self._pending, skip_special_tokens=True) if self._pending else ""
        self._pending.clear()
        return rest


def pieces_of(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> list[str]:
    """One text piece for each id; joined they give the whole text."""
    stream = TextStream(tokenizer)
    pieces = [stream.feed(token_id) for token_id in ids]
    if pieces:
        pieces[-1] += stream.finish()
    return pieces


class TokenNames:
    """The text of single tokens, as a list of alternatives shows them: leading space kept, bytes as <0xE2>."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._anchor = tokenizer.encode("a", add_special_tokens=False)[-1]
        self._anchor_text = tokenizer.decode([self._anchor])
        self._names: dict[int, str] = {}

    def __getitem__(self, token_id: int) -> str:
        if token_id not in self._names:
            self._names[token_id] = self._name(token_id)
        return self._names[token_id]

    def _name(self, token_id: int) -> str:
        # Decoders drop a leading space at the start of a text, so the token is read behind another one.
        joined = self._tokenizer.decode([self._anchor, token_id], clean_up_tokenization_spaces=False)
        text = joined[len(self._anchor_text) :]
        if not text or INCOMPLETE in text or not joined.startswith(self._anchor_text):
            return str(self._tokenizer.convert_ids_to_tokens(token_id) or "")
        return text

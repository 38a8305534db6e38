"""Token ids to text: a whole answer piece by piece, and one token alone.

Reads only a transformers fast tokenizer.
"""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

INCOMPLETE = "\ufffd"


class TextStream:
    """Pieces that joined give the decoded answer, also where one character spans several tokens.

    A token's text depends on the tokens before it (a space, a character begun), so it is read behind those of the last
    piece. Bytes that make no character stay visible as replacement characters.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer.backend_tokenizer
        self._before: list[int] = []  # the tokens of the last piece
        self._pending: list[int] = []

    def feed(self, token_id: int) -> str:
        """The text that this token completes; empty while a character is incomplete."""
        self._pending.append(token_id)
        piece = self._text()
        if not piece or piece.endswith(INCOMPLETE):
            return ""
        self._before, self._pending = self._pending, []
        return piece

    def feed_answer(self, token_id: int, *, is_end: bool, is_last: bool) -> str:
        """What a token of an answer completes: an end token has no text, and the last one ends a broken character."""
        text = "" if is_end else self.feed(token_id)
        return text + self.finish() if is_end or is_last else text

    def finish(self) -> str:
        """What an answer cut in the middle of a character still holds, as replacement characters."""
        rest = self._text() if self._pending else ""
        self._pending = []
        return rest

    def _text(self) -> str:
        """The pending tokens' text."""
        before, both = self._decode(self._before), self._decode([*self._before, *self._pending])
        # A run of bytes is decoded as a whole: a broken one takes those of the last piece along, which are told.
        return both[len(before) :] if both.startswith(before) else self._decode(self._pending)

    def _decode(self, ids: list[int]) -> str:
        return self._tokenizer.decode(ids, skip_special_tokens=True) if ids else ""


def pieces_of(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> list[str]:
    """One text piece for each id; joined they give the whole text."""
    stream = TextStream(tokenizer)
    pieces = [stream.feed(token_id) for token_id in ids]
    if pieces:
        pieces[-1] += stream.finish()
    return pieces


class TokenNames:
    """The text of single tokens, as a list of alternatives shows them: leading space kept, bytes as <0xE2>.

    Heads are padded beyond their tokenizers: an id of theirs that no token has says so.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._anchor = tokenizer.encode("a", add_special_tokens=False)[-1]
        self._anchor_text = str(tokenizer.decode([self._anchor]))
        self._names: dict[int, str] = {}

    def __getitem__(self, token_id: int) -> str:
        if token_id not in self._names:
            self._names[token_id] = self._name(token_id)
        return self._names[token_id]

    def _name(self, token_id: int) -> str:
        # Decoders drop a leading space at the start of a text, so the token is read behind another one.
        joined = str(self._tokenizer.decode([self._anchor, token_id], clean_up_tokenization_spaces=False))
        text = joined[len(self._anchor_text) :]
        if not text or INCOMPLETE in text or not joined.startswith(self._anchor_text):
            return str(self._tokenizer.convert_ids_to_tokens(token_id) or f"<unnamed id {token_id}>")
        return text

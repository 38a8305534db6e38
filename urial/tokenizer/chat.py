"""Ids and text of one model, in both directions: plain prompts, conversations under its template, single tokens.

Every engine has one, wherever its model runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from transformers import PreTrainedTokenizerBase

from urial.errors import MismatchError, PromptError
from urial.records import Message
from urial.tokenizer.marks import MarkedText
from urial.tokenizer.text import TokenNames, pieces_of
from urial.weights.chat import reason_of, render


class ChatTokenizer:
    """What an engine does with text."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, *, name: str, ends: frozenset[int], rows: int | None = None
    ) -> None:
        """`name` is the model's, for messages; `rows` is how many ids it knows, None where that is not known."""
        self.tokenizer = tokenizer
        self.name = name
        self._rows = rows
        self._marked = MarkedText(tokenizer)
        self._names = TokenNames(tokenizer)
        self.ends = ends
        self._special = frozenset(tokenizer.all_special_ids) | ends

    def encode(self, text: str) -> list[int]:
        """Token ids of a plain prompt, beginning token included where the model has one; marks in it are plain text."""
        return self._checked(self._marked.encode(text))

    def encode_answer(self, text: str) -> list[int]:
        """Token ids of a given answer: nothing is added."""
        return self._checked(self._marked.encode_plain(text))

    def render_chat(self, messages: Sequence[Message]) -> str:
        """The model's own chat template with an open assistant turn.

        Raises MismatchError where it has none, PromptError where it does not take these turns.
        """
        if not self.tokenizer.chat_template:
            raise MismatchError(
                f"The aligned model {self.name} has no chat template; name one in models.yaml (chat_template), or put "
                "a chat_template.jinja beside its tokenizer or into its adapter's folder."
            )
        turns = [message.model_dump() for message in messages]
        try:
            return self._marked.render(turns, partial(render, self.tokenizer))
        except Exception as error:  # a template is a program of its own and may raise anything
            raise PromptError(
                f"The chat template of {self.name} does not take this conversation ({reason_of(error)}); "
                "ask without the earlier turns, or name another template in models.yaml (chat_template)."
            ) from error

    def encode_chat(self, rendered: str) -> list[int]:
        """Token ids of what `render_chat` gave; nothing is added twice, and marks that were typed are no marks."""
        return self._checked(self._marked.encode_rendered(rendered))

    def token_text(self, token_id: int) -> str:
        """One token alone, for the lists of alternatives."""
        return self._names[token_id]

    def answer_pieces(self, ids: Sequence[int]) -> list[str]:
        """One text piece for each id; joined they give the answer's text."""
        return pieces_of(self.tokenizer, ids)

    def is_special(self, token_id: int) -> bool:
        """Whether a token is a mark of the format (end of turn, beginning of text) and no part of the words."""
        return token_id in self._special

    def vocabulary(self) -> dict[str, int]:
        """Token strings and their ids, to compare two siblings."""
        return self.tokenizer.get_vocab()

    def _checked(self, ids: list[int]) -> list[int]:
        """Raise MismatchError for an id that the model has no row for: a tokenizer of another model."""
        if self._rows is not None and ids and max(ids) >= self._rows:
            raise MismatchError(
                f"The tokenizer of {self.name} reads a part of this text as token {max(ids)}, but its model knows "
                f"only {self._rows:,} tokens; fetch both from one place, or take that part out."
            )
        return ids

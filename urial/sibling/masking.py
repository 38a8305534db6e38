"""Turns conversations into token ids and marks which of them the model must learn to say.

Learned: every assistant turn, its end-of-turn token included, and nothing else.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from urial.errors import RecordError, WeightsMissing
from urial.sibling.examples import Example

GEMMA_TEMPLATE = Path(__file__).parent / "chat_template.jinja"


@dataclass(frozen=True)
class Encoded:
    """Token ids of a conversation (T) and, for each position, whether it is learned (T)."""

    id: str
    ids: tuple[int, ...]
    learned: tuple[bool, ...]

    @property
    def answer_tokens(self) -> int:
        return sum(self.learned)


def ensure_chat_template(tokenizer: Any) -> None:
    """Gives a tokenizer with Gemma's turn tokens and no template of its own the Gemma chat template.

    Raises WeightsMissing where the tokenizer has neither.
    """
    if tokenizer.chat_template:
        return
    if "<start_of_turn>" not in tokenizer.get_vocab():
        raise WeightsMissing("The base's tokenizer has no chat template; put a chat_template.jinja beside its weights.")
    tokenizer.chat_template = GEMMA_TEMPLATE.read_text(encoding="utf-8")


class ChatEncoder:
    """Encodes conversations with one tokenizer's chat template."""

    def __init__(self, tokenizer: Any) -> None:
        ensure_chat_template(tokenizer)
        self.tokenizer = tokenizer
        added = tokenizer.added_tokens_decoder  # built anew at each access, and slowly
        self.added_ids = frozenset(added)
        self.special_ids = frozenset(tokenizer.all_special_ids) | {i for i, t in added.items() if t.special}

    def encode(self, example: Example, longest: int) -> Encoded:
        """Ids and mask of one example.

        Raises RecordError where it is longer than `longest` tokens: cutting an answer would unteach its end.
        """
        ids = self._ids(example.chat(), opens_answer=False)
        if len(ids) > longest:
            raise RecordError(
                f"Example {example.id} has {len(ids)} tokens, more than {longest}; shorten it or raise --longest."
            )
        learned = [False] * len(ids)
        for upto in range(2, len(example.messages) + 1, 2):
            start, stop = self._answer_span(example, upto, ids)
            learned[start:stop] = [True] * (stop - start)
        return Encoded(example.id, tuple(ids), tuple(learned))

    def prompt_ids(self, messages: list[dict[str, str]]) -> list[int]:
        """What the model is given before it answers: the messages and the opening of its turn."""
        return self._ids(messages, opens_answer=True)

    def _answer_span(self, example: Example, upto: int, ids: list[int]) -> tuple[int, int]:
        """Positions [start, stop) of the answer that ends `messages[:upto]`, its end-of-turn token included."""
        before = self._ids(example.chat(upto - 1), opens_answer=True)
        after = self._ids(example.chat(upto), opens_answer=False)
        if ids[: len(before)] != before or ids[: len(after)] != after:
            raise RecordError(f"Example {example.id}: the chat template does not keep earlier turns as they were.")
        specials = [p for p in range(len(before), len(after)) if ids[p] in self.special_ids]
        return len(before), (specials[-1] + 1 if specials else len(after))

    def _ids(self, messages: list[dict[str, str]], opens_answer: bool) -> list[int]:
        text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=opens_answer)
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

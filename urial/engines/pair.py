"""Two engines that belong together: base and aligned, with what the record says of them.

Refuses siblings whose token ids differ in meaning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from urial.engines.base import Engine
from urial.errors import MismatchError
from urial.records import PairInfo, SideName

if TYPE_CHECKING:
    from urial.engines.local.engine import LocalEngine


@dataclass(frozen=True, slots=True)
class PairEngines:
    """Both engines, the facts for the record, and the vocabulary that they share (V = ids 0..vocabulary - 1)."""

    info: PairInfo
    base: Engine
    aligned: Engine
    vocabulary: int
    note: str = ""
    same: str = ""  # why both are one model, in a sentence that is a part of the note; empty where they are two

    def side(self, name: SideName) -> Engine:
        return self.base if name == "base" else self.aligned

    def local(self, name: SideName) -> LocalEngine:
        """The side's engine where the pair `is_exact`: it runs in this process, and can do all that such a one can."""
        return cast("LocalEngine", self.side(name))

    @property
    def preparing(self) -> str:
        """What a first answer still waits for, in words for people; empty where it waits for nothing."""
        return self.base.preparing or self.aligned.preparing

    @property
    def is_exact(self) -> bool:
        """Whether every statistic is over the full vocabulary."""
        return self.base.capabilities.has_logits and self.aligned.capabilities.has_logits

    @property
    def rereads_context(self) -> bool:
        """Whether scoring in many small chunks is dear."""
        return self.base.capabilities.rereads_context or self.aligned.capabilities.rereads_context

    @property
    def no_rows_reason(self) -> str:
        """Why an answer that the aligned model writes can have no shift, in one sentence; empty where it can."""
        return self.base.no_rows_reason or ("" if self.aligned.capabilities.tells_own else self.no_given_rows_reason)

    @property
    def no_given_rows_reason(self) -> str:
        """The same for an answer that is given: both models have to score it."""
        return self.base.no_rows_reason or self.aligned.no_rows_reason


def check_same_tokens(base: dict[str, int], aligned: dict[str, int], name: str) -> None:
    """Raise MismatchError unless every token that both know has the same id, and every shared id the same token.

    A sibling may know more tokens (chat marks); it may not rename one.
    """
    if base is aligned:
        return
    aligned_by_id = {token_id: token for token, token_id in aligned.items()}
    for token, token_id in base.items():
        if aligned_by_id.get(token_id, token) != token or aligned.get(token, token_id) != token_id:
            raise MismatchError(
                f"The models of the pair {name} give different ids to {token!r}, so their ranks cannot be compared; "
                "choose siblings with the same tokenizer."
            )

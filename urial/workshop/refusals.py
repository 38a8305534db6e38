"""What a class says no to: a key of the language files, an HTTP status, and the sentence in English.

Pages show the sentence in their own language by its key.
"""

from __future__ import annotations

from urial.errors import WorkshopError
from urial.workshop.texts import say


class Refused(WorkshopError):
    """`key` names a text under "refused."; `values` fill it in."""

    def __init__(self, key: str, status: int = 409, **values: str | int) -> None:
        self.key, self.status, self.values = f"refused.{key}", status, values
        super().__init__(say("en", self.key, n=None, **values))

"""Where a server is and how to be let in: its address and its key, which nothing here ever shows."""

from __future__ import annotations

import os

from urial.errors import SettingsError
from urial.pairs import ServerSpec

HIDDEN = "[key]"
LONGEST_QUOTE = 240


class Address:
    """A server's address, safe to show (models.yaml is refused otherwise), and the key, which stays inside.

    Raises SettingsError where the key's variable is not set.
    """

    def __init__(self, spec: ServerSpec) -> None:
        self.url = spec.base_url.rstrip("/")
        self.key_variable = spec.api_key_env
        self.__key = read_key(self.url, spec.api_key_env)

    def __repr__(self) -> str:
        return f"Address({self.url!r})"

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.__key}"} if self.__key else {}

    def without_key(self, text: str) -> str:
        """A server's own words, should it repeat the key."""
        return text.replace(self.__key, HIDDEN) if self.__key else text

    def quote(self, text: str) -> str:
        """A server's own words on one line, cut to a length that fits a sentence, without the key."""
        line = self.without_key(" ".join(text.split()))
        return line if len(line) <= LONGEST_QUOTE else line[:LONGEST_QUOTE] + "…"


def read_key(url: str, variable: str | None) -> str:
    """The key from the environment, or nothing where none is asked for."""
    if variable is None:
        return ""
    key = os.environ.get(variable, "").strip()
    if not key:
        raise SettingsError(f"The server {url} needs a key, but {variable} is not set; set it in the environment.")
    if not key.isascii() or not key.isprintable():
        raise SettingsError(f"The key in {variable} holds characters that no key has; set it anew.")
    return key

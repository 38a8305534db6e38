"""Codes, secrets and nicknames: how they are made, cleaned and compared."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import unicodedata

ALPHABET = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"  # without 0, O, 1, I and L: 31^6 is about 887 million codes
CODE_LENGTH = 6
NICKNAME_LENGTH = 24
TITLE_LENGTH = 80
JOINERS = "\u200c\u200d"  # hold the parts of an emoji or of a Persian word together


def new_code() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(CODE_LENGTH))


def new_secret() -> str:
    """192 random bits, ready for an address or a cookie."""
    return secrets.token_urlsafe(24)


def typed_code(text: object) -> str:
    """A code as somebody typed it: case, spaces and dashes do not matter."""
    return "".join(str(text)[:40].upper().replace("-", "").split())


def hashed(secret: str, room: int) -> bytes:
    """What is kept of a secret; the same browser in two rooms leaves two different hashes."""
    return hashlib.sha256(f"{room}\n{secret}".encode("utf-8", "surrogatepass")).digest()


def matches(secret: str, room: int, kept: bytes) -> bool:
    return hmac.compare_digest(hashed(secret, room), kept)


def cleaned(text: object, length: int) -> str:
    """One short line of text: no control, direction or private characters, no pile of combining marks, no edges."""
    if not isinstance(text, str):
        return ""
    kept: list[str] = []
    marks = 0
    for char in unicodedata.normalize("NFC", text[: 40 * length]):
        kind = unicodedata.category(char)
        marks = marks + 1 if kind.startswith("M") else 0
        if marks > 2 or (kind.startswith("C") and char not in JOINERS):
            continue
        kept.append(" " if kind.startswith("Z") else char)
    return " ".join("".join(kept).split())[:length].strip(JOINERS + " ")

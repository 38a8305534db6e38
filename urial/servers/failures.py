"""What can go wrong between here and a server, each as one sentence that names what to change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from urial.errors import EngineError, SettingsError, UrialError
from urial.servers.address import Address

BEHIND_A_PROXY = (502, 503, 504)  # what a proxy says of a server that is down
KEPT = "what it had written is kept; try again."


class Malformed(Exception):
    """A reply lacks a key or fills it wrongly; `str(error)` is the key."""


class Refused(EngineError):
    """A request that the server does not take as it is; `words` are its own, empty where it has none."""

    def __init__(self, sentence: str, words: str) -> None:
        super().__init__(sentence)
        self.words = words


class TransientError(Exception):
    """A failure that may be over soon: the request may be sent again as long as nothing of it was shown.

    `final` is what to raise in the end. `is_away`: the server is down and may come back; otherwise it answers, but
    with a failure, which a few tries settle. `pause` is what the server asks for, in seconds.
    """

    def __init__(self, final: UrialError, *, is_away: bool = False, pause: float | None = None) -> None:
        super().__init__(str(final))
        self.final, self.is_away, self.pause = final, is_away, pause


def unreachable(address: Address, error: httpx.TransportError) -> TransientError:
    """The connection failed or broke."""
    kind = type(error).__name__
    sentence = f"The server {address.url} cannot be reached ({kind}); start it, or correct base_url in models.yaml."
    return TransientError(EngineError(sentence), is_away=True)


def cut_short(address: Address) -> TransientError:
    """The server closed an answer that had not ended."""
    sentence = f"The server {address.url} closed the connection before it answered; look into its log, then try again."
    return TransientError(EngineError(sentence), is_away=True)


def broke_off(address: Address) -> EngineError:
    return EngineError(f"The server {address.url} broke off in the middle of the answer; {KEPT}")


def unfinished(address: Address) -> EngineError:
    """A stream that ends as it should, but no event of it said that the answer has ended."""
    return EngineError(
        f"The server {address.url} ended its reply without saying that the answer had ended: it was cut off; {KEPT}"
    )


def gave_up(address: Address, reason: str, trouble: str) -> EngineError:
    """The server ended an answer for a reason that is none of the model's."""
    why = f"{reason}: {trouble}" if trouble else reason
    return EngineError(f"The server {address.url} broke the answer off ({address.quote(why).rstrip('.')}); {KEPT}")


def silent(address: Address, seconds: float, has_begun: bool) -> EngineError:
    """No answer, or no further word of one, in time."""
    if has_begun:
        return EngineError(f"The server {address.url} has sent nothing more for {seconds:g} s; {KEPT}")
    return EngineError(
        f"The server {address.url} did not answer within {seconds:g} s; it may be overloaded: try again."
    )


def not_json(address: Address) -> EngineError:
    return EngineError(
        f"The server {address.url} answered with something that is not JSON; check that base_url in models.yaml "
        "leads to an OpenAI-compatible server (it usually ends in /v1)."
    )


def missing(address: Address, key: str) -> EngineError:
    return EngineError(
        f"The server {address.url} left out {key!r} or filled it wrongly; it is not OpenAI-compatible in this, "
        "use another server."
    )


@contextmanager
def naming_what_is_missing(address: Address) -> Iterator[None]:
    """Malformed within becomes the sentence of `missing`."""
    try:
        yield
    except Malformed as error:
        raise missing(address, str(error)) from error


def reported(address: Address, message: str, has_begun: bool) -> EngineError:
    """An error that the server sent inside a stream."""
    end = KEPT if has_begun else "look into its log, then try again."
    return EngineError(f"The server {address.url} reports: {address.quote(message).rstrip('.')}; {end}")


def refused(address: Address, status: int, body: bytes) -> UrialError | TransientError:
    """A status other than success: TransientError where it may be over soon."""
    words = said(address, body)
    if status in (401, 403):
        return SettingsError(refused_key(address, status))
    if status == 404:
        return SettingsError(
            f"The server {address.url} does not have what was asked for (404{words}); correct base_url or model in "
            "models.yaml."
        )
    if status == 429:
        return EngineError(f"The server {address.url} has too many requests (429); wait a minute and try again.")
    if status >= 500:
        sentence = f"The server {address.url} failed ({status}{words}); look into its log, then try again."
        return TransientError(EngineError(sentence), is_away=status in BEHIND_A_PROXY)
    sentence = f"The server {address.url} refused the request ({status}{words}); change what it names."
    return Refused(sentence, words)


def refused_key(address: Address, status: int) -> str:
    """Without the server's words: some repeat a part of the key."""
    if address.key_variable is None:
        return (
            f"The server {address.url} asks for a key ({status}); put it into an environment variable and name that "
            "as api_key_env in models.yaml."
        )
    return f"The server {address.url} refuses the key ({status}); put a valid one into {address.key_variable}."


def said(address: Address, body: bytes) -> str:
    """The server's own words, if it has any, to stand behind a status."""
    text = body[:65536].decode("utf-8", errors="replace")
    try:
        message = error_message(json.loads(text))
    except (ValueError, RecursionError):
        message = "" if text.lstrip().startswith("<") else text
    return f": {address.quote(message).rstrip('.')}" if message.strip() else ""


def error_in(event: object) -> str | None:
    """What an error that came in place of an answer says; None for an answer. Some say nothing at all."""
    if not isinstance(event, dict):
        return None
    if event.get("error") or event.get("object") == "error" or "choices" not in event:
        said = error_message(event)
        is_error = event.get("error") is not None or event.get("object") == "error"
        return said or ("an error without a word" if is_error else None)
    return None


def error_message(data: object) -> str:
    """The message in an OpenAI-style error, or in FastAPI's; empty where there is none.

    Of an error that has no message its type or its code is told.
    """
    if not isinstance(data, dict):
        return ""
    found = data.get("error") or data.get("detail") or data.get("message") or ""
    if isinstance(found, dict):
        found = next((found[key] for key in ("message", "type", "code", "status") if found.get(key)), "")
    return str(found) if isinstance(found, str | int) and not isinstance(found, bool) else ""

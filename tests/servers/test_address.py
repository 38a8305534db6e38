"""The key of a server."""

from __future__ import annotations

import pytest

from urial.errors import SettingsError
from urial.pairs import ServerSpec
from urial.servers.address import Address


def test_a_key_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = ServerSpec(base_url="http://fake/v1", model="m", api_key_env="NO_SUCH_KEY")
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(SettingsError, match="NO_SUCH_KEY is not set"):
        Address(spec)
    monkeypatch.setenv("NO_SUCH_KEY", "se\ncret")
    with pytest.raises(SettingsError, match="set it anew") as caught:
        Address(spec)
    assert "cret" not in str(caught.value).replace("secret", "")

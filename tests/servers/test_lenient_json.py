"""JSON as servers send it: what can be read is read, what cannot is refused as such."""

from __future__ import annotations

import pytest

from urial.servers.lenient_json import parse

MARK = b"\xef\xbb\xbf"


@pytest.mark.parametrize(
    ("data", "value"),
    [
        ('{"text": "\\ud83d"}', {"text": "\ufffd"}),
        ('{"text": "a\\udc00b", "more": ["\\ud83d\\ude00"]}', {"text": "a\ufffdb", "more": ["😀"]}),
        ('{"\\ud83d": 1}', {"\ufffd": 1}),
        (MARK + b'{"a": 1}', {"a": 1}),
        ('{"a": NaN}', {"a": pytest.approx(float("nan"), nan_ok=True)}),
    ],
)
def test_what_servers_send_for_json_is_read(data: str | bytes, value: object) -> None:
    assert parse(data) == value


@pytest.mark.parametrize("data", ["", "{", "[" * 100_000, b"\xff", '{"a": 1} x'])
def test_what_is_not_json_is_refused_as_such(data: str | bytes) -> None:
    with pytest.raises(ValueError):
        parse(data)

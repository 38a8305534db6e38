"""How long a server is waited for."""

from __future__ import annotations

from urial.servers.retry import Timeouts


def test_patience_stretches_the_waits_for_words_and_not_those_for_a_connection() -> None:
    slow, usual = Timeouts().times(5), Timeouts()
    assert (slow.first, slow.stall, slow.whole, slow.away) == (600, 150, 900, 900)
    assert (slow.connect, slow.first_pause, slow.longest_pause) == (
        usual.connect,
        usual.first_pause,
        usual.longest_pause,
    )

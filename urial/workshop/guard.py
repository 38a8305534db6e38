"""How often an address may try: wrong codes, and rooms opened. Kept in memory only; no address is ever stored.

Only wrong tries count, so a school behind one address is not held back: whoever is in a class is not asked again, and
the QR code carries a key that needs no guess.
"""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from urial.workshop.refusals import Refused

ADDRESSES = 10_000  # the most that are remembered


class Guard:
    """At most `limit` counted tries within `window` seconds for each address. Safe to call from many threads."""

    def __init__(self, limit: int, window: float, key: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit, self._window, self._key, self._clock = limit, window, key, clock
        self._tries: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def count(self, address: str) -> None:
        """Count a try before its outcome is known, so that parallel ones cannot slip through. Raises Refused (429)."""
        name, now = network(address), self._clock()
        with self._lock:
            tries = self._tries.setdefault(name, deque())
            self._tries.move_to_end(name)
            while tries and tries[0] <= now - self._window:
                tries.popleft()
            if len(tries) >= self._limit:
                raise Refused(self._key, 429, seconds=int(self._window - (now - tries[0])) + 1)
            tries.append(now)
            while len(self._tries) > ADDRESSES:
                self._tries.popitem(last=False)

    def forgive(self, address: str) -> None:
        """The last counted try of this address was right."""
        with self._lock:
            tries = self._tries.get(network(address))
            if tries:
                tries.pop()


def network(address: str) -> str:
    """The address, or the /64 network of an IPv6 one: a host has all of its addresses."""
    try:
        found = ipaddress.ip_address(address.split("%")[0])
    except ValueError:
        return address
    if found.version == 4:
        return str(found)
    return str(ipaddress.ip_network((found, 64), strict=False)) if found.ipv4_mapped is None else str(found.ipv4_mapped)

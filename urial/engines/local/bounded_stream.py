"""What the scheduler's thread has made for one reader, in order; bounded, so that a slow reader slows nobody else.

The scheduler stops working for a stream that is full and goes on when its reader has taken something out.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

BUFFERED = 32  # items that wait for a reader before its sequence pauses


class Stream(Iterator[T], Generic[T]):
    """A bounded queue between two threads that ends, or ends with an error."""

    def __init__(self, wake: Callable[[], None], bound: int = BUFFERED) -> None:
        """`wake` tells the scheduler that there is room again, or that nobody reads any more."""
        self._wake = wake
        self._bound = bound
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._error: BaseException | None = None
        self._has_ended = False
        self._listener: threading.Event | None = None
        self.is_closed = False  # nobody reads any more

    # The scheduler's side

    @property
    def is_full(self) -> bool:
        return len(self._items) >= self._bound

    @property
    def is_open(self) -> bool:
        """Whether more may come, and somebody reads it."""
        return not (self._has_ended or self.is_closed)

    def put(self, item: T) -> None:
        """One more item; `tell` wakes who waits for it."""
        with self._changed:
            if self.is_open:
                self._items.append(item)

    def tell(self) -> None:
        with self._changed:  # again where the caller holds it
            self._changed.notify_all()
            if self._listener is not None:
                self._listener.set()

    def end(self, error: BaseException | None = None) -> None:
        """Nothing more will come; with an error, the reader meets it after the last item."""
        with self._changed:
            if not self._has_ended:
                self._has_ended, self._error = True, error
            self.tell()

    # The reader's side

    def listen(self, listener: threading.Event) -> None:
        """The event is set whenever there may be something to read."""
        with self._changed:
            self._listener = listener
            listener.set()

    def is_ready(self) -> bool:
        """Whether the next item, or the end, is there."""
        return bool(self._items) or self._has_ended or self.is_closed

    def __next__(self) -> T:
        """Waits for the next item. Raises the error that ended the stream, again and again."""
        with self._changed:
            self._changed.wait_for(self.is_ready)
            if not self._items:
                if self._error is not None and not self.is_closed:
                    raise self._error
                raise StopIteration
            was_full = self.is_full
            item = self._items.popleft()
        if was_full:
            self._wake()
        return item

    def close(self) -> None:
        """What waits is dropped, and nothing more is made for this reader."""
        with self._changed:
            self.is_closed = True
            self._items.clear()
            self.tell()
        self._wake()

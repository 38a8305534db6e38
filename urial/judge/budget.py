"""What a run may cost, and what it has cost: calls and tokens, with a ceiling that stops before it is passed."""

from __future__ import annotations

import asyncio

from urial.errors import SettingsError


class CeilingReached(SettingsError):
    """The next call could pass the ceiling; everything judged so far is kept."""


class Budget:
    """Tokens of this run. A call is reserved with its largest possible cost, then settled with its real one.

    Where the calls on their way might cost too much together with one more, that one waits for them first.
    """

    def __init__(self, ceiling: int) -> None:
        self.ceiling = ceiling
        self.calls = 0
        self.tokens = 0
        self.is_estimated = False  # some reply told no usage
        self._reserved = 0
        self._settled = asyncio.Condition()

    async def reserve(self, most: int) -> None:
        """Raises CeilingReached where a call of that cost could pass the ceiling."""
        async with self._settled:
            await self._settled.wait_for(lambda: self._fits(most) or not self._reserved)
            if not self._fits(most):
                raise CeilingReached(
                    f"Stopped before the ceiling of {self.ceiling:,} tokens (used: {self.tokens:,}); what was judged "
                    "is kept: raise --max-tokens-in-all and run the same command to go on."
                )
            self._reserved += most

    def _fits(self, most: int) -> bool:
        return self.tokens + self._reserved + most <= self.ceiling

    async def settle(self, most: int, told: int | None, estimate: int) -> None:
        """A reserved call has ended with a reply."""
        self.calls += 1
        self.tokens += estimate if told is None else told
        self.is_estimated |= told is None
        await self.release(most)

    async def release(self, most: int) -> None:
        """A reserved call has ended, with a reply or without."""
        async with self._settled:
            self._reserved -= most
            self._settled.notify_all()

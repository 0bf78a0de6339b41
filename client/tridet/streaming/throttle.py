"""How many requests of all sources together may be at the server.

More of them than it can answer in time is worse than fewer: it works on frames that are given up
before their turn, and none comes back. So the number grows while answers are in time, by one for
each full round of them, and shrinks by a third when one is late: as TCP does it.
"""

from __future__ import annotations

import asyncio
from collections import deque

_SHRINK = 0.7


class Throttle:
    """Gives permits in the order in which they are asked for, so that no source starves another.

    Args:
        most: permits at a time, however well the server answers.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = 1.0
        self._taken = 0
        self._held_back = 0  # answers that were under way when the number last shrank
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def limit(self) -> int:
        """How many permits there are now; at least one."""
        return int(self._limit)

    async def acquire(self) -> None:
        """Take a permit; wait for one, behind those who wait already."""
        if self._taken < self.limit and not self._waiting:
            self._taken += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release()
            raise

    def release(self, in_time: bool | None = None) -> None:
        """Give a permit back, and tell how the answer came; None if there was none to judge."""
        if in_time is not None:
            self._learn(in_time)
        self._taken -= 1
        while self._waiting and self._taken < self.limit:
            turn = self._waiting.popleft()
            if not turn.done():
                self._taken += 1
                turn.set_result(None)

    def _learn(self, in_time: bool) -> None:
        if in_time:
            self._limit = min(self._most, self._limit + 1 / self._limit)
        elif not self._held_back:
            self._limit = max(1.0, self._limit * _SHRINK)
            self._held_back = self._taken
        # The rest of a round is late for the same reason; that is not held against it again.
        self._held_back = max(0, self._held_back - 1)


class Permit:
    """One permit; given back as often as one likes, it counts once."""

    def __init__(self, throttle: Throttle) -> None:
        self._throttle = throttle
        self._held = False

    async def acquire(self) -> None:
        """Take it, the first time or again."""
        await self._throttle.acquire()
        self._held = True

    def release(self, in_time: bool | None = None) -> None:
        """Give it back if it is held; see ``Throttle.release``."""
        if self._held:
            self._held = False
            self._throttle.release(in_time)

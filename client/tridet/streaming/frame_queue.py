"""Between a capture thread and the event loop: the newest frame of a source, or every one.

Here a frame is dropped because a newer one came before its turn.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque

from tridet.streaming.event_loop import wake
from tridet.streaming.sources import Policy
from tridet.streaming.stats import Drop, SourceStats
from tridet.streaming.video import DecodedFrame

# Decoded frames are large; a few bridge the moments in which one of the two sides is busy.
_ROOM = 4


class FrameQueue:
    """One thread puts, one task gets.

    Args:
        policy: ``latest`` keeps one frame, and a newer one replaces it; ``all`` keeps a few and
            makes ``put`` wait.
        stats: where replaced frames are counted.
    """

    def __init__(self, policy: Policy, stats: SourceStats) -> None:
        self._policy = policy
        self._stats = stats
        self._frames: deque[DecodedFrame] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._reader: asyncio.Future[None] | None = None

    def put(self, decoded: DecodedFrame) -> bool:
        """Hand a frame over; return False, and forget the frame, once the queue is closed."""
        with self._changed:
            if self._policy == "all":
                self._changed.wait_for(lambda: len(self._frames) < _ROOM or self._closed)
            if self._closed:
                return False
            if self._policy == "latest" and self._frames:
                self._frames.clear()
                self._stats.dropped(Drop.NEWER)
            self._frames.append(decoded)
            self._wake_reader()
            return True

    async def get(self) -> DecodedFrame | None:
        """Return the next frame; None once the queue is closed and empty."""
        while True:
            with self._changed:
                if self._frames:
                    self._changed.notify()
                    return self._frames.popleft()
                if self._closed:
                    return None
                self._reader = arrival = asyncio.get_running_loop().create_future()
            await arrival

    def take(self) -> DecodedFrame | None:
        """Return the frame that waits, if there is one."""
        with self._changed:
            self._changed.notify()
            return self._frames.popleft() if self._frames else None

    def close(self) -> None:
        """Take no more frames; those that are in it can still be got."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            self._wake_reader()

    def _wake_reader(self) -> None:
        if self._reader is not None:
            wake(self._reader)
            self._reader = None

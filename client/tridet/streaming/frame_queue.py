"""Between a capture thread and the event loop: the newest frame of a source, or every one."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from tridet.detections import UInt8Array
from tridet.streaming.frames import Frame
from tridet.streaming.sources import Policy
from tridet.streaming.stats import Drop, SourceStats

# Decoded frames are large; a few bridge the moments in which one of the two sides is busy.
_ROOM = 4


@dataclass(frozen=True, slots=True, eq=False)
class Grabbed:
    """A frame as it was decoded. Turning it into pixels costs time, and is left to who needs it."""

    source: str
    index: int
    pts_s: float | None
    captured_at: float
    captured_s: float
    pixels: Callable[[], UInt8Array]
    """Returns uint8 [h, w, 3], BGR."""

    def frame(self) -> Frame:
        """Convert it; call this off the event loop."""
        return Frame(
            source=self.source,
            index=self.index,
            pts_s=self.pts_s,
            captured_at=self.captured_at,
            captured_s=self.captured_s,
            pixels=self.pixels(),
        )


class Mailbox:
    """One thread puts, one task gets.

    Args:
        policy: ``latest`` keeps one frame, and a newer one replaces it; ``all`` keeps a few and
            makes ``put`` wait.
        stats: where replaced frames are counted.
    """

    def __init__(self, policy: Policy, stats: SourceStats) -> None:
        self._waits = policy == "all"
        self._stats = stats
        self._frames: deque[Grabbed] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._reader: tuple[asyncio.AbstractEventLoop, asyncio.Future[None]] | None = None

    def put(self, grabbed: Grabbed) -> bool:
        """Hand a frame over; return False, and forget the frame, once the mailbox is closed."""
        with self._changed:
            while self._waits and len(self._frames) >= _ROOM and not self._closed:
                self._changed.wait()
            if self._closed:
                return False
            if not self._waits and self._frames:
                self._frames.clear()
                self._stats.dropped(Drop.NEWER)
            self._frames.append(grabbed)
            self._wake_reader()
            return True

    async def get(self) -> Grabbed | None:
        """Return the next frame; None once the mailbox is closed and empty."""
        while True:
            with self._changed:
                if self._frames:
                    self._changed.notify()
                    return self._frames.popleft()
                if self._closed:
                    return None
                loop = asyncio.get_running_loop()
                arrival = loop.create_future()
                self._reader = loop, arrival
            await arrival

    def take(self) -> Grabbed | None:
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
        if self._reader is None:
            return
        (loop, arrival), self._reader = self._reader, None
        # The loop may have been closed meanwhile; then nobody waits any more.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_resolve, arrival)


def _resolve(arrival: asyncio.Future[None]) -> None:
    if not arrival.done():  # it is when the reader was cancelled
        arrival.set_result(None)

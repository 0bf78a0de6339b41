"""Hand results to a caller who takes them in another thread or event loop, at any pace."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from dataclasses import dataclass, field

from tridet.streaming.frames import StreamResult

# Of one source; as many as may arrive together from its window of requests.
_ROOM_LATEST, _ROOM_ALL = 2, 8


@dataclass(slots=True)
class _Wakeup:
    """Somebody in an event loop who waits for a change."""

    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    event: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        # The loop may have been closed since.
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.event.set)


class Outbox:
    """Results in the order of their arrival, a bounded number of each source.

    To a caller who is too slow, a source whose frames may be dropped gives its newest results; one
    whose frames are all wanted waits.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._results: dict[str, deque[StreamResult]] = {}
        self._turns: deque[str] = deque()  # the source of each result that waits
        self._closed = False
        self._senders: dict[str, _Wakeup] = {}
        self._receivers: list[_Wakeup] = []

    def takes(self, _source: str) -> bool:
        """Whether it wants the results of a source: of any."""
        return True

    async def put(self, result: StreamResult, *, blocking: bool) -> None:
        """Add a result; with ``blocking`` wait for room, else take the place of an older one."""
        while not self._add(result, blocking):
            wakeup = _Wakeup()
            with self._condition:
                self._senders[result.frame.source] = wakeup
            # Room may have been made in between.
            if self._add(result, blocking):
                return
            await wakeup.event.wait()

    def get(self) -> StreamResult | None:
        """Return the next result, blocking; None after the last."""
        with self._condition:
            # Short waits, because on some systems a signal does not end a long one.
            while not self._turns and not self._closed:
                self._condition.wait(1.0)
            return self._take()

    async def get_async(self) -> StreamResult | None:
        """Return the next result, in any event loop; None after the last."""
        while True:
            wakeup = _Wakeup()
            with self._condition:
                if self._turns or self._closed:
                    return self._take()
                self._receivers.append(wakeup)
            try:
                await wakeup.event.wait()
            finally:
                with self._condition:
                    if wakeup in self._receivers:
                        self._receivers.remove(wakeup)

    def close(self) -> None:
        """Let nothing more in; what waits can still be taken."""
        with self._condition:
            self._closed = True
            self._wake_receivers()
            for sender in self._senders.values():
                sender.wake()

    def clear(self) -> None:
        """Close, and discard what waits: nobody wants it any more."""
        with self._condition:
            self._turns.clear()
            self._results.clear()
        self.close()

    def _add(self, result: StreamResult, blocking: bool) -> bool:
        source = result.frame.source
        with self._condition:
            if self._closed:
                return True  # nobody is there to take it
            waiting = self._results.setdefault(source, deque())
            if len(waiting) >= (_ROOM_ALL if blocking else _ROOM_LATEST):
                if blocking:
                    return False
                waiting.popleft()  # the newer one takes its turn
            else:
                self._turns.append(source)
            waiting.append(result)
            self._wake_receivers()
            return True

    def _take(self) -> StreamResult | None:
        if not self._turns:
            return None
        source = self._turns.popleft()
        sender = self._senders.pop(source, None)
        if sender is not None:
            sender.wake()
        return self._results[source].popleft()

    def _wake_receivers(self) -> None:
        self._condition.notify_all()
        for receiver in self._receivers:
            receiver.wake()
        self._receivers.clear()

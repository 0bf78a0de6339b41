"""Hand results to a caller who takes them in another thread or event loop, at any pace."""

from __future__ import annotations

import asyncio
import threading
from collections import deque

from tridet.streaming.event_loop import wake
from tridet.streaming.frames import StreamResult
from tridet.streaming.sources import Policy

# Of one source; as many as may arrive together from its window of requests.
_ROOM = {"latest": 2, "all": 8}


class Outbox:
    """Results in the order of their arrival, a bounded number of each source.

    To a caller who is too slow, a source of the policy ``latest`` gives its newest results; one of
    the policy ``all`` waits.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._results: dict[str, deque[StreamResult]] = {}
        self._turns: deque[str] = deque()  # the source of each result that waits
        self._closed = False
        self._senders: dict[str, asyncio.Future[None]] = {}
        self._receivers: list[asyncio.Future[None]] = []

    def takes(self, _source: str) -> bool:
        """Whether it wants the results of a source: of any."""
        return True

    async def put(self, result: StreamResult, policy: Policy) -> None:
        """Add a result: with ``all`` wait for room, with ``latest`` replace an older one."""
        while not self._add(result, policy):
            room = asyncio.get_running_loop().create_future()
            with self._condition:
                self._senders[result.frame.source] = room
            # Room may have been made in between.
            if self._add(result, policy):
                return
            await room

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
            arrival = asyncio.get_running_loop().create_future()
            with self._condition:
                if self._turns or self._closed:
                    return self._take()
                self._receivers.append(arrival)
            try:
                await arrival
            finally:
                with self._condition:
                    if arrival in self._receivers:
                        self._receivers.remove(arrival)

    def close(self) -> None:
        """Let nothing more in; what waits can still be taken."""
        with self._condition:
            self._closed = True
            self._wake_receivers()
            for sender in self._senders.values():
                wake(sender)

    def clear(self) -> None:
        """Close, and discard what waits: nobody wants it any more."""
        with self._condition:
            self._turns.clear()
            self._results.clear()
        self.close()

    def _add(self, result: StreamResult, policy: Policy) -> bool:
        source = result.frame.source
        with self._condition:
            if self._closed:
                return True  # nobody is there to take it
            waiting = self._results.setdefault(source, deque())
            if len(waiting) >= _ROOM[policy]:
                if policy == "all":
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
            wake(sender)
        return self._results[source].popleft()

    def _wake_receivers(self) -> None:
        self._condition.notify_all()
        for receiver in self._receivers:
            wake(receiver)
        self._receivers.clear()

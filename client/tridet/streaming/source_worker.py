"""One source on its way through the detector: a window of requests, results in order.

What happens to a frame that the server cannot take now depends on the source's policy. Of the
``latest`` frames it is dropped and counted, because a newer one is coming. ``all`` frames wait for
the server, as long as that is worth while. A frame that has become too old is dropped here as well.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from tridet.async_detector import AsyncDetector
from tridet.detections import Detections
from tridet.exceptions import (
    ModelUnknown,
    Overloaded,
    ServerFailed,
    ServerNotReady,
    ServerUnreachable,
    TimedOut,
    TridetError,
)
from tridet.streaming.capture import Capture
from tridet.streaming.frames import Event, Frame, StreamResult
from tridet.streaming.limits import Limits
from tridet.streaming.stats import Drop
from tridet.streaming.throttle import Permit, Throttle
from tridet.streaming.video import DecodedFrame

# What may be over when the server has been started again; anything else is the frame's own fault.
_PASSING = (ServerUnreachable, ServerNotReady, TimedOut, ServerFailed, ModelUnknown)
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 2.0
# An answer that takes a larger share of the age limit is late: there are too many before it.
_IN_TIME = 0.25


Analysed: TypeAlias = tuple[Detections, dict[str, dict[str, int]], tuple[Event, ...]]
Analyse: TypeAlias = Callable[[str, Frame, Detections], Analysed]
Deliver: TypeAlias = Callable[[StreamResult], Awaitable[None]]


class SourceWorker:
    """The frames of one source, from its queue to its results.

    Args:
        capture: puts the frames into its queue; has the source's numbers.
        limits: how hard it is driven.
        throttle: shared by the workers of all sources, bounds the requests under way.
        detector: does not retry.
        analyse: given the source's name, a frame and its detections, in order; None for nothing.
        deliver: takes the results, in order; while it does not return, no more frames are taken
            than the limits' window.
        clock: seconds, as of ``DecodedFrame.captured_s``.
    """

    def __init__(
        self,
        capture: Capture,
        limits: Limits,
        throttle: Throttle,
        *,
        detector: AsyncDetector,
        analyse: Analyse | None,
        deliver: Deliver,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = capture.source.name
        self._policy = capture.source.policy
        self._queue = capture.queue
        self._stats = capture.stats
        self._limits = limits
        self._window = limits.window(self._policy)
        self._max_age_s = limits.age_limit_s(self._policy)
        self._throttle = throttle
        self._detector = detector
        self._analyse = analyse
        self._deliver = deliver
        self._clock = clock
        self._failing_since_s: float | None = None
        self._taking: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Detect until the queue ends or ``stop`` is called, and deliver what is under way.

        Raises:
            TridetError: the source cannot go on; it names the source.
        """
        slots = asyncio.Semaphore(self._window)
        pending: asyncio.Queue[asyncio.Task[Found | None] | None] = asyncio.Queue()
        self._taking = asyncio.create_task(self._take(slots, pending))
        delivering = asyncio.create_task(self._deliver_all(slots, pending))
        try:
            await asyncio.wait((self._taking, delivering), return_when=asyncio.FIRST_EXCEPTION)
            for task in (delivering, self._taking):
                if task.done() and not task.cancelled():
                    task.result()
        finally:
            await cancel((self._taking, delivering))
            await cancel([task for task in _drained(pending) if task is not None])

    def stop(self) -> None:
        """Take no more frames; call it in the event loop."""
        if self._taking is not None:
            self._taking.cancel()

    async def _take(
        self, slots: asyncio.Semaphore, pending: asyncio.Queue[asyncio.Task[Found | None] | None]
    ) -> None:
        try:
            while True:
                # The slot first: the frame is chosen when it can be sent, not before.
                await slots.acquire()
                decoded = await self._queue.get()
                if decoded is None:
                    return
                permit = Permit(self._throttle)
                await permit.acquire()
                if self._policy == "latest" and (newer := self._queue.take()) is not None:
                    self._stats.dropped(Drop.NEWER)
                    decoded = newer
                task = asyncio.create_task(self._find(decoded, permit))
                # However it ends: one that is cancelled at once never runs at all.
                task.add_done_callback(lambda _, permit=permit: permit.release())  # type: ignore[misc]
                pending.put_nowait(task)
        finally:
            pending.put_nowait(None)

    async def _deliver_all(
        self, slots: asyncio.Semaphore, pending: asyncio.Queue[asyncio.Task[Found | None] | None]
    ) -> None:
        while (task := await pending.get()) is not None:
            found = await task
            if found is not None:
                await self._deliver_one(found)
            slots.release()

    async def _deliver_one(self, found: Found) -> None:
        analysed: Analysed = (found.detections, {}, ())
        if self._analyse is not None:
            try:
                analysed = await asyncio.to_thread(
                    self._analyse, self._name, found.frame, found.detections
                )
            except TridetError as error:
                raise type(error)(f"{self._name}: {error}") from error
        detections, counts, events = analysed
        latency_s = self._clock() - found.frame.captured_s
        self._stats.delivered(latency_s)
        await self._deliver(StreamResult(found.frame, detections, latency_s, counts, events))

    async def _find(self, decoded: DecodedFrame, permit: Permit) -> Found | None:
        """Return what is in a frame, None if it was dropped. The permit is held; whoever made this
        task gives it back if it still is in the end."""
        if self._left_s(decoded) <= 0:
            self._stats.dropped(Drop.TOO_OLD)
            return None
        frame = await asyncio.to_thread(decoded.frame)
        pause_s = _FIRST_PAUSE_S
        while (left_s := self._left_s(decoded)) > 0:
            sent_s = self._clock()
            try:
                timeout_s = min(left_s, self._limits.timeout_s)
                detections = await self._detector(frame.pixels, timeout_s=timeout_s)
            except (Overloaded, *_PASSING) as error:
                permit.release(in_time=False)
                self._stats.troubled(str(error))
                if self._policy == "latest":
                    overloaded = isinstance(error, Overloaded)
                    self._stats.dropped(Drop.OVERLOADED if overloaded else Drop.FAILED)
                    return None
                self._check_patience(frame, error)
            except TridetError as error:
                raise type(error)(f"{self._name}: frame {frame.index}: {error}") from error
            else:
                permit.release(self._clock() - sent_s <= _IN_TIME * self._max_age_s)
                self._failing_since_s = None
                return Found(frame, detections)
            # Jitter, so that frames that were rejected together do not come back together.
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
            await permit.acquire()
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        self._stats.dropped(Drop.TOO_OLD)
        return None

    def _left_s(self, decoded: DecodedFrame) -> float:
        if math.isinf(self._max_age_s):
            return math.inf
        return self._max_age_s - (self._clock() - decoded.captured_s)

    def _check_patience(self, frame: Frame, error: TridetError) -> None:
        now_s = self._clock()
        if self._failing_since_s is None:
            self._failing_since_s = now_s
        waited_s = now_s - self._failing_since_s
        if waited_s >= self._limits.server_wait_s:
            raise type(error)(
                f"{self._name}: stopped before frame {frame.index}, no frame detected for "
                f"{waited_s:.0f} s: {error}"
            ) from error


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A frame and the objects in it."""

    frame: Frame
    detections: Detections


async def cancel(tasks: Any) -> None:
    """Cancel tasks and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _drained(queue: asyncio.Queue[Any]) -> list[Any]:
    return [queue.get_nowait() for _ in range(queue.qsize())]

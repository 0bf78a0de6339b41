"""All sources of one run through one detector, on one event loop."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tridet.exceptions import InvalidInput, TridetError
from tridet.streaming.frames import StreamResult
from tridet.streaming.source_worker import Analyse, Deliver, Inbox, Lane, Pace, cancel
from tridet.streaming.stats import Snapshot, SourceStats, State
from tridet.streaming.throttle import Throttle

DEFAULT_MAX_AGE_S = 1.0
"""Of the sources whose policy is ``latest``."""
DEFAULT_SERVER_WAIT_S = 60.0
# A window as small as throughput allows, because every frame in it makes the next one older; where
# every frame counts, more of them meet in the server's batches.
_IN_FLIGHT_LATEST, _IN_FLIGHT_ALL = 2, 8
# When the run is stopped, what is under way may take so long to arrive.
_GRACE_S = 2.0


class Mailbox(Inbox, Protocol):
    """Frames from a capture thread."""

    def close(self) -> None:
        """Let nothing more in; whoever waits is released."""


class Capture(Protocol):
    """The thread that reads a source."""

    error: TridetError | None
    """Why it failed for good."""

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def join(self, timeout_s: float) -> Any: ...


class Outlet(Protocol):
    """Takes results."""

    def takes(self, source: str) -> bool:
        """Whether it wants those of a source; asked once."""

    async def put(self, result: StreamResult, *, blocking: bool) -> None:
        """Hand over a result; with ``blocking``, wait for room instead of dropping one."""


@dataclass(frozen=True, slots=True, eq=False)
class Feed:
    """One source and what reads it."""

    name: str
    latest: bool
    """Policy ``latest``: fresh frames. Else every frame."""
    capture: Capture
    mailbox: Mailbox
    stats: SourceStats


@dataclass(frozen=True, slots=True)
class Limits:
    """How hard the sources are driven; None leaves it to a source's policy.

    Raises:
        InvalidInput: a limit makes no sense.
    """

    in_flight: int | None = None
    """Frames of one source under way at a time."""
    max_age_s: float | None = None
    """A frame older than this is not sent."""
    timeout_s: float = 10.0
    """What one request may take."""
    server_wait_s: float = DEFAULT_SERVER_WAIT_S
    """How long the frames of a policy ``all`` wait for a server that is gone."""
    duration_s: float | None = None
    """Stop the run after that."""

    def __post_init__(self) -> None:
        for name in ("max_age_s", "timeout_s", "duration_s"):
            seconds = getattr(self, name)
            if seconds is not None and not seconds > 0:
                raise InvalidInput(f"{name}: expected more than 0 seconds, got {seconds!r}")
        if not self.server_wait_s >= 0:
            raise InvalidInput(
                f"server_wait_s: expected 0 seconds or more, got {self.server_wait_s!r}"
            )
        if self.in_flight is not None and self.in_flight < 1:
            raise InvalidInput(f"in_flight: expected 1 or more, got {self.in_flight!r}")

    def pace(self, latest: bool) -> Pace:
        """Return the limits of a source with that policy."""
        return Pace(
            fresh=latest,
            in_flight=self.in_flight or (_IN_FLIGHT_LATEST if latest else _IN_FLIGHT_ALL),
            max_age_s=self.max_age_s or (DEFAULT_MAX_AGE_S if latest else math.inf),
            timeout_s=self.timeout_s,
            server_wait_s=self.server_wait_s,
        )


class Engine:
    """Detects in the frames of all feeds until they end.

    Args:
        detector: an ``AsyncDetector`` that does not retry; it is closed in the end.
        feeds: the sources, their captures not yet started.
        limits: how hard they are driven.
        outlets: take the results, in order for each source.
        analyse: see ``Lane``.
    """

    def __init__(
        self,
        detector: Any,
        feeds: Sequence[Feed],
        limits: Limits,
        outlets: Sequence[Outlet],
        *,
        analyse: Analyse | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._detector = detector
        self._feeds = feeds
        self._limits = limits
        paces = {feed.name: limits.pace(feed.latest) for feed in feeds}
        throttle = Throttle(sum(pace.in_flight for pace in paces.values()))
        self._lanes = {
            feed.name: Lane(
                feed.name,
                feed.mailbox,
                feed.stats,
                paces[feed.name],
                throttle,
                detect=detector,
                analyse=analyse,
                deliver=_deliver_to(
                    # Chosen once: with a file for each source, most outlets are not for most.
                    [outlet for outlet in outlets if outlet.takes(feed.name)],
                    blocking=not feed.latest,
                ),
                clock=clock,
            )
            for feed in feeds
        }
        self._stopping = asyncio.Event()
        self._captured = False
        self._errors: dict[str, TridetError] = {}
        self.ended: set[str] = set()
        """The sources that came to an end of their own, or failed."""

    @property
    def errors(self) -> Mapping[str, TridetError]:
        """Why a source failed for good, by its name; the messages name it."""
        return self._errors

    def snapshots(self) -> list[Snapshot]:
        """Return the numbers of all sources; in any thread."""
        return [feed.stats.snapshot() for feed in self._feeds]

    async def run(self) -> None:
        """Connect, capture and detect until every source has ended or ``stop`` is called.

        Raises:
            TridetError: the server cannot be asked or has no such detector; nothing was captured.
        """
        try:
            running = asyncio.create_task(self._connect_and_run())
            stopping = asyncio.create_task(self._stopping.wait())
            try:
                await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
                if not running.done():
                    for feed in self._feeds:
                        self._lanes[feed.name].stop()
                        feed.capture.stop()
                    await asyncio.wait((running,), timeout=_GRACE_S)
                if running.done():
                    running.result()
            finally:
                await cancel((running, stopping))
        finally:
            for feed in self._feeds:
                feed.capture.stop()
                feed.mailbox.close()
            await self._detector.close()

    def stop(self) -> None:
        """Take no more frames and end within seconds; call it in the event loop."""
        self._stopping.set()

    def join_captures(self, timeout_s: float) -> None:
        """Wait for the capture threads after the run, for so long in all."""
        until_s = time.monotonic() + timeout_s
        for feed in self._feeds if self._captured else ():
            feed.capture.join(max(0.0, until_s - time.monotonic()))

    async def _connect_and_run(self) -> None:
        await self._detector.connect()
        if self._limits.duration_s is not None:
            asyncio.get_running_loop().call_later(self._limits.duration_s, self.stop)
        self._captured = True
        for feed in self._feeds:
            feed.capture.start()
        lanes = [asyncio.create_task(self._run_lane(feed)) for feed in self._feeds]
        try:
            await asyncio.gather(*lanes)
        finally:
            await cancel(lanes)

    async def _run_lane(self, feed: Feed) -> None:
        try:
            await self._lanes[feed.name].run()
            if not self._stopping.is_set():
                self.ended.add(feed.name)
        except TridetError as error:
            self.ended.add(feed.name)
            self._errors[feed.name] = error
            feed.stats.enter(State.FAILED, str(error))
            feed.capture.stop()
            feed.mailbox.close()
            return
        if feed.capture.error is not None:
            self._errors[feed.name] = feed.capture.error


def _deliver_to(outlets: Sequence[Outlet], *, blocking: bool) -> Deliver:
    async def deliver(result: StreamResult) -> None:
        for outlet in outlets:
            await outlet.put(result, blocking=blocking)

    return deliver

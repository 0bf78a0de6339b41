"""All sources of one run through one detector, on one event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

from tridet.async_detector import AsyncDetector
from tridet.exceptions import TridetError
from tridet.streaming.capture import Capture
from tridet.streaming.frames import StreamResult
from tridet.streaming.limits import Limits
from tridet.streaming.outbox import Outbox
from tridet.streaming.sinks.base import SinkThread
from tridet.streaming.source_worker import Analyse, Deliver, SourceWorker, cancel
from tridet.streaming.sources import Policy
from tridet.streaming.stats import Snapshot, State
from tridet.streaming.throttle import Throttle

# When the run is stopped, what is under way may take so long to arrive.
_GRACE_S = 2.0


class Engine:
    """Detects in the frames of all sources until they end.

    Args:
        detector: does not retry; it is closed in the end.
        captures: of the sources, not yet started.
        limits: how hard they are driven.
        sinks: take the results, in order for each source.
        analyse: see ``SourceWorker``.
    """

    def __init__(
        self,
        detector: AsyncDetector,
        captures: Sequence[Capture],
        limits: Limits,
        sinks: Sequence[SinkThread | Outbox],
        *,
        analyse: Analyse | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._detector = detector
        self._captures = captures
        self._limits = limits
        throttle = Throttle(sum(limits.window(one.source.policy) for one in captures))
        self._workers = [
            SourceWorker(
                capture,
                limits,
                throttle,
                detector=detector,
                analyse=analyse,
                deliver=_deliver_to(
                    # Chosen once: with a file for each source, most sinks are not for most.
                    [sink for sink in sinks if sink.takes(capture.source.name)],
                    capture.source.policy,
                ),
                clock=clock,
            )
            for capture in captures
        ]
        self._stopping = asyncio.Event()
        self._capturing = False
        self._errors: dict[str, TridetError] = {}
        self.ended: set[str] = set()
        """The sources that came to an end of their own, or failed."""

    @property
    def errors(self) -> Mapping[str, TridetError]:
        """Why a source failed for good, by its name; the messages name it."""
        return self._errors

    def snapshots(self) -> list[Snapshot]:
        """Return the numbers of all sources; in any thread."""
        return [capture.stats.snapshot() for capture in self._captures]

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
                    for worker, capture in zip(self._workers, self._captures, strict=True):
                        worker.stop()
                        capture.stop()
                    await asyncio.wait((running,), timeout=_GRACE_S)
                if running.done():
                    running.result()
            finally:
                await cancel((running, stopping))
        finally:
            for capture in self._captures:
                capture.stop()
            await self._detector.close()

    def stop(self) -> None:
        """Take no more frames and end within seconds; call it in the event loop."""
        self._stopping.set()

    def join_captures(self, timeout_s: float) -> None:
        """Wait for the capture threads after the run, for so long in all."""
        until_s = time.monotonic() + timeout_s
        for capture in self._captures if self._capturing else ():
            capture.join(max(0.0, until_s - time.monotonic()))

    async def _connect_and_run(self) -> None:
        await self._detector.connect()
        if self._limits.duration_s is not None:
            asyncio.get_running_loop().call_later(self._limits.duration_s, self.stop)
        self._capturing = True
        for capture in self._captures:
            capture.start()
        working = [
            asyncio.create_task(self._work(worker, capture))
            for worker, capture in zip(self._workers, self._captures, strict=True)
        ]
        try:
            await asyncio.gather(*working)
        finally:
            await cancel(working)

    async def _work(self, worker: SourceWorker, capture: Capture) -> None:
        name = capture.source.name
        try:
            await worker.run()
            if not self._stopping.is_set():
                self.ended.add(name)
        except TridetError as error:
            self.ended.add(name)
            self._errors[name] = error
            capture.stats.enter(State.FAILED, str(error))
            capture.stop()
            return
        if capture.error is not None:
            self._errors[name] = capture.error


def _deliver_to(sinks: Sequence[SinkThread | Outbox], policy: Policy) -> Deliver:
    async def deliver(result: StreamResult) -> None:
        for sink in sinks:
            await sink.put(result, policy)

    return deliver

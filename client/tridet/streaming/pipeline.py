"""One run, in threads of its own: captures, the engine and its event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence

from tridet.async_detector import AsyncDetector
from tridet.exceptions import TridetError
from tridet.streaming.capture import Capture
from tridet.streaming.engine import Engine
from tridet.streaming.event_loop import call_in_loop
from tridet.streaming.limits import Limits
from tridet.streaming.outbox import Outbox
from tridet.streaming.sinks.base import SinkThread
from tridet.streaming.source_worker import Analyse
from tridet.streaming.stats import Snapshot

# All capture threads together, when the run is over. They are daemons: one that hangs is left.
_JOIN_S = 3.0


class Pipeline:
    """Runs the engine in a thread, so that neither side ever waits for the other.

    Args:
        detector: see ``Engine``.
        captures: of the sources.
        limits: how hard they are driven.
        sinks: take the results.
        analyse: see ``SourceWorker``.
        on_end: called in the engine's thread when the run is over.
    """

    def __init__(
        self,
        detector: AsyncDetector,
        captures: Sequence[Capture],
        limits: Limits,
        sinks: Sequence[SinkThread | Outbox],
        *,
        analyse: Analyse | None = None,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        self._engine = Engine(detector, captures, limits, sinks, analyse=analyse)
        self._on_end = on_end
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started = self._stopped = False
        # A daemon: should a call into a library hang, the program still ends.
        self._thread = threading.Thread(target=self._run, name="tridet engine", daemon=True)
        self.fatal: Exception | None = None
        """What ended the whole run: a server that cannot be used, or a mistake of ours."""

    @property
    def errors(self) -> Mapping[str, TridetError]:
        """Why sources failed for good, by their names."""
        return self._engine.errors

    @property
    def ended(self) -> frozenset[str]:
        """The sources that came to an end of their own, or failed."""
        return frozenset(self._engine.ended)

    @property
    def over(self) -> bool:
        """Whether no further result will come."""
        return self._stopped if not self._started else not self._thread.is_alive()

    def snapshots(self) -> list[Snapshot]:
        """Return the numbers of all sources."""
        return self._engine.snapshots()

    def start(self) -> None:
        """Begin; again, or after ``stop``, nothing happens."""
        with self._lock:
            if not self._started and not self._stopped:
                self._started = True
                self._thread.start()

    def stop(self) -> None:
        """Take no more frames and end within seconds; what is under way is delivered. Returns at
        once, see ``join``."""
        with self._lock:
            self._stopped = True
            if self._loop is not None:
                call_in_loop(self._loop, self._engine.stop)

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait until the run is over; False if it is not by then."""
        # A stream may be collected as garbage in any thread, this one included.
        if self._started and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)
        return self.over

    def raise_errors(self) -> None:
        """Raise what ended the run, or why sources failed for good.

        Raises:
            TridetError: of the type of the first source's error; it names all sources that failed.
        """
        if self.fatal is not None:
            raise self.fatal
        errors = list(self.errors.values())
        if errors:
            raise type(errors[0])("; ".join(map(str, errors))) from errors[0]

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except Exception as error:  # the caller hears of it, whatever it is
            self.fatal = error
        finally:
            self._engine.join_captures(_JOIN_S)
            self._on_end()

    async def _main(self) -> None:
        with self._lock:
            self._loop = asyncio.get_running_loop()
            if self._stopped:
                self._engine.stop()
        try:
            await self._engine.run()
        finally:
            with self._lock:
                self._loop = None

"""A sink, and the thread that feeds it from a bounded queue.

Here a result is dropped because its sink is too slow.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Protocol

from tridet.exceptions import SinkFailed, TridetError
from tridet.streaming.event_loop import wake
from tridet.streaming.frames import StreamResult
from tridet.streaming.sources import Policy

# A second of one camera: enough for a disk that pauses; 200 MB of frames at 1080p.
_CAPACITY = 32


class Sink(Protocol):
    """Takes results. Both methods are called on the sink's own thread."""

    @property
    def name(self) -> str:
        """As the user knows it, without credentials: ``--save out.mp4``."""

    def write(self, result: StreamResult) -> None:
        """Take one result; those of one source come in order.

        Raises:
            TridetError: no further result can be taken.
            SinkDone: nobody wants a further result.
        """

    def close(self) -> None:
        """Finish. Called once, also after ``write`` has raised."""


class SinkDone(Exception):  # noqa: N818 -- no error: the reader of a pipe has gone
    """Nobody wants further results; the other sinks go on."""


class SinkThread:
    """Runs one sink so that neither its slowness nor its failure reaches anybody else.

    Args:
        sink: closed by the thread when it ends.
        sources: names of the sources whose results it takes; None for all.
        capacity: results that wait for the sink at most.
        on_end: called on the sink's thread if the sink takes no more before ``close``; ``error``
            and ``done`` say why.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        sources: Iterable[str] | None = None,
        capacity: int = _CAPACITY,
        on_end: Callable[[SinkThread], None] = lambda _: None,
    ) -> None:
        self.name = sink.name
        self.error: TridetError | None = None
        """Why it takes no more results, if it failed."""
        self.done = False
        """Whether nobody wanted more results."""
        self.written = 0
        """Results that the sink has taken."""
        self._sink = sink
        self._sources = None if sources is None else frozenset(sources)
        self._capacity = capacity
        self._on_end = on_end
        self._queue: deque[tuple[StreamResult, Policy]] = deque()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._drops: Counter[str] = Counter()
        self._closing = self._ended = False
        self._changed = threading.Condition()
        # A daemon, so that a sink that hangs cannot keep the program from ending.
        self._thread = threading.Thread(target=self._run, name=sink.name, daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    @property
    def drops(self) -> dict[str, int]:
        """Results by source that the sink did not get: it was too slow, or had ended."""
        with self._changed:
            return dict(self._drops)

    def takes(self, source: str) -> bool:
        """Whether the sink wants the results of a source."""
        return self._sources is None or source in self._sources

    async def put(self, result: StreamResult, policy: Policy) -> None:
        """Hand over a result; of a source that the sink does not take, it is ignored.

        Args:
            policy: of its source. With ``all`` it waits for room; with ``latest`` the oldest
                result of such a source that waits makes room. An ended sink never blocks.
        """
        if not self.takes(result.frame.source):
            return
        while (turn := self._add(result, policy)) is not None:
            try:
                await turn
            except asyncio.CancelledError:
                with self._changed:
                    self._call_next()  # the turn may have come, and would be lost
                raise

    def close(self) -> None:
        """Let the sink write what waits, then close it. Returns at once; see ``join``."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def join(self, timeout_s: float) -> bool:
        """Wait until the sink is closed; False if it is not by then."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _add(self, result: StreamResult, policy: Policy) -> asyncio.Future[None] | None:
        """Queue or drop the result, or return what to wait for before the next try."""
        with self._changed:
            if self._ended or self._closing:
                self._drops[result.frame.source] += 1
            elif len(self._queue) < self._capacity or (policy == "latest" and self._drop_oldest()):
                self._queue.append((result, policy))
                self._changed.notify()
            elif policy == "all":
                turn = asyncio.get_running_loop().create_future()
                self._waiting.append(turn)
                return turn
            else:
                self._drops[result.frame.source] += 1
        return None

    def _drop_oldest(self) -> bool:
        for position, (waiting, policy) in enumerate(self._queue):
            if policy == "latest":
                del self._queue[position]
                self._drops[waiting.frame.source] += 1
                return True
        return False

    def _run(self) -> None:
        try:
            while (result := self._take()) is not None:
                self._sink.write(result)
                self.written += 1
        except SinkDone:
            self.done = True
        except Exception as error:  # whatever it is, the caller hears of it
            self.error = _failed(self.name, error)
        self._end()
        try:
            self._sink.close()
        except Exception as error:
            self.error = self.error or _failed(self.name, error)
        if self.error is not None or self.done:
            self._on_end(self)

    def _take(self) -> StreamResult | None:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closing)
            if not self._queue:
                return None
            result, _ = self._queue.popleft()
            self._call_next()
            return result

    def _end(self) -> None:
        with self._changed:
            self._ended = True
            self._drops.update(result.frame.source for result, _ in self._queue)
            self._queue.clear()
            while self._waiting:
                self._call_next()

    def _call_next(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                wake(turn)
                return


def _failed(name: str, error: Exception) -> TridetError:
    if isinstance(error, TridetError):
        return error
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    failed = SinkFailed(f"{name}: {reason or type(error).__name__}")
    failed.__cause__ = error
    return failed

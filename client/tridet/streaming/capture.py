"""A thread per source: read, reconnect, and never make anybody else wait.

Here a frame is dropped because it is corrupt, or more than ``max_fps``. How long to wait before the
next attempt to connect, ``backoff.py`` says.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing

from tridet.exceptions import SourceFailed, TridetError
from tridet.streaming.backoff import Backoff
from tridet.streaming.clock import FrameClock
from tridet.streaming.frame_queue import FrameQueue
from tridet.streaming.pacing import Pacer
from tridet.streaming.redaction import redact
from tridet.streaming.sources import Source
from tridet.streaming.stats import Drop, SourceStats, State
from tridet.streaming.video import DecodedFrame, Video, VideoError

# Cameras stamp frames some per cent early or late; those still pass.
_TOLERANCE = 0.1


class Capture:
    """Reads one source into its queue, on a thread of its own, until the end or ``stop``.

    A live source that is lost, or not there yet, is connected again and again; a file that fails
    has failed for good. Either way the queue is closed in the end.

    Args:
        source: what to read.
        queue: where the frames go.
        stats: where frames are counted and the state is shown.
        open_video: opens the source, or raises VideoError.
        backoff: how long to wait between the attempts to connect.
    """

    def __init__(
        self,
        source: Source,
        queue: FrameQueue,
        stats: SourceStats,
        *,
        open_video: Callable[[Source], Video] = Video,
        backoff: Backoff | None = None,
    ) -> None:
        self.source = source
        self.queue = queue
        self.stats = stats
        self.error: TridetError | None = None
        """Why it failed for good."""
        self._open_video = open_video
        self._backoff = backoff or Backoff()
        self._rate = RateLimit(source.max_fps)
        self._clock = FrameClock()
        self._stopped = threading.Event()
        self._pacer = Pacer(sleep=self._stopped.wait) if source.paced else None
        self._index = 0
        self._was_live = False
        self._failures = 0  # in a row
        # A daemon: FFmpeg may sit in a system call for as long as its timeouts allow.
        self._thread = threading.Thread(target=self.run, name=f"capture {source.name}", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Ask for the end and return at once; a read that hangs ends with its timeout."""
        self._stopped.set()
        self.queue.close()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end; return whether it has come."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def run(self) -> None:
        """Read until the end; ``start`` has a thread do this."""
        try:
            self._read_until_over()
        except TridetError as error:
            self._fail(error)
        except Exception as error:
            # Nobody sees what ends a thread: it has to reach whoever reads the results.
            self._fail(SourceFailed(self._line(f"{type(error).__name__}: {error}")))
        else:
            if self.error is None:
                self.stats.enter(State.ENDED, "stopped" if self._stopped.is_set() else "")
        finally:
            self.queue.close()

    def _read_until_over(self) -> None:
        while not self._stopped.is_set():
            try:
                self._read_once()
                if not self.source.live and (self._was_live or self._stopped.is_set()):
                    return
                reason = "end of stream" if self.source.live else "no picture in it can be decoded"
            except VideoError as error:
                reason = str(error)
            if self._stopped.is_set():
                return
            if not self.source.live:
                raise SourceFailed(self._line(reason))
            self._failures += 1
            retries = self.source.max_retries
            if retries is not None and self._failures > retries:
                raise SourceFailed(self._line(f"{reason}; given up after {retries} retries"))
            self._wait(reason)

    def _wait(self, reason: str) -> None:
        """Wait for the next attempt; a source that never was live is not reconnecting."""
        delay_s = self._backoff.next_delay_s()
        state = State.RECONNECTING if self._was_live else State.CONNECTING
        self.stats.enter(state, f"{reason}; next attempt in {delay_s:.1f} s")
        self._stopped.wait(delay_s)

    def _read_once(self) -> None:
        """Read one connection until it ends or fails."""
        with closing(self._open_video(self.source)) as video:
            frames = video.frames(self._index, self._clock)
            first_s = None
            try:
                while not self._stopped.is_set():
                    if self.source.live:
                        self.stats.expect_within(self.source.stall_after_s)
                    try:
                        decoded = next(frames)
                    except StopIteration:
                        return
                    if decoded is not None and first_s is None:
                        first_s = decoded.captured_s
                        self._failures = 0
                        self._was_live = True
                        self.stats.enter(State.LIVE)
                    self._hand_over(decoded)
            finally:
                if first_s is not None:
                    self._backoff.held(time.monotonic() - first_s)

    def _hand_over(self, decoded: DecodedFrame | None) -> None:
        self._index += 1
        if decoded is not None and self._pacer is not None:
            self._pacer.wait(decoded.pts_s)
            decoded = decoded.arriving_now()
        self.stats.received(self._clock.name)
        if decoded is None:
            self.stats.dropped(Drop.CORRUPT)
        elif self._rate.admits(decoded.pts_s):
            self.queue.put(decoded)
        else:
            self.stats.dropped(Drop.RATE)

    def _fail(self, error: TridetError) -> None:
        self.error = error
        self.stats.enter(State.FAILED, redact(str(error)))

    def _line(self, reason: str) -> str:
        name, address = self.source.name, self.source.address
        place = address if name in address else f"{name}: {address}"
        return " ".join(redact(f"{place}: {reason}").split())


class RateLimit:
    """Lets at most ``max_fps`` frames per second pass, evenly spaced; None lets all pass."""

    def __init__(self, max_fps: float | None) -> None:
        self._interval_s = None if max_fps is None else 1 / max_fps
        self._due_s: float | None = None

    def admits(self, moment_s: float) -> bool:
        """Return whether the frame of this moment passes; moments ascend but for a fresh start."""
        interval_s = self._interval_s
        if interval_s is None:
            return True
        due_s = self._due_s
        # Far off the schedule, after a gap or a new connection, the schedule starts over.
        if due_s is None or abs(moment_s - due_s) > 2 * interval_s:
            due_s = moment_s
        elif moment_s < due_s - _TOLERANCE * interval_s:
            return False
        self._due_s = due_s + interval_s
        return True

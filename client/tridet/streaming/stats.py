"""Numbers of one source, written by several threads; read by the table, the page and the file."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

import numpy as np

from tridet.streaming.clock import ClockName

# Latencies and frame times of this many seconds, and no more than so many, are remembered.
_WINDOW_S = 10.0
_WINDOW_FRAMES = 1000


class State(str, Enum):
    """Where a source stands."""

    CONNECTING = "connecting"
    LIVE = "live"
    STALLED = "stalled"  # connected, but no frame for longer than it should take
    RECONNECTING = "reconnecting"
    ENDED = "ended"  # a file is over, or the source was stopped
    FAILED = "failed"  # given up for good

    @property
    def final(self) -> bool:
        """Whether no further frame will come."""
        return self in (State.ENDED, State.FAILED)


class Drop(str, Enum):
    """Why a frame was not detected."""

    NEWER = "newer"  # a newer one came before its turn
    RATE = "rate"  # more than max_fps
    TOO_OLD = "too_old"  # older than max_age_s
    OVERLOADED = "overloaded"  # the server refused it
    FAILED = "failed"  # the request failed
    CORRUPT = "corrupt"  # it could not be decoded


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The numbers of one source at one time; rates and latencies are over the last ten seconds."""

    source: str
    state: str
    reason: str
    """Why the source is in a state other than live, without credentials; else empty."""
    frames_in: int
    frames_out: int
    fps_in: float
    fps_out: float
    drops: dict[str, int]
    reconnects: int
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    age_s: float | None
    """Since the last result; None before the first."""
    trouble: str = ""
    """Why the frames that come are not detected, for instance a server that is gone; else empty."""
    clock: str = "stream"
    """What the frames' times are: the ``stream``'s own; counted by its ``frame rate``, or taken at
    their ``arrival``, where it has none."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that ``json.dumps`` takes."""
        return asdict(self)


class SourceStats:
    """Counters of one source.

    Args:
        source: its name.
        clock: seconds, monotonic.
    """

    def __init__(self, source: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.source = source
        self._clock = clock
        self._lock = threading.Lock()
        self._state = State.CONNECTING
        self._clock_name: ClockName = "stream"
        self._reason = self._trouble = ""
        self._in = self._out = self._reconnects = 0
        self._drops: Counter[Drop] = Counter()
        self._arrivals: deque[float] = deque(maxlen=_WINDOW_FRAMES)
        self._results: deque[tuple[float, float]] = deque(maxlen=_WINDOW_FRAMES)
        self._last_s: float | None = None
        self._due_s: float | None = None  # when the next frame should have come
        self._allowed_s = 0.0

    @property
    def state(self) -> State:
        """Where the source stands."""
        return self._standing()[0]

    @property
    def reason(self) -> str:
        """Why, where it is not live."""
        return self._standing()[1]

    def enter(self, state: State, reason: str = "") -> None:
        """Change the state; ``reason`` must hold no credentials. Reconnecting is counted.

        What has failed stays so: its thread still reports that it has been stopped.
        """
        with self._lock:
            if self._state is State.FAILED:
                return
            if state is State.RECONNECTING and self._state is not State.RECONNECTING:
                self._reconnects += 1
            self._state, self._reason = state, reason

    def expect_within(self, allowed_s: float) -> None:
        """A live source is stalled from then on, until a frame is received."""
        with self._lock:
            self._due_s, self._allowed_s = self._clock() + allowed_s, allowed_s

    def received(self, clock: ClockName = "stream") -> None:
        """Count a frame that came from the source, and note what its time came from."""
        with self._lock:
            self._clock_name = clock
            self._due_s = None
            self._in += 1
            self._arrivals.append(self._clock())

    def dropped(self, cause: Drop) -> None:
        """Count a frame that will not be detected."""
        with self._lock:
            self._drops[cause] += 1

    def troubled(self, reason: str) -> None:
        """Say why a frame could not be detected; it holds until the next result."""
        with self._lock:
            self._trouble = reason

    def delivered(self, latency_s: float) -> None:
        """Count a result."""
        with self._lock:
            self._out += 1
            self._trouble = ""
            self._last_s = self._clock()
            self._results.append((self._last_s, latency_s))

    def snapshot(self) -> Snapshot:
        """Return the numbers as they stand."""
        with self._lock:
            now = self._clock()
            since = now - _WINDOW_S
            while self._arrivals and self._arrivals[0] < since:
                self._arrivals.popleft()
            while self._results and self._results[0][0] < since:
                self._results.popleft()
            state, reason = self._standing()
            latencies = [latency_s * 1000 for _, latency_s in self._results]
            p50, p95 = np.percentile(latencies, [50, 95]) if latencies else (None, None)
            return Snapshot(
                source=self.source,
                state=state.value,
                reason=reason,
                frames_in=self._in,
                frames_out=self._out,
                fps_in=_rate(list(self._arrivals)),
                fps_out=_rate([moment for moment, _ in self._results]),
                drops={cause.value: count for cause, count in self._drops.items()},
                reconnects=self._reconnects,
                latency_p50_ms=None if p50 is None else float(p50),
                latency_p95_ms=None if p95 is None else float(p95),
                age_s=None if self._last_s is None else now - self._last_s,
                trouble=self._trouble,
                clock=self._clock_name,
            )

    def _standing(self) -> tuple[State, str]:
        """Return the state and its reason; found on reading, no thread has to watch for a stall."""
        state, reason, due_s = self._state, self._reason, self._due_s
        if state is State.LIVE and due_s is not None and self._clock() > due_s:
            return State.STALLED, f"no frame for {self._clock() - due_s + self._allowed_s:.0f} s"
        return state, reason


def _rate(moments: list[float]) -> float:
    """Frames per second between the first and the last moment."""
    if len(moments) < 2 or moments[-1] <= moments[0]:
        return 0.0
    return (len(moments) - 1) / (moments[-1] - moments[0])

"""Let what is read faster than it plays pass at its own pace."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

# One that lags behind by more than this is not hurried after.
_MAX_LAG_S = 0.5


class Pacer:
    """Lets the frames of a file pass when they are due.

    Args:
        longest_pause_s: what is due later passes after that, and the rest follows from there.
        clock: seconds, monotonic.
        sleep: waits for so many seconds, or less where there is a reason.
    """

    def __init__(
        self,
        longest_pause_s: float = math.inf,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._longest_pause_s = longest_pause_s
        self._clock = clock
        self._sleep = sleep
        self._start_s: float | None = None

    def wait(self, time_s: float) -> None:
        """Return when the frame of this time is due, or at once if that has passed."""
        now_s = self._clock()
        if self._start_s is None or now_s - (self._start_s + time_s) > _MAX_LAG_S:
            self._start_s = now_s - time_s
        pause_s = max(0.0, self._start_s + time_s - now_s)
        if pause_s > self._longest_pause_s:
            pause_s = self._longest_pause_s
            self._start_s = now_s + pause_s - time_s
        self._sleep(pause_s)

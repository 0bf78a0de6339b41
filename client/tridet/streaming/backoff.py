"""How long to wait before the next attempt to connect."""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """Capped exponential backoff with full jitter: cameras lost together do not come back together.

    Args:
        base_s: the first delay is at most this long; each further one at most twice the last.
        cap_s: no delay is longer.
        good_after_s: a connection that held for so long makes the delays start over.
        jitter: returns a number in [0, 1).
    """

    def __init__(
        self,
        base_s: float = 0.5,
        cap_s: float = 30.0,
        *,
        good_after_s: float = 10.0,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._base_s = base_s
        self._cap_s = cap_s
        self._good_after_s = good_after_s
        self._jitter = jitter
        self._limit_s = base_s

    def held(self, duration_s: float) -> None:
        """Tell for how long the last connection gave frames."""
        if duration_s >= self._good_after_s:
            self._limit_s = self._base_s

    def next_delay_s(self) -> float:
        """Return the seconds to wait now."""
        delay_s = self._jitter() * self._limit_s
        self._limit_s = min(self._cap_s, 2 * self._limit_s)
        return delay_s

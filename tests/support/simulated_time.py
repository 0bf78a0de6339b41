"""Time that passes only when everyone waits: an event loop, and queues with known answers."""

from __future__ import annotations

import asyncio
import heapq
import selectors
from collections.abc import Coroutine
from typing import Any

import numpy as np


class _Selector(selectors.SelectSelector):
    """Instead of waiting, put the loop's clock forward."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> Any:
        assert timeout is not None, "everyone waits for something that never comes"
        self.now_s += max(0.0, timeout)
        return super().select(0)


class SimulatedLoop(asyncio.SelectorEventLoop):
    """Its clock starts at 0 and jumps to the next moment for which somebody sleeps."""

    def __init__(self) -> None:
        self._simulated = _Selector()
        super().__init__(self._simulated)

    def time(self) -> float:
        return self._simulated.now_s

    def pass_time(self, seconds: float) -> None:
        """Keep the loop busy, as code that does not await would."""
        self._simulated.now_s += seconds


def run_simulated(main: Coroutine[Any, Any, Any], loop: SimulatedLoop) -> None:
    try:
        loop.run_until_complete(main)
    finally:
        loop.close()


def md_c_latencies(
    rate: float, service_s: float, servers: int, duration_s: float, seed: int = 0
) -> tuple[np.ndarray, float]:
    """Return the latencies of an M/D/c queue, first come first served, and its last moment."""
    rng = np.random.default_rng(seed)
    arrivals = np.sort(rng.uniform(0, duration_s, rng.poisson(rate * duration_s)))
    free = [0.0] * servers
    latencies = []
    last = 0.0
    for arrival in arrivals:
        last = max(arrival, heapq.heappop(free)) + service_s
        heapq.heappush(free, last)
        latencies.append(last - arrival)
    return np.array(latencies), last

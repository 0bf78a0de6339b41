"""Find the highest load that a server still serves well: double until it breaks, then close in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

MOST_ERRORS = 0.01
"""Share of the requests."""
LEAST_KEPT_UP = 0.95
"""Of ``Point.kept_up``."""
_CLOSE = 1.15
_MOST_DOUBLINGS = 16
_MOST_HALVINGS = 4


@dataclass(frozen=True, slots=True)
class Point:
    """What one offered rate showed."""

    offered: float
    """Requests a second."""
    achieved: float
    """Answers a second."""
    p50_ms: float | None
    p99_ms: float | None
    error_share: float
    kept_up: float
    """The run's time over the time until its last answer: below 1 where a backlog was left."""
    generator_limited: bool = False
    late_ms: float = 0.0
    """99th percentile of the generator's own lateness."""


@dataclass(frozen=True, slots=True)
class Knee:
    """Where the server stops coping."""

    points: tuple[Point, ...]
    """In the order in which they were measured."""
    limit_ms: float
    """Of the 99th percentile."""
    sustained: Point | None
    """The highest that was served well; None if even the lowest was not."""
    failed: Point | None
    """The lowest above it that was not; None if none was found."""
    reason: str
    """Why that one was not: ``errors``, ``backlog``, ``p99``, ``client``; else ''."""


def fault_of(point: Point, limit_ms: float) -> str:
    """Return what is wrong with a point, '' if nothing is.

    ``client`` where the fault may be the generator's: it was late itself.
    """
    fault = ""
    if point.error_share > MOST_ERRORS:
        fault = "errors"
    elif point.p99_ms is None or point.p99_ms > limit_ms:
        fault = "p99"
    elif point.kept_up < LEAST_KEPT_UP:
        fault = "backlog"
    if fault and point.generator_limited and point.late_ms > limit_ms / 2:
        return "client"
    return fault


def find_knee(measure: Callable[[float], Point], start: float, limit_ms: float) -> Knee:
    """Double the rate from ``start`` until it fails, then bisect until the two are 15 % apart.

    A rate that fails is tried once more: a slow moment of the machine is not the server's limit.
    If ``start`` fails already, the rate is halved first.
    """
    points: list[Point] = []

    def fault_at(rate: float) -> str:
        fault = ""
        for _ in range(2):
            points.append(measure(rate))
            fault = fault_of(points[-1], limit_ms)
            if not fault:
                break
        return fault

    good, bad = 0.0, 0.0
    best: Point | None = None
    worst: Point | None = None
    reason = ""
    rate = start
    while not (good and bad) and start / 2**_MOST_HALVINGS <= rate <= start * 2**_MOST_DOUBLINGS:
        if fault := fault_at(rate):
            bad, worst, reason = rate, points[-1], fault
            rate /= 2
        else:
            good, best = rate, points[-1]
            rate *= 2
    while good and bad and bad / good > _CLOSE:
        rate = (good * bad) ** 0.5
        if fault := fault_at(rate):
            bad, worst, reason = rate, points[-1], fault
        else:
            good, best = rate, points[-1]
    return Knee(tuple(points), limit_ms, best, worst, reason)

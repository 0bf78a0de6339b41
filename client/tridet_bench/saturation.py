"""Run the search for the knee against a real server, and draw the conclusions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tridet.exceptions import TridetError

from tridet_bench.advice import Advice, advise
from tridet_bench.cases import Bench, Case, Result, ensemble_of
from tridet_bench.knee import Knee, Point, find_knee
from tridet_bench.loops import Closed, Open
from tridet_bench.server import steps_of
from tridet_bench.worker import Workload

# Without a limit of the user's: the p99 of an idle server, times this.
_BLOWN_UP = 5.0


@dataclass(frozen=True, slots=True)
class Saturation:
    """Where the server stops coping with one workload."""

    workload: Workload
    knee: Knee
    advice: Advice | None
    """None where not even the lowest rate was served well."""


def saturate(
    bench: Bench,
    workload: Workload,
    *,
    limit_ms: float | None,
    cores: int,
    on_result: Callable[[Result], None],
) -> Saturation:
    """Raise the rate until the server breaks.

    Args:
        bench: the runs.
        workload: what is sent; it must be ready.
        limit_ms: of the 99th percentile; None is five times that of an idle server.
        cores: that the server may use.
        on_result: gets each run as it is done.

    Raises:
        TridetError: the server has gone.
    """

    def run(case: Case) -> Result:
        result = bench.run(case)
        on_result(result)
        if result.fatal is not None:
            raise TridetError(result.fatal)
        return result

    idle = run(Case(workload, Closed(1)))
    if not idle.answered:
        raise TridetError(f"{workload.label}: no request was answered; {_first_error(idle)}")
    limit_ms = limit_ms or _BLOWN_UP * (_p99_ms(idle) or 0.0)
    measured: list[tuple[Point, Result]] = []

    def measure(rate: float) -> Point:
        result = run(Case(workload, Open(rate)))
        point = point_of(rate, result)
        measured.append((point, result))
        return point

    knee = find_knee(measure, idle.throughput / 2, limit_ms)
    if knee.sustained is None:
        return Saturation(workload, knee, None)
    best = next(result for point, result in measured if point is knee.sustained)
    advice = advise(
        steps_of(bench.server, ensemble_of(bench.model, workload)),
        best.steps,
        best.batches,
        wall_s=best.wall_s,
        rate=(knee.failed or knee.sustained).offered,
        limit_ms=knee.limit_ms,
        cores=cores,
    )
    return Saturation(workload, knee, advice)


def point_of(rate: float, result: Result) -> Point:
    """Return what the search needs of the result of an open loop at ``rate``."""
    return Point(
        offered=rate,
        achieved=result.throughput,
        p50_ms=result.latency.p50_ms,
        p99_ms=_p99_ms(result),
        error_share=result.error_share,
        kept_up=result.kept_up,
        generator_limited=result.generator_limited,
        late_ms=result.late_p99_ms or 0.0,
    )


def _p99_ms(result: Result) -> float | None:
    # Of fewer than 100 requests the slowest: the stricter one.
    return result.latency.p99_ms or result.latency.max_ms


def _first_error(result: Result) -> str:
    return next(iter(result.messages.values()), "none was sent")

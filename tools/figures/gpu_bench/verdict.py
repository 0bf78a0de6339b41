"""Whether the pipeline keeps up with its detector."""

from __future__ import annotations

from typing import Any

from gpu_bench.plan import GpuBenchReport

SHARE = 0.9
ENOUGH = 2500.0
P99_MS = 25.0


def ceiling_of(report: GpuBenchReport) -> float | None:
    """Images a second of the detector alone: its best batch size, frames on the device already.

    Measured on one GPU; several of them are taken to do as many times that.
    """
    if report.ceiling is None:
        return None
    return float(max(row["compute"] for row in report.ceiling["rows"])) * report.gpus


def best_row(report: GpuBenchReport) -> dict[str, Any] | None:
    """The case of the highest throughput; requests that got no answer do not count."""
    rows = [*report.transports, *report.setups]
    return max(rows, key=lambda row: float(row["throughput"]), default=None)


def verdict(report: GpuBenchReport) -> list[str]:
    """One line per goal, also for those that could not be measured."""
    most, best = ceiling_of(report), best_row(report)
    if most is None or best is None:
        return ["no verdict: the detector alone and the pipeline must both have been measured"]
    goal = min(SHARE * most, ENOUGH)
    lines = [
        f"{_met(best['throughput'] >= goal)}: {best['throughput']:.0f} images/s "
        f"({best['transport']}, {best['load']}, {best['setup']}), expected {goal:.0f}: "
        f"{SHARE:.0%} of the detector's {most:.0f}, at most {ENOUGH:.0f}"
    ]
    for row in report.half_load:
        p99 = row["latency"]["p99_ms"]
        found = "too few requests to tell" if p99 is None else f"{p99:.1f} ms"
        lines.append(
            f"{_met(p99 is not None and p99 < P99_MS and not row['errors'])}: p99 {found} at "
            f"{row['rate']:.0f} images/s ({row['transport']}), expected below {P99_MS:.0f} ms"
        )
    return lines


def _met(met: bool) -> str:
    return "met" if met else "MISSED"

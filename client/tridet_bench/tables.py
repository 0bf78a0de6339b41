"""What a run found, as tables and sentences."""

from __future__ import annotations

from collections.abc import Sequence

from tridet.server_info import StepTime

from tridet_bench.budget import SEGMENTS
from tridet_bench.cases import Result
from tridet_bench.knee import MOST_ERRORS
from tridet_bench.run import Outcome
from tridet_bench.saturation import Saturation
from tridet_bench.table import Table, number

# Other programs on that share of the machine change every figure.
_BUSY = 0.1
_PARTS = ("queue", "compute_input", "compute_infer", "compute_output")
_REASONS = {
    "p99": "its p99 is over the limit",
    "errors": f"more than {MOST_ERRORS:.0%} of its requests fail",
    "backlog": "the answers fall further and further behind",
    "client": "this client cannot send so fast (raise --processes): the server may take more",
}


def latency_table(results: Sequence[Result]) -> Table:
    """Latency, throughput and errors of each case."""
    return Table(
        "Latency from the intended send time, ms",
        ("case", "answers/s", "mean", "p50", "p90", "p99", "p99.9", "max", "failed", "client CPU"),
        [
            (
                result.case.label,
                number(result.throughput, 1),
                *(
                    number(value)
                    for value in (
                        result.latency.mean_ms,
                        result.latency.p50_ms,
                        result.latency.p90_ms,
                        result.latency.p99_ms,
                        result.latency.p999_ms,
                        result.latency.max_ms,
                    )
                ),
                _errors(result),
                number(result.client_cpu_ms),
            )
            for result in results
        ],
    )


def budget_table(results: Sequence[Result]) -> Table:
    """Where the mean latency of each case goes."""
    return Table(
        "Budget of a frame, ms (the parts add up to the mean)",
        ("case", *SEGMENTS),
        [
            (result.case.label, *(number(result.budget_ms[name]) for name in SEGMENTS))
            for result in results
            if result.budget_ms
        ],
    )


def step_table(results: Sequence[Result]) -> Table:
    """What the server says of each step."""
    return Table(
        "Steps in the server, ms per request",
        ("case, step", "requests", "batch", "queue", "input", "infer", "output"),
        [
            (
                f"{result.case.label}, {model}",
                str(step.requests),
                number(step.mean_batch, 1),
                *(number(step.ms(part)) for part in _PARTS),
            )
            for result in results
            for model, step in result.steps.items()
            if step != StepTime()
        ],
    )


def sentences(saturation: Saturation) -> list[str]:
    """Return where the server ends and what to do about it."""
    knee, advice = saturation.knee, saturation.advice
    lines = []
    if knee.sustained is None:
        lines.append(
            f"{saturation.workload.label}: no rate was served with p99 under "
            f"{knee.limit_ms:.1f} ms: {_REASONS[knee.reason]}"
        )
    else:
        lines.append(
            f"{saturation.workload.label}: sustains {knee.sustained.offered:.4g} frames/s "
            f"(p99 {number(knee.sustained.p99_ms, 1)} ms, limit {knee.limit_ms:.1f} ms)"
        )
    if knee.sustained is not None and knee.failed is not None:
        lines.append(f"at {knee.failed.offered:.4g} frames/s {_REASONS[knee.reason]}")
    if advice is not None:
        lines.append(f"for {advice.rate:.4g} frames/s: {advice.verdict}")
        counts = ", ".join(f"{role} = {count}" for role, count in advice.instances.items())
        lines.append(f"[instances] {counts}")
        lines += [
            f"  {step.model}: {step.instances} now, {step.busy:.0%} busy; "
            f"{step.recommended} recommended: {step.why}"
            for step in advice.steps
        ]
        lines.append(f"[batch] delay_us = {advice.delay_us}: {advice.delay_why}")
    return lines


def cross_check_table(outcome: Outcome) -> Table:
    """Ours beside perf_analyzer's."""
    return Table(
        "Cross-check with perf_analyzer",
        ("case", "answers/s", "theirs", "p50 ms", "theirs", "their p90", "their p99"),
        [
            (
                check.case,
                number(check.throughput, 1),
                number(check.theirs_throughput, 1),
                number(check.p50_ms),
                number(check.theirs_p50_ms),
                number(check.theirs_p90_ms),
                number(check.theirs_p99_ms),
            )
            for check in outcome.cross_checks
        ],
    )


def warnings(outcome: Outcome) -> list[str]:
    """Return what makes the figures doubtful."""
    lines = []
    if outcome.busy_before > _BUSY * outcome.machine.cores:
        lines.append(
            f"other programs kept {outcome.busy_before:.1f} of {outcome.machine.cores} cores busy "
            "before the run: compare figures of this run only"
        )
    for result in outcome.results:
        if result.generator_limited:
            late = (
                ""
                if result.late_p99_ms is None
                else f"sent 1 % of the requests at least {result.late_p99_ms:.1f} ms late "
                f"(at most {result.late_max_ms:.1f} ms), "
            )
            lines.append(
                f"{result.case.label}: this client {late}used {result.busiest_client:.2f} cores "
                "in one process: it may be the limit itself; raise --processes or use another "
                "machine"
            )
        if result.foreign:
            lines.append(
                f"{result.case.label}: the server's times are means that contain {result.foreign} "
                "frames that this run got no answer for"
            )
        lines += [
            f"{result.case.label}: {kind} x {result.errors[kind]}, the first: {message}"
            for kind, message in result.messages.items()
        ]
    return lines


def _errors(result: Result) -> str:
    return ", ".join(f"{kind} {count}" for kind, count in sorted(result.errors.items())) or "0"

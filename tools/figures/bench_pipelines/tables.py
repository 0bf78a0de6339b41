"""The report, once: tables, as rich text for a terminal and as Markdown for docs/measurements."""

from __future__ import annotations

from collections.abc import Sequence

from tridet_bench.machine import Machine
from tridet_bench.table import Table

from bench_pipelines.summary import CaseSummary, RealSummary, Target


def round_trip_tables(cases: Sequence[CaseSummary]) -> list[Table]:
    """One table for each size and concurrency, a row for each pipeline."""
    places = list(dict.fromkeys((case.size, case.concurrency) for case in cases))
    return [
        _round_trip([case for case in cases if (case.size, case.concurrency) == place], *place)
        for place in places
    ]


def _round_trip(cases: list[CaseSummary], size: str, concurrency: int) -> Table:
    reference = cases[0].p50_ms
    rows = [
        (
            case.pipeline,
            f"{case.p50_ms:.1f}",
            f"{case.p99_ms:.1f}",
            f"{case.p50_ms / reference:.2f}",
            f"{case.frames_per_s:.0f}",
            f"{case.outside_ms:.2f}",
            f"{case.outside_step_ms:.2f}",
            f"{case.client_cpu_ms:.1f}",
            f"{case.server_cpu_ms:.1f}",
        )
        for case in cases
    ]
    columns = (
        "pipeline",
        "p50 ms",
        "p99 ms",
        f"p50 / {cases[0].pipeline}",
        "frames/s",
        "outside ms",
        "outside* ms",
        "client CPU ms",
        "server CPU ms",
    )
    return Table(f"{size}, concurrency {concurrency}", columns, rows)


def step_table(cases: Sequence[CaseSummary]) -> Table:
    """Where the server's time goes: one request at a time, the smallest frame."""
    size = cases[0].size
    parts = ("success", "queue", "compute_input", "compute_infer", "compute_output")
    rows = [
        (case.pipeline if number == 0 else "", step, *(f"{times[part]:.2f}" for part in parts))
        for case in cases
        if case.size == size and case.concurrency == 1
        for number, (step, times) in enumerate(case.steps.items())
    ]
    columns = ("pipeline", "step", "all", "queue", "input", "infer", "output")
    return Table(f"Server time per step, {size}, concurrency 1 (ms a request)", columns, rows, 2)


def real_table(rows: Sequence[RealSummary], model: str, size: str) -> Table:
    """The real detector beside bare ONNX Runtime."""
    columns = (
        "concurrency",
        "pipeline frames/s",
        "bare ORT frames/s",
        "pipeline / bare",
        "server's mean batch",
        "bare batch",
        "p50 ms",
        "p99 ms",
    )
    cells = [
        (
            str(row.concurrency),
            f"{row.pipeline_fps:.1f}",
            f"{row.bare_fps:.1f}",
            f"{row.ratio:.3f}",
            f"{row.mean_batch:.1f}",
            str(row.bare_batch),
            f"{row.p50_ms:.0f}",
            f"{row.p99_ms:.0f}",
        )
        for row in rows
    ]
    return Table(f"{model} on the CPU, {size}, transport auto", columns, cells)


def target_table(targets: Sequence[Target]) -> Table:
    """Each target, what was measured, and by how much it was met or missed."""
    rows = [
        (
            target.name,
            f"{'≥' if target.at_least else '≤'} {target.limit:g} {target.unit}".rstrip(),
            f"{target.measured:.3g} {target.unit}".rstrip(),
            target.verdict,
        )
        for target in targets
    ]
    return Table("Targets", ("target", "limit", "measured", "verdict"), rows)


LEGEND = (
    "p50 and p99 are client round trips, frame in memory to boxes in memory. outside: server time "
    "of a request less the detector's inference itself; outside*: less the detector's queue and "
    "tensor copies too. CPU: milliseconds of CPU time for one frame."
)


def preamble(machine: Machine, command: str, others_cores: float, rounds: int) -> list[str]:
    """Say how the figures came about, in lines."""
    versions = ", ".join(f"{name} {number}" for name, number in machine.versions.items())
    return [
        f"Command: `{command}`",
        f"Machine: {machine.cpu}, {machine.cores} cores; other programs kept {others_cores:.1f} "
        "cores busy meanwhile",
        f"Date: {machine.date}; {rounds} interleaved rounds",
        f"Versions: {versions}",
    ]

"""From the options of ``tridet bench`` to a run, and its results to the terminal and to files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from tridet.cli.console import stdout_console
from tridet.cli.image_files import STDIN, find_sources
from tridet.cli.options import ServerOptions
from tridet.exceptions import InvalidInput
from tridet.extras import require
from tridet.files import write_bytes
from tridet.transports import Transport

from tridet_bench.cases import Result
from tridet_bench.frames import Frames, frames_of_files, frames_of_size
from tridet_bench.loops import Closed, Load, Open
from tridet_bench.page import page_from
from tridet_bench.perf_analyzer import NAME, TRANSPORTS
from tridet_bench.picture import draw
from tridet_bench.report import to_json
from tridet_bench.run import BenchPlan, Outcome, run
from tridet_bench.table import Table, number
from tridet_bench.tables import (
    budget_table,
    cross_check_table,
    latency_table,
    sentences,
    step_table,
    warnings,
)
from tridet_bench.worker import Target, Workload

_DEFAULT_SIZE = "1280x720"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of ``tridet bench``, but for the server's."""

    sources: Sequence[str]
    concurrency: Sequence[int]
    rates: Sequence[float]
    until_saturation: bool
    p99_limit_ms: float | None
    transports: Sequence[Transport]
    sizes: Sequence[str]
    duration_s: float
    warmup_s: float
    processes: int
    perf_analyzer: bool
    out: Path | None
    model: str
    conf: float | None
    imgsz: int | None
    quiet: bool


def show(server: ServerOptions, options: Options) -> bool:
    """Run, print and write; return whether it came to its end.

    Raises:
        UsageError, TridetError, OSError: an option is not acceptable, the server cannot be used, or
            a file cannot be written.
    """
    plan = _plan(server, options)
    if options.out is not None:
        require("bench", "matplotlib")
        # To learn now, not after the run, that it cannot be.
        options.out.mkdir(parents=True, exist_ok=True)
    outcome = _run(plan, options.quiet)
    tables = _tables(outcome)
    if not options.quiet:
        _print(outcome, tables)
    if options.out is not None:
        _write(options.out, outcome, tables)
    if outcome.ended_early:
        click.echo(f"tridet: error: the run ended early: {outcome.ended_early}", err=True)
    return outcome.ended_early is None


def _plan(server: ServerOptions, options: Options) -> BenchPlan:
    if options.p99_limit_ms is not None and not options.until_saturation:
        raise click.UsageError("--p99-limit-ms is for --until-saturation: add it")
    loads: list[Load] = [*map(Closed, options.concurrency), *map(Open, options.rates)]
    thresholds = {"conf": options.conf, "imgsz": options.imgsz}
    frames = _frames(options.sources, options.sizes)
    return BenchPlan(
        target=Target(
            server.url,
            options.model,
            server.tls,
            server.timeout_s,
            {name: value for name, value in thresholds.items() if value is not None},
        ),
        workloads=[
            Workload(transport, frame) for transport in options.transports for frame in frames
        ],
        loads=loads or ([] if options.until_saturation else [Closed(1)]),
        duration_s=options.duration_s,
        warmup_s=options.warmup_s,
        processes=options.processes,
        until_saturation=options.until_saturation,
        p99_limit_ms=options.p99_limit_ms,
        perf_analyzer=(
            _perf_analyzer(options.transports, options.sources) if options.perf_analyzer else None
        ),
    )


def _frames(sources: Sequence[str], sizes: Sequence[str]) -> list[Frames]:
    if not sources:
        return [frames_of_size(text) for text in sizes or [_DEFAULT_SIZE]]
    if sizes:
        raise click.UsageError("--size is for made frames: leave it out where images are given")
    found = find_sources(sources, recursive=False)
    names = [source.name for source in found.images]
    if found.problems:
        raise InvalidInput(found.problems[0])
    if STDIN in names:
        raise InvalidInput("-: expected image files, got stdin")
    return [frames_of_files(names)]


def _perf_analyzer(transports: Sequence[Transport], sources: Sequence[str]) -> Path:
    if sources or not TRANSPORTS.keys() & set(transports):
        raise click.UsageError(
            f"--perf-analyzer repeats made frames with {' or '.join(TRANSPORTS)}: "
            "add one to --transport, and give no images"
        )
    program = shutil.which(NAME)
    if program is None:
        raise InvalidInput(
            f"--perf-analyzer: expected {NAME} on PATH, found none; it comes with NVIDIA's "
            "container tritonserver:*-py3-sdk, or leave the option out"
        )
    return Path(program)


def _run(plan: BenchPlan, quiet: bool) -> Outcome:
    console = Console(stderr=True, highlight=False)
    live = console.is_terminal and not quiet
    with console.status("") if live else nullcontext() as status:

        def say(text: str) -> None:
            if status is not None:
                status.update(text)

        def on_result(result: Result) -> None:
            if not quiet:
                failed = sum(result.errors.values())
                console.print(
                    f"{result.case.label}: {result.throughput:.1f} answers/s, "
                    f"p50 {number(result.latency.p50_ms)} ms, p99 {number(result.latency.p99_ms)} "
                    f"ms, {failed} failed",
                    markup=False,
                    soft_wrap=True,
                )

        return run(plan, on_result, say)


def _tables(outcome: Outcome) -> list[Table]:
    tables = [
        latency_table(outcome.results),
        budget_table(outcome.results),
        step_table(outcome.results),
    ]
    if outcome.cross_checks:
        tables.append(cross_check_table(outcome))
    return tables


def _print(outcome: Outcome, tables: Sequence[Table]) -> None:
    console = stdout_console()
    for table in tables:
        console.print(table.rich())
        console.print()
    lines = [line for found in outcome.saturations for line in sentences(found)]
    for line in [*lines, *(f"warning: {note}" for note in warnings(outcome))]:
        console.print(line, markup=False, soft_wrap=True)


def _write(folder: Path, outcome: Outcome, tables: Sequence[Table]) -> None:
    svg, png = draw(outcome)
    files: dict[str, Any] = {
        "bench.json": json.dumps(to_json(outcome), indent=1).encode(),
        "bench.svg": svg,
        "bench.png": png,
        "bench.html": page_from(outcome, tables, svg).encode(),
    }
    for name, content in files.items():
        write_bytes(folder / name, content)

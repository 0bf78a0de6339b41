"""Run what ``tridet bench`` was asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tridet.exceptions import TridetError
from tridet.server_info import ServerInfo

from tridet_bench.cases import Bench, Case, Result
from tridet_bench.loops import Load
from tridet_bench.machine import Machine, busy_cores, this_machine
from tridet_bench.perf_analyzer import CrossCheck, cross_check
from tridet_bench.saturation import Saturation, saturate
from tridet_bench.worker import Target, Workload
from tridet_bench.workers import Workers

_IDLE_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchPlan:
    """What is asked for."""

    target: Target
    workloads: Sequence[Workload]
    loads: Sequence[Load]
    duration_s: float
    warmup_s: float
    processes: int
    until_saturation: bool
    p99_limit_ms: float | None
    perf_analyzer: Path | None
    """The program, where a cross-check is wanted."""


@dataclass(slots=True)
class Outcome:
    """What was found so far."""

    plan: BenchPlan
    machine: Machine
    busy_before: float
    """Cores that other programs kept busy just before the run."""
    results: list[Result] = field(default_factory=list)
    saturations: list[Saturation] = field(default_factory=list)
    cross_checks: list[CrossCheck] = field(default_factory=list)
    ended_early: str | None = None
    """Why; what stands above is what was measured until then."""


def run(
    plan: BenchPlan, on_result: Callable[[Result], None], say: Callable[[str], None]
) -> Outcome:
    """Run every load of every workload, then the search for the knee, then the cross-check.

    Args:
        plan: what is asked for.
        on_result: gets each result as it is there.
        say: gets what is done next.

    Raises:
        TridetError: the server or a frame made it impossible to begin.
    """
    target = plan.target
    with ExitStack() as stack:
        server = stack.enter_context(ServerInfo(target.url, target.tls, target.timeout_s))
        version = server.version()
        say("looking how busy this machine is")
        outcome = Outcome(plan, this_machine(version), busy_cores(_IDLE_S))
        workers = stack.enter_context(Workers(target, plan.processes))
        bench = Bench(workers, server, target.model, plan.duration_s, plan.warmup_s)
        for workload in plan.workloads:
            say(f"getting ready for {workload.label}")
            workers.get_ready(workload)

        def keep(result: Result) -> None:
            outcome.results.append(result)
            on_result(result)

        try:
            _measure(bench, outcome, keep, say)
        except TridetError as error:
            outcome.ended_early = str(error)
    return outcome


def _measure(
    bench: Bench,
    outcome: Outcome,
    keep: Callable[[Result], None],
    say: Callable[[str], None],
) -> None:
    plan = outcome.plan
    for workload in plan.workloads:
        for load in plan.loads:
            say(f"{workload.label}, {load.label}")
            result = bench.run(Case(workload, load))
            keep(result)
            if result.fatal is not None:
                raise TridetError(result.fatal)
        if plan.until_saturation:
            say(f"{workload.label}, until saturation")
            outcome.saturations.append(
                saturate(
                    bench,
                    workload,
                    limit_ms=plan.p99_limit_ms,
                    cores=outcome.machine.cores,
                    on_result=keep,
                )
            )
    if plan.perf_analyzer is not None:
        for result in list(outcome.results):
            say(f"perf_analyzer, {result.case.label}")
            check = cross_check(plan.perf_analyzer, plan.target, result, plan.duration_s)
            if check is not None:
                outcome.cross_checks.append(check)

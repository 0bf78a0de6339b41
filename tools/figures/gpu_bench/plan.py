"""What is measured, in which order, within how much time; failures and omissions are reported."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tridet_bench.frames import Frames
from tridet_bench.loops import Closed, Load, Open
from tridet_bench.worker import Workload

from gpu_bench.pipeline import Running
from gpu_bench.repository import Setup

Transport = Literal["auto", "fit", "shm", "encoded"]
TRANSPORTS: tuple[Transport, ...] = ("auto", "fit", "shm", "encoded")
_CEILING = Path(__file__).with_name("ceiling.py")
# What a start and a case take more than their own time; to tell whether there is time left.
_START_S = 25.0
_PAUSES_S = 1.0
_CEILING_TIMEOUT_S = 150.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuBenchPlan:
    """What is asked for."""

    device: str
    trunk: Path
    frames: Frames
    setups: Sequence[Setup]
    clients: Sequence[int]
    """How many requests are in flight at a time; the setups are compared at the largest."""
    transports: Sequence[Transport]
    case_s: float
    """Seconds that a case is measured for, and warmed up for a third of it."""
    deadline_s: float
    """On ``time.monotonic()``."""
    serve: Callable[[Setup], AbstractContextManager[Running]]

    @property
    def one_case_s(self) -> float:
        """What a case takes in all."""
        return 1.4 * self.case_s + _PAUSES_S

    @property
    def transports_s(self) -> float:
        """What the best setup's part takes: each transport under each load and at half of it."""
        return _START_S + len(self.transports) * (len(self.clients) + 1) * self.one_case_s


@dataclass(slots=True)
class GpuBenchReport:
    """What was found so far."""

    ceiling: dict[str, Any] | None = None
    setups: list[dict[str, Any]] = field(default_factory=list)
    transports: list[dict[str, Any]] = field(default_factory=list)
    half_load: list[dict[str, Any]] = field(default_factory=list)
    best_setup: Setup | None = None
    gpus: int = 1
    problems: list[str] = field(default_factory=list)


def run(plan: GpuBenchPlan, report: GpuBenchReport, shown: Callable[[str], None]) -> None:
    """Fill the report part by part; ``shown`` is called with the name of each when it is known."""
    report.gpus = plan.setups[0].gpus
    parts: tuple[tuple[str, Callable[[GpuBenchPlan, GpuBenchReport], None]], ...] = (
        ("ceiling", _ceiling),
        ("setups", _compare_setups),
        ("transports", _transports),
    )
    for name, part in parts:
        try:
            part(plan, report)
        # Whatever it is: the parts after it may still be worth their machine's time.
        except Exception as error:
            report.problems.append(f"{name}: {type(error).__name__}: {error}")
        shown(name)


def _ceiling(plan: GpuBenchPlan, report: GpuBenchReport) -> None:
    settings = (plan.trunk, plan.device, plan.case_s / 6, plan.setups[0].max_batch)
    command = [sys.executable, str(_CEILING), *map(str, settings)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_CEILING_TIMEOUT_S)
    if done.returncode:
        raise RuntimeError(done.stderr.strip()[-2000:])
    report.ceiling = json.loads(done.stdout.splitlines()[-1])


def _compare_setups(plan: GpuBenchPlan, report: GpuBenchReport) -> None:
    """One setup after the other under the heaviest load, through shared memory."""
    for setup in plan.setups:
        more_s = _START_S + plan.transports_s
        # The first one in any case: without it there is nothing to go on with.
        if report.setups and _too_late(plan, report, f"setup {setup.label}", more_s):
            break
        try:
            with plan.serve(setup) as running:
                row = _measure(plan, running, "auto", Closed(max(plan.clients)))
        except Exception as error:
            report.problems.append(f"setup {setup.label}: {type(error).__name__}: {error}")
            continue
        best = max((known["throughput"] for known in report.setups), default=0.0)
        report.setups.append(row)
        if row["throughput"] > best:
            report.best_setup = setup


def _transports(plan: GpuBenchPlan, report: GpuBenchReport) -> None:
    """Every transport under every load, then at half of the most that it sustained."""
    if report.best_setup is None:
        raise RuntimeError("no setup could be measured")
    with plan.serve(report.best_setup) as running:
        for transport in plan.transports:
            rows = []
            # Descending: the figures that matter most come first.
            for clients in sorted(plan.clients, reverse=True):
                if _too_late(plan, report, f"{transport}, {clients} clients", 0.0):
                    break
                rows.append(_measure(plan, running, transport, Closed(clients)))
                report.transports.append(rows[-1])
            if rows and not _too_late(plan, report, f"{transport}, half load", plan.case_s):
                half = max(row["throughput"] for row in rows) / 2
                report.half_load.append(_measure(plan, running, transport, Open(half)))


def _measure(
    plan: GpuBenchPlan, running: Running, transport: Transport, load: Load
) -> dict[str, Any]:
    return running.measure(Workload(transport, plan.frames), load)


def _too_late(plan: GpuBenchPlan, report: GpuBenchReport, what: str, more_s: float) -> bool:
    left_s = plan.deadline_s - time.monotonic()
    too_late = left_s < plan.one_case_s + more_s
    if too_late:
        report.problems.append(f"{what}: left out, {left_s:.0f} s were left")
    return too_late

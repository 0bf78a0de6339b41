"""The GPU benchmark's order; its figures need the machine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gpu_bench import plan as gpu_plan
from gpu_bench.plan import GpuBenchPlan, GpuBenchReport
from gpu_bench.repository import Setup
from gpu_bench_rows import row
from tridet_bench.frames import Frames
from tridet_bench.loops import Closed, Load
from tridet_bench.worker import Workload

SLOW, FAST, BROKEN = (Setup(count, 1, 1, "cpu") for count in (1, 2, 3))


class FakeRunning:
    """Answers as a server of that setup would, and notes what it was asked."""

    def __init__(self, setup: Setup, asked: list[tuple[str, str, str]]) -> None:
        self.setup = setup
        self.asked = asked

    def measure(self, workload: Workload, load: Load) -> dict[str, Any]:
        self.asked.append((self.setup.label, workload.transport, load.label))
        clients = load.concurrency if isinstance(load, Closed) else 1
        return row(
            self.setup.label, workload.transport, load, 100.0 * self.setup.preprocess * clients
        )


def plan_of(asked: list[tuple[str, str, str]], left_s: float, *setups: Setup) -> GpuBenchPlan:
    @contextmanager
    def serve(setup: Setup) -> Iterator[Any]:
        if setup is BROKEN:
            raise RuntimeError("does not start")
        yield FakeRunning(setup, asked)

    return GpuBenchPlan(
        device="cpu",
        trunk=Path("no-such-trunk.pt"),
        frames=Frames("boards", None),
        setups=setups,
        clients=(1, 4),
        transports=gpu_plan.TRANSPORTS,
        case_s=1.0,
        deadline_s=time.monotonic() + left_s,
        serve=serve,
    )


def test_the_best_setup_is_measured_further_and_what_fails_is_said() -> None:
    asked: list[tuple[str, str, str]] = []
    report, parts = GpuBenchReport(), []
    gpu_plan.run(plan_of(asked, 1000, FAST, BROKEN, SLOW), report, parts.append)
    assert parts == ["ceiling", "setups", "transports"]
    assert report.best_setup == FAST
    assert asked[:2] == [("2/1/1", "auto", "4 at a time"), ("1/1/1", "auto", "4 at a time")]
    assert asked[2:5] == [
        ("2/1/1", "auto", "4 at a time"),
        ("2/1/1", "auto", "1 at a time"),
        ("2/1/1", "auto", "400/s"),
    ]
    assert {transport for _, transport, _ in asked[2:]} == set(gpu_plan.TRANSPORTS)
    ceiling, broken = report.problems
    assert ceiling.startswith("ceiling: RuntimeError")
    assert "setup 3/1/1: RuntimeError: does not start" in broken


def test_what_there_is_no_time_for_is_left_out_and_said() -> None:
    asked: list[tuple[str, str, str]] = []
    report = GpuBenchReport()
    gpu_plan.run(plan_of(asked, 0, SLOW, FAST), report, lambda _part: None)
    assert asked == [("1/1/1", "auto", "4 at a time")]
    assert any(text.startswith("setup 2/1/1: left out") for text in report.problems)
    assert any(text.startswith("encoded, 4 clients: left out") for text in report.problems)

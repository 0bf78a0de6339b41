"""Whether the goals are met."""

from __future__ import annotations

import pytest
from gpu_bench.plan import GpuBenchReport
from gpu_bench.verdict import verdict
from gpu_bench_rows import CEILING, row
from tridet_bench.loops import Closed, Open


@pytest.mark.parametrize(
    ("throughput", "met"), [(810.0, "met"), (809.0, "MISSED")], ids=["enough", "too few"]
)
def test_verdict_asks_for_nine_tenths_of_the_detector(throughput: float, met: str) -> None:
    report = GpuBenchReport(
        ceiling=CEILING, transports=[row("1/1/1", "auto", Closed(4), throughput)]
    )
    assert verdict(report)[0].startswith(f"{met}: ")
    report.gpus = 2
    assert verdict(report)[0].startswith("MISSED: ")


def test_verdict_on_the_tail_counts_refusals_and_missing_percentiles() -> None:
    rows = [row("1/1/1", "fit", Open(400.0), 400.0) for _ in range(4)]
    rows[1]["errors"] = {"Overloaded": 1}
    rows[2]["latency"] = {"p50_ms": 5.0, "p99_ms": None}
    rows[3]["latency"] = {"p50_ms": 5.0, "p99_ms": 25.0}
    report = GpuBenchReport(
        ceiling=CEILING, transports=[row("1/1/1", "auto", Closed(4), 900.0)], half_load=rows
    )
    found = [line.split(":")[0] for line in verdict(report)[1:]]
    assert found == ["met", "MISSED", "MISSED", "MISSED"]


def test_verdict_says_what_it_lacks() -> None:
    assert verdict(GpuBenchReport())[0].startswith("no verdict")

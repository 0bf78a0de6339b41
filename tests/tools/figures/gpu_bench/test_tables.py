"""The report's tables."""

from __future__ import annotations

from gpu_bench.plan import GpuBenchReport
from gpu_bench.tables import cases_table, limits_table
from gpu_bench_rows import CEILING, row
from tridet_bench.loops import Closed


def test_tables_hold_a_share_a_bound_and_what_the_instances_could_do() -> None:
    best = row("2/1/1", "auto", Closed(4), 450.0)
    report = GpuBenchReport(ceiling=CEILING, transports=[best])
    assert "| auto, 4 at a time | 2/1/1 | 450 | 50 |" in cases_table("Cases", [best], report)
    limits = limits_table(report)
    assert limits is not None
    # 800 of 2,040 parts of 500 µs; 1.2288 MB at 10 GB/s; two instances of 500 µs an image.
    assert "| detector: copy in | 196 | 1229 | 123 |  |" in limits
    assert "| preprocess: all | 500 |  |  | 4000 |" in limits
    # What enters the server is the fitted frame, or the whole one.
    assert "| preprocess: copy in | 196 | 691 | 69 |  |" in limits
    report.transports[0]["transport"] = "shm"
    assert "| preprocess: copy in | 196 | 2765 | 276 |  |" in str(limits_table(report))
    assert limits_table(GpuBenchReport()) is None

"""Interleaved rounds over all cases, with the server's statistics and CPU time of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from local_triton import LocalServer
from tridet.server_info import ServerInfo, Snapshot, difference
from tridet_bench.latency import percentile

from bench_pipelines.clients import DETECTORS, PIPELINES, STEPS
from bench_pipelines.cpu_clock import cpu_seconds, process_tree
from bench_pipelines.errors import BenchError
from bench_pipelines.summary import CaseSummary
from bench_pipelines.triton_stats import outside_detector_ms, total
from bench_pipelines.worker import Burst, Worker

MAX_BOX_ERROR_PX = 0.5
"""How far the pipelines' boxes may be apart, in source pixels: they do the same job or none."""

_TIMEOUT_S = 30.0
_PARTS = ("success", "queue", "compute_input", "compute_infer", "compute_output")


class Case(NamedTuple):
    """What is measured at a time."""

    pipeline: str
    size: str
    concurrency: int


@dataclass
class Record:
    """All rounds of one case."""

    bursts: list[Burst] = field(default_factory=list)
    server_cpu_s: list[float] = field(default_factory=list)
    steps: list[Snapshot] = field(default_factory=list)


class MeasuredServer:
    """Asks a running server for its statistics and its CPU time."""

    def __init__(self, server: LocalServer, info: ServerInfo) -> None:
        self.url = server.grpc_url
        self._pids = process_tree(server.pid)
        self._info = info

    def snapshot(self) -> Snapshot:
        """Return the statistics of all models."""
        return self._info.observe().steps

    def cpu_s(self) -> float:
        """Return the CPU seconds of tritonserver and its Python processes so far."""
        return cpu_seconds(self._pids)

    def measure(self, worker: Worker, case: Case, frames: int, record: Record) -> None:
        """Warm up, then add one burst to the record."""
        worker.burst(case.size, case.concurrency, 2 * case.concurrency)
        before, cpu_s = self.snapshot(), self.cpu_s()
        burst = worker.burst(case.size, case.concurrency, frames)
        record.server_cpu_s.append(self.cpu_s() - cpu_s)
        record.steps.append(difference(before, self.snapshot()))
        record.bursts.append(burst)


@contextmanager
def opened(server: LocalServer) -> Iterator[MeasuredServer]:
    """Open and close a ``MeasuredServer``."""
    with ServerInfo(server.grpc_url, None, _TIMEOUT_S) as info:
        yield MeasuredServer(server, info)


def run_cases(
    server: MeasuredServer,
    sizes: Iterable[str],
    concurrencies: Iterable[int],
    pictures: Path,
    *,
    rounds: int,
    frames: int,
    progress: Callable[[Case], None],
) -> dict[Case, Record]:
    """Measure every pipeline in every case; ``frames`` is calls in a burst, ``pictures`` a
    folder that ``write_frames`` filled.

    The pipelines of a size and concurrency follow one another within a round, so that whatever
    slows the machine down for a while slows all of them.

    Raises:
        BenchError: a call failed, or the pipelines do not find the same boxes.
    """
    grid = [(size, concurrency) for size in sizes for concurrency in concurrencies]
    cases = [Case(name, *place) for place in grid for name in PIPELINES]
    records = {case: Record() for case in cases}
    for _ in range(rounds):
        # Fresh processes each round: where a client's megabytes come to lie in memory is luck that
        # lasts as long as the process, and can double its time.
        with ExitStack() as stack:
            workers = {
                name: stack.enter_context(Worker(name, factory, server.url, pictures))
                for name, factory in PIPELINES.items()
            }
            for case in cases:
                progress(case)
                server.measure(workers[case.pipeline], case, frames, records[case])
    check_agreement(records)
    return records


def summarize(case: Case, record: Record) -> CaseSummary:
    """Boil all rounds of a case down."""
    latencies_ms = [[s * 1000 for s in burst.latencies_s] for burst in record.bursts]
    pooled = [ms for burst in latencies_ms for ms in burst]
    steps = total(record.steps)
    called, *parts = STEPS[case.pipeline]
    (detector,) = set(parts) & set(DETECTORS)
    outside_ms, outside_step_ms = outside_detector_ms(steps, called, detector)
    return CaseSummary(
        *case,
        frames=len(pooled),
        p50_ms=percentile(pooled, 50),
        p99_ms=percentile(pooled, 99),
        frames_per_s=median(len(burst.latencies_s) / burst.wall_s for burst in record.bursts),
        outside_ms=outside_ms,
        outside_step_ms=outside_step_ms,
        client_cpu_ms=sum(burst.cpu_s for burst in record.bursts) / len(pooled) * 1000,
        server_cpu_ms=sum(record.server_cpu_s) / len(pooled) * 1000,
        round_p50_ms=tuple(percentile(burst, 50) for burst in latencies_ms),
        steps={name: {part: steps[name].ms(part) for part in _PARTS} for name in parts},
    )


def farthest_px(boxes: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> float:
    """Return how far a box's side is at most from the same side of the nearest expected box."""
    if not len(boxes):
        return 0.0
    apart = np.abs(boxes[:, None] - expected[None]).max(axis=2)
    # Both ways: each box is an expected one, and each expected one was found.
    return float(max(apart.min(axis=1).max(), apart.min(axis=0).max()))


def check_agreement(records: dict[Case, Record]) -> None:
    """Raise BenchError unless all pipelines found the same boxes in frames of one size."""
    reference: dict[str, npt.NDArray[np.float32]] = {}
    for case, record in records.items():
        for burst in record.bursts:
            expected = reference.setdefault(case.size, burst.boxes)
            if burst.boxes.shape != expected.shape:
                raise BenchError(
                    f"{case.pipeline}, {case.size}: expected {len(expected)} boxes as the other "
                    f"pipelines found, got {len(burst.boxes)}"
                )
            apart = farthest_px(burst.boxes, expected)
            if apart > MAX_BOX_ERROR_PX:
                raise BenchError(
                    f"{case.pipeline}, {case.size}: expected boxes within {MAX_BOX_ERROR_PX} px of "
                    f"the other pipelines', got {apart:.2f} px"
                )

"""From measurements to statements: ratios and the targets. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

AUTO = "tridet auto"
RAW = "tridet raw"
NAIVE = "naive"

# Targets of the project; see docs/measurements/pipeline.md.
MAX_RATIO_TO_NAIVE = 0.12
MAX_AUTO_MS = 4.5
MAX_OUTSIDE_MS = 2.5
MAX_GROWTH_TO_4K = 1.4
MIN_OF_BARE = 0.95


def ratio_of_rounds(measured: Sequence[float], reference: Sequence[float]) -> float:
    """Return the median over rounds of measured / reference.

    Both of a round ran within seconds of each other, so a slow minute of the machine cancels out.
    """
    return median(a / b for a, b in zip(measured, reference, strict=True))


@dataclass(frozen=True)
class Target:
    """One target and what was measured."""

    name: str
    limit: float
    measured: float
    unit: str = ""
    at_least: bool = False
    """Whether the limit is the least that is wanted; the most otherwise."""

    @property
    def met(self) -> bool:
        """Whether the measurement is on the wanted side of the limit."""
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit

    @property
    def verdict(self) -> str:
        """``met`` or ``missed``, and the distance from the limit in percent of it."""
        distance = abs(self.measured / self.limit - 1) * 100
        return f"{'met' if self.met else 'missed'} by {distance:.0f}%"


@dataclass(frozen=True)
class CaseSummary:
    """One case in the numbers that tables and targets need; all times in milliseconds."""

    pipeline: str
    size: str
    concurrency: int
    frames: int
    p50_ms: float
    p99_ms: float
    frames_per_s: float
    outside_ms: float
    """Server time outside the detector's inference."""
    outside_step_ms: float
    """The same without the detector step's own queue and copies."""
    client_cpu_ms: float
    """CPU time of the client process for one frame."""
    server_cpu_ms: float
    """CPU time of tritonserver and its Python processes for one frame."""
    round_p50_ms: tuple[float, ...]
    steps: Mapping[str, Mapping[str, float]]
    """Model to its ms per request in all, queue, compute_input, compute_infer, compute_output."""


def targets(cases: Sequence[CaseSummary]) -> list[Target]:
    """Return those targets of the stub part whose cases were measured (concurrency 1)."""
    alone = {(case.pipeline, case.size): case for case in cases if case.concurrency == 1}
    found = []
    auto, naive = alone.get((AUTO, "1080p")), alone.get((NAIVE, "1080p"))
    if auto and naive:
        ratio = ratio_of_rounds(auto.round_p50_ms, naive.round_p50_ms)
        found.append(Target("auto / naive, 1080p, p50", MAX_RATIO_TO_NAIVE, ratio))
    if auto:
        found.append(Target("auto, 1080p, p50", MAX_AUTO_MS, auto.p50_ms, "ms"))
    for pipeline in (AUTO, RAW):
        if case := alone.get((pipeline, "720p")):
            name = f"server outside the detector, 720p, {pipeline.removeprefix('tridet ')}"
            found.append(Target(name, MAX_OUTSIDE_MS, case.outside_ms, "ms"))
            found.append(
                Target(
                    f"{name}, without its queue and copies",
                    MAX_OUTSIDE_MS,
                    case.outside_step_ms,
                    "ms",
                )
            )
    small, large = alone.get((AUTO, "720p")), alone.get((AUTO, "4K"))
    if small and large:
        growth = ratio_of_rounds(large.round_p50_ms, small.round_p50_ms)
        found.append(Target("auto, 4K / 720p, p50", MAX_GROWTH_TO_4K, growth))
    return found


@dataclass(frozen=True)
class RealSummary:
    """The real detector at one concurrency."""

    concurrency: int
    pipeline_fps: float
    """Frames/s through the server."""
    bare_fps: float
    """Images/s of bare ONNX Runtime with batches of ``bare_batch``."""
    bare_batch: int
    ratio: float
    """pipeline / bare, median of the rounds."""
    mean_batch: float
    """Images that the server's detector had in one execution."""
    p50_ms: float
    p99_ms: float


def real_target(rows: Sequence[RealSummary]) -> Target:
    """Return the target of the real part: the best of the pipeline beside the best of bare ORT."""
    ratio = max(row.pipeline_fps for row in rows) / max(row.bare_fps for row in rows)
    name = "best pipeline / best bare ONNX Runtime, frames/s"
    return Target(name, MIN_OF_BARE, ratio, at_least=True)

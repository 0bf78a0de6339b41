"""NVIDIA's perf_analyzer on the same load, for a cross-check. It sends frames of zeros."""

from __future__ import annotations

import csv
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tridet.exceptions import TridetError
from tridet.processing.contract import IMAGE

from tridet_bench.cases import Result
from tridet_bench.loops import Closed
from tridet_bench.worker import Target

NAME = "perf_analyzer"
# Those that send every pixel, which is all that perf_analyzer can do.
TRANSPORTS = {"raw": "none", "shm": "system"}
_RATE_COLUMN = "Inferences/Second"
_PERCENTILES = {"p50 latency": "p50_ms", "p90 latency": "p90_ms", "p99 latency": "p99_ms"}
# It measures up to ten windows until three agree.
_MOST_WINDOWS = 10
_GRACE_S = 60.0


@dataclass(frozen=True, slots=True)
class CrossCheck:
    """What perf_analyzer found where we found ``throughput`` and ``p50_ms``."""

    case: str
    throughput: float
    p50_ms: float | None
    theirs_throughput: float
    theirs_p50_ms: float
    theirs_p90_ms: float
    theirs_p99_ms: float


def command_of(
    program: Path, target: Target, result: Result, duration_s: float, report: Path
) -> list[str] | None:
    """Return the command line for the load of a result; None if perf_analyzer cannot make it."""
    case = result.case
    if case.workload.transport not in TRANSPORTS or case.workload.frames.size is None:
        return None
    width, height = case.workload.frames.size
    load = (
        ["--concurrency-range", str(case.load.concurrency)]
        if isinstance(case.load, Closed)
        else [
            "--request-rate-range",
            f"{case.load.rate:g}",
            "--request-distribution",
            "poisson",
        ]
    )
    return [
        str(program),
        *("-m", target.model),
        *("-u", target.url),
        *("-i", "grpc"),
        *("-b", "1"),
        *("--shape", f"{IMAGE}:{height},{width},3"),
        *("--input-data", "zero"),
        *("--shared-memory", TRANSPORTS[case.workload.transport]),
        *load,
        *("--measurement-interval", str(int(duration_s * 1000))),
        *("--max-trials", str(_MOST_WINDOWS)),
        *("--percentile", "50"),
        *("-f", str(report)),
    ]


def figures_from_csv(text: str) -> dict[str, float]:
    """Read the report of one load: ``throughput`` and ``p50_ms``, ``p90_ms``, ``p99_ms``.

    Raises:
        TridetError: it is not what perf_analyzer is documented to write.
    """
    rows = list(csv.DictReader(text.splitlines()))
    try:
        (row,) = [row for row in rows if row.get(_RATE_COLUMN)]
        return {
            "throughput": float(row[_RATE_COLUMN]),
            # It counts in microseconds.
            **{name: float(row[column]) / 1e3 for column, name in _PERCENTILES.items()},
        }
    except (KeyError, ValueError):
        raise TridetError(
            f"{NAME}: expected a report of one row with {_RATE_COLUMN}, "
            f"{', '.join(_PERCENTILES)}, got {text[:80]!r}"
        ) from None


def cross_check(
    program: Path, target: Target, result: Result, duration_s: float
) -> CrossCheck | None:
    """Run perf_analyzer on the load of a result; None if it cannot make that load.

    Raises:
        TridetError: it failed.
    """
    with tempfile.TemporaryDirectory(prefix="tridet-bench-") as folder:
        report = Path(folder) / "report.csv"
        command = command_of(program, target, result, duration_s, report)
        if command is None:
            return None
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=duration_s * _MOST_WINDOWS + _GRACE_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise TridetError(f"{NAME}: no result after {error.timeout:.0f} s") from None
        except OSError as error:
            raise TridetError(f"{program}: {error.strerror or error}") from error
        if done.returncode or not report.is_file():
            last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no message"]
            raise TridetError(f"{NAME} failed ({done.returncode}): {last[0]}")
        figures = figures_from_csv(report.read_text(encoding="utf-8"))
    return CrossCheck(
        case=result.case.label,
        throughput=result.throughput,
        p50_ms=result.latency.p50_ms,
        **{f"theirs_{name}": value for name, value in figures.items()},
    )

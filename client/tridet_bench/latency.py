"""Percentiles and a histogram of latencies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tridet_bench.samples import FloatArray

_BINS_PER_DECADE = 20


@dataclass(frozen=True, slots=True)
class Latency:
    """Latencies in milliseconds; None where there are too few requests to tell."""

    min_ms: float | None
    mean_ms: float | None
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    p999_ms: float | None
    max_ms: float | None


def latency_of(seconds: FloatArray) -> Latency:
    """Sum up float64 [n]."""
    if not len(seconds):
        return Latency(None, None, None, None, None, None, None)
    return Latency(
        min_ms=float(seconds.min() * 1e3),
        mean_ms=float(seconds.mean() * 1e3),
        p50_ms=percentile_ms(seconds, 50),
        p90_ms=percentile_ms(seconds, 90),
        p99_ms=percentile_ms(seconds, 99),
        p999_ms=percentile_ms(seconds, 99.9),
        max_ms=float(seconds.max() * 1e3),
    )


def percentile_ms(seconds: FloatArray, percent: float) -> float | None:
    """Return the least value that ``percent`` % of the values do not exceed, in milliseconds.

    None unless there is a value beyond it: p99 takes 100 requests, p99.9 takes 1,000.
    """
    beyond = len(seconds) * (100 - percent) / 100
    # A hair less than 1 is 1: 0.1 % of 1,000 in binary.
    return percentile(seconds, percent) * 1e3 if beyond > 0.999999 else None


def percentile(values: Sequence[float] | FloatArray, percent: float) -> float:
    """Return the least of the values that ``percent`` % of them do not exceed.

    Raises:
        ValueError: no values, or not 0 to 100 percent.
    """
    if not len(values) or not 0 <= percent <= 100:
        raise ValueError(f"expected values and 0 to 100 percent, got {len(values)} and {percent}")
    # A hair less: 99.9 % of 41,000 are a little more than 40,959 in binary.
    return float(np.percentile(values, percent * (1 - 1e-12), method="inverted_cdf"))


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts in bins whose edges are 20 to the decade: the same for all runs, so they add up."""

    edges_ms: tuple[float, ...]
    """One more than there are counts; a bin holds its lower edge, not its upper one."""
    counts: tuple[int, ...]


def histogram_of(seconds: FloatArray) -> Histogram:
    """Count float64 [n] > 0."""
    if not len(seconds):
        return Histogram((), ())
    bins = np.floor(np.log10(seconds * 1e3) * _BINS_PER_DECADE).astype(np.int64)
    first = int(bins.min())
    counts = np.bincount(bins - first)
    edges = [10 ** (number / _BINS_PER_DECADE) for number in range(first, first + len(counts) + 1)]
    return Histogram(tuple(_rounded(edge) for edge in edges), tuple(counts.tolist()))


def _rounded(value: float) -> float:
    return round(value, 5 - math.floor(math.log10(value)))

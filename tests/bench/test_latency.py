"""Percentiles and histograms of known numbers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tridet_bench.latency import histogram_of, latency_of, percentile, percentile_ms


def test_percentiles_of_known_numbers():
    seconds = np.random.default_rng(0).permutation(np.arange(1, 1001)) / 1e3
    found = latency_of(seconds)
    assert dataclasses.astuple(found) == pytest.approx((1, 500.5, 500, 900, 990, 999, 1000))


def test_percentile_is_a_measured_value() -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert [percentile(values, percent) for percent in (0, 50, 99, 100)] == [1, 50, 99, 100]
    assert percentile([7.0], 99) == 7
    for values, percent in (([], 50), ([1.0], 101)):
        with pytest.raises(ValueError, match="expected values"):
            percentile(values, percent)


def test_a_rank_that_is_not_exact_in_binary():
    # 41,000 x 99.9 / 100 is 40,959.000000000007.
    assert percentile_ms(np.arange(1, 41_001) / 1e3, 99.9) == 40_959


def test_too_few_requests_have_no_high_percentiles():
    assert percentile_ms(np.ones(99), 99) is None
    assert percentile_ms(np.ones(100), 99) == 1000
    assert percentile_ms(np.ones(999), 99.9) is None
    assert percentile_ms(np.ones(1000), 99.9) == 1000
    assert percentile_ms(np.ones(1), 50) is None
    assert percentile_ms(np.array([3.0, 1.0, 2.0]), 50) == 2000
    assert latency_of(np.array([])).max_ms is None


@given(st.lists(st.floats(1e-5, 1e3), min_size=1, max_size=200))
def test_the_histogram_holds_every_value_in_its_bin(values):
    seconds = np.array(values)
    found = histogram_of(seconds)
    assert sum(found.counts) == len(values)
    assert len(found.edges_ms) == len(found.counts) + 1
    counts, _ = np.histogram(seconds * 1e3, found.edges_ms)
    # Only values at an edge, which is rounded, may fall beside it.
    assert np.abs(np.cumsum(counts) - np.cumsum(found.counts)).max() <= sum(
        bool(np.isclose(value * 1e3, found.edges_ms, rtol=1e-4).any()) for value in values
    )


def test_histograms_of_different_runs_share_their_edges():
    first, second = histogram_of(np.array([0.010])), histogram_of(np.array([0.0101, 0.2]))
    assert first.edges_ms == second.edges_ms[:2]
    assert histogram_of(np.array([])).counts == ()

"""The search for the knee, on queues whose knee is known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from simulated_time import md_c_latencies
from tridet_bench.knee import Point, fault_of, find_knee


def md_c(service_s: float, servers: int, duration_s: float = 30):
    seeds = iter(range(1000))

    def measure(rate: float) -> Point:
        latencies, last = md_c_latencies(rate, service_s, servers, duration_s, next(seeds))
        p50_s, p99_s = np.percentile(latencies, [50, 99])
        kept_up = duration_s / max(duration_s, last - latencies.min())
        achieved = len(latencies) / max(duration_s, last)
        return Point(rate, achieved, p50_s * 1e3, p99_s * 1e3, 0.0, kept_up)

    return measure


@pytest.mark.parametrize("servers", [1, 2, 4])
def test_the_knee_of_an_m_d_c_queue(servers):
    service_s, limit_ms = 0.010, 50.0
    capacity = servers / service_s
    knee = find_knee(md_c(service_s, servers), capacity / 30, limit_ms)
    # The truth, from runs that are far longer.
    shares = np.linspace(0.5, 1, 26)
    p99_ms = [md_c(service_s, servers, 300)(share * capacity).p99_ms for share in shares]
    truth = capacity * shares[np.searchsorted(p99_ms, limit_ms) - 1]
    assert truth / 1.25 < knee.sustained.offered < truth * 1.1
    assert knee.sustained.p99_ms <= limit_ms
    assert knee.sustained.offered < knee.failed.offered <= 1.15 * knee.sustained.offered
    assert knee.reason == "p99"
    assert len(knee.points) < 20


def test_without_a_limit_in_the_way_the_backlog_shows():
    knee = find_knee(md_c(0.010, 1), 3.0, limit_ms=1e9)
    assert knee.reason == "backlog"
    assert 80 < knee.sustained.offered < 115


def test_errors_end_the_search_too():
    def measure(rate: float) -> Point:
        return Point(rate, rate, 1.0, 2.0, 0.5 if rate > 100 else 0.0, 1.0)

    knee = find_knee(measure, 10, 50)
    assert (knee.reason, knee.limit_ms) == ("errors", 50)
    assert 100 / 1.15 < knee.sustained.offered <= 100 < knee.failed.offered


def test_a_slow_moment_is_not_the_limit():
    slow = iter([False, True, False] + [False] * 100)

    def measure(rate: float) -> Point:
        bad = next(slow) or rate > 100
        return Point(rate, rate, 1.0, 999.0 if bad else 2.0, 0.0, 1.0)

    knee = find_knee(measure, 10, 50)
    assert knee.sustained.offered > 100 / 1.15


def test_a_start_that_is_too_high_is_lowered():
    knee = find_knee(lambda r: Point(r, r, 1.0, 99.0 if r > 5 else 1.0, 0.0, 1.0), 20, 50)
    assert 5 / 1.15 < knee.sustained.offered <= 5


def test_a_server_that_is_never_good_or_never_bad():
    never = find_knee(lambda r: Point(r, r, 99.0, 99.0, 0.0, 1.0), 20, 50)
    assert never.sustained is None and never.reason == "p99" and len(never.points) <= 10
    always = find_knee(lambda r: Point(r, r, 1.0, 1.0, 0.0, 1.0), 20, 50)
    assert always.failed is None and always.reason == "" and len(always.points) <= 17


def test_a_late_generator_is_not_blamed_on_the_server():
    point = Point(100, 60, 80.0, 90.0, 0.0, 1.0, generator_limited=True, late_ms=70)
    assert fault_of(point, 50) == "client"
    assert fault_of(dataclasses.replace(point, late_ms=1), 50) == "p99"
    assert fault_of(dataclasses.replace(point, p99_ms=20.0), 50) == ""

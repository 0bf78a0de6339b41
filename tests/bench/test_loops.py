"""When ``tridet bench`` sends, and what it counts, in simulated time."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from simulated_time import SimulatedLoop, run_simulated
from tridet.exceptions import Overloaded, ServerUnreachable
from tridet_bench.loops import (
    MOST_UNDER_WAY,
    Closed,
    Open,
    Spent,
    closed_loop,
    open_loop,
    poisson_moments,
)
from tridet_bench.samples import Recorder, Samples

SERVICE_S = 0.002
STALL_S = 1.0


class OneAtATime:
    """A server that serves one request after the other, and once stops for a while."""

    def __init__(self, stalled: int | None = None) -> None:
        self.numbers: list[int] = []
        self.most_under_way = 0
        self._under_way = 0
        self._lock = asyncio.Lock()
        self._stalled = stalled

    async def __call__(self, number: int) -> Spent:
        self.numbers.append(number)
        self._under_way += 1
        self.most_under_way = max(self.most_under_way, self._under_way)
        async with self._lock:
            await asyncio.sleep(STALL_S if number == self._stalled else SERVICE_S)
        self._under_way -= 1
        return Spent(0.0, SERVICE_S)


def closed(concurrency: int, duration_s: float, server: OneAtATime) -> Samples:
    recorder = Recorder()
    run_simulated(closed_loop(concurrency, 0.1, duration_s, server, recorder), SimulatedLoop())
    return recorder.samples()


def opened(moments: np.ndarray, server: OneAtATime) -> Samples:
    recorder = Recorder()
    run_simulated(open_loop(moments, 0.1, server, recorder), SimulatedLoop())
    return recorder.samples()


def test_poisson_moments():
    rng = np.random.default_rng(7)
    moments = poisson_moments(200, 100, rng)
    assert (np.diff(moments) >= 0).all() and moments[0] >= 0 and moments[-1] < 100
    # The count has the standard deviation sqrt(20,000) = 141, and the gaps are exponential: their
    # deviation is their mean, and a share of 1/e is longer than that.
    assert len(moments) == pytest.approx(20_000, abs=600)
    gaps = np.diff(moments)
    assert gaps.mean() == pytest.approx(1 / 200, rel=0.03)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)
    assert (gaps > gaps.mean()).mean() == pytest.approx(np.exp(-1), abs=0.02)
    assert not np.array_equal(moments, poisson_moments(200, 100, rng)[: len(moments)])
    assert len(poisson_moments(1e-6, 1, rng)) == 0


def test_an_open_loop_sends_at_the_moments_that_are_meant():
    moments = np.array([0.0, 0.25, 0.2500001, 1.5])
    samples = opened(moments, OneAtATime())
    np.testing.assert_allclose(samples.answered[:, 0], 0.1 + moments)
    np.testing.assert_allclose(samples.answered[:, 1], 0.1 + moments, atol=1e-9)
    np.testing.assert_allclose(samples.late_s, 0, atol=1e-9)
    # The third comes while the second is served.
    np.testing.assert_allclose(samples.latency_s * 1e3, [2, 2, 4, 2], atol=0.01)


def test_a_closed_loop_keeps_so_many_under_way():
    server = OneAtATime()
    samples = closed(3, 1.0, server)
    assert server.most_under_way == 3
    assert sorted(server.numbers) == list(range(len(samples.answered)))
    # One server of 2 ms: 500 a second, each of which waits for the two before it.
    assert len(samples.answered) == pytest.approx(500, abs=4)
    assert np.median(samples.latency_s) == pytest.approx(3 * SERVICE_S)
    assert not len(samples.late_s)


def test_a_stall_shows_in_the_open_loop_and_not_in_the_closed_one():
    # Coordinated omission: a closed loop sends nothing while the server stalls.
    naive = closed(1, 10.0, OneAtATime(stalled=100))
    honest = opened(np.arange(0, 10, 0.01), OneAtATime(stalled=100))
    assert np.percentile(naive.latency_s, 99) == pytest.approx(SERVICE_S)
    assert (naive.latency_s > 0.1).sum() == 1
    # 100 were to be sent during the stall, and as many waited for those.
    assert (honest.latency_s > 0.1).sum() > 90
    assert np.percentile(honest.latency_s, 99) > 0.9 * STALL_S


def test_time_counts_from_the_moment_that_was_meant_even_if_the_generator_is_late():
    loop = SimulatedLoop()
    recorder = Recorder()

    async def send(number: int) -> Spent:
        if number == 10:
            loop.pass_time(STALL_S)  # as a long garbage collection, or other programs, would
        return Spent(0.0, 0.0)

    run_simulated(open_loop(np.arange(0, 5, 0.01), 0.0, send, recorder), loop)
    samples = recorder.samples()
    assert (samples.latency_s > 0.1).sum() > 80
    assert (samples.service_s > 0.1).sum() == 1
    assert samples.late_s.max() > 0.9 * STALL_S


def test_errors_are_counted_by_kind_and_the_loop_goes_on():
    recorder = Recorder()

    async def send(number: int) -> Spent:
        await asyncio.sleep(SERVICE_S)
        if number % 4 == 0:
            raise Overloaded(f"full at {number}")
        return Spent(0.0, 0.0)

    run_simulated(open_loop(np.arange(0, 1, 0.01), 0.0, send, recorder), SimulatedLoop())
    samples = recorder.samples()
    assert samples.errors == {"Overloaded": 25} and samples.failed == 25
    assert samples.messages == {"Overloaded": "full at 0"}
    assert len(samples.answered) == 75 and len(samples.late_s) == 100
    assert samples.fatal is None


@pytest.mark.parametrize("kind", ["open", "closed"])
def test_a_server_that_is_gone_ends_the_loop(kind):
    recorder = Recorder()

    async def send(number: int) -> Spent:
        await asyncio.sleep(SERVICE_S)
        if number >= 10:
            raise ServerUnreachable("no server answers")
        return Spent(0.0, 0.0)

    loop = SimulatedLoop()
    if kind == "open":
        main = open_loop(np.arange(0, 1000, 0.01), 0.0, send, recorder)
    else:
        main = closed_loop(2, 0.0, 1000.0, send, recorder)
    run_simulated(main, loop)
    samples = recorder.samples()
    assert samples.fatal == "no server answers"
    assert len(samples.answered) == 10 and 1 <= samples.failed <= 2
    assert loop.time() < 1


def test_a_server_that_answers_nothing_does_not_fill_the_memory():
    recorder = Recorder()

    async def send(_number: int) -> Spent:
        await asyncio.sleep(100)
        return Spent(0.0, 0.0)

    moments = np.linspace(0, 1, MOST_UNDER_WAY + 7)
    run_simulated(open_loop(moments, 0.0, send, recorder), SimulatedLoop())
    samples = recorder.samples()
    assert samples.errors == {"NotSent": 7}
    assert len(samples.answered) == MOST_UNDER_WAY


def test_the_shares_of_processes_add_up():
    shares = [Closed(7).share(part, 3).concurrency for part in range(3)]
    assert shares == [3, 2, 2]
    assert sum(Open(10.0).share(part, 4).rate for part in range(4)) == 10.0

"""How long to wait before the next attempt to connect."""

from __future__ import annotations

from tridet.streaming.backoff import Backoff


def test_delays_double_up_to_the_cap_and_start_over_after_a_good_time():
    backoff = Backoff(0.5, 30, good_after_s=10, jitter=lambda: 1.0)
    assert [backoff.next_delay_s() for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    backoff.held(9.9)
    assert backoff.next_delay_s() == 30
    backoff.held(10)
    assert backoff.next_delay_s() == 0.5
    assert Backoff(jitter=lambda: 0.25).next_delay_s() == 0.125

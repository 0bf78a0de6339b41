"""The states of a source."""

from __future__ import annotations

from tridet.streaming.stats import SourceStats, State


def test_a_stall_is_seen_when_it_lasts():
    now = 100.0
    stats = SourceStats("cam", clock=lambda: now)
    stats.enter(State.LIVE)
    stats.expect_within(2)
    now = 101.9
    assert stats.state is State.LIVE
    now = 103.2
    assert (stats.state, stats.reason) == (State.STALLED, "no frame for 3 s")
    assert stats.snapshot().state == "stalled"
    stats.received()
    assert (stats.state, stats.reason) == (State.LIVE, "")
    # Between two frames that are handed over nothing is expected: the reader may be the slow one.
    now = 200.0
    assert stats.state is State.LIVE

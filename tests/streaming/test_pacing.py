"""What is read faster than it plays, at its own pace."""

from __future__ import annotations

import pytest
from tridet.streaming.pacing import Pacer


def slept(times, **options) -> list[float]:
    """Return the pauses before frames of these times, which take no time themselves."""
    now, pauses = [100.0], []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        now[0] += seconds

    pacer = Pacer(clock=lambda: now[0], sleep=sleep, **options)
    for time_s in times:
        pacer.wait(time_s)
    return pauses


def test_frames_pass_when_they_are_due():
    assert slept([50.0, 50.04, 50.5, 3650.5]) == pytest.approx([0, 0.04, 0.46, 3600])


def test_behind_a_pause_that_is_cut_short_the_pace_is_the_same():
    pauses = slept([0.0, 0.5, 100.0, 100.5], longest_pause_s=1.0)
    assert pauses == pytest.approx([0, 0.5, 1.0, 0.5])

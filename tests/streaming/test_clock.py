"""The times of frames: the stream's own where they make sense, and one clock whatever happens."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tridet.streaming.clock import FrameClock, Timing

FILE = Timing(0.04, 30 * 3600.0)
TS_FILE = Timing(0.04, 10.0)
CAMERA = Timing(None, 10.0)

maybe_times = st.none() | st.floats(-1e6, 1e6)


def times(timing: Timing, pts, dts=None, arrivals=None) -> list[float]:
    clock = FrameClock()
    clock.begin(timing)
    dts = dts or [None] * len(pts)
    arrivals = arrivals or [2.0 * index for index in range(len(pts))]
    return [clock.at(*one) for one in zip(pts, dts, arrivals, strict=True)]


def test_times_are_the_sources_own_where_they_make_sense():
    pts = [5.0, 5.5, 6.0, 0.1, 0.2, 900.0, 900.25, None, 900.5]
    # Back to 0.1, ahead to 900 and without any, the step is that of the capture: 2 s.
    assert times(CAMERA, pts) == pytest.approx([5, 5.5, 6.0, 8.0, 8.1, 10.1, 10.35, 12.35, 14.35])


def test_a_file_without_times_goes_by_its_frame_rate():
    clock = FrameClock()
    clock.begin(FILE)
    assert [clock.at(None, None, 0.0) for _ in range(4)] == pytest.approx([0, 0.04, 0.08, 0.12])
    assert clock.name == "frame rate"


def test_a_camera_without_times_goes_by_their_arrival():
    clock = FrameClock()
    clock.begin(CAMERA)
    assert [clock.at(None, None, moment) for moment in (7.0, 7.5, 9.0)] == pytest.approx(
        [0, 0.5, 2.0]
    )
    assert clock.name == "arrival"


def test_a_pause_in_a_file_is_a_pause_and_in_a_broadcast_a_jump():
    assert times(FILE, [0.0, 7200.0, 7200.5]) == [0.0, 7200.0, 7200.5]
    assert times(TS_FILE, [0.0, 7200.0, 7200.5]) == pytest.approx([0, 0.04, 0.54])


def test_recordings_put_one_behind_the_other_go_on():
    pts = [100.0, 100.04, 5.0, 5.04, 100.0, 100.04]
    assert times(TS_FILE, pts) == pytest.approx([100.0, 100.04, 100.08, 100.12, 100.16, 100.20])


def test_times_that_stand_still_go_by_the_frame_rate():
    assert times(FILE, [3.0] * 50) == pytest.approx([3 + 0.04 * index for index in range(50)])


def test_a_time_given_twice_shifts_nothing():
    pts = [0.0, 0.04, 0.04, 0.12, 0.16]
    assert times(FILE, pts) == pytest.approx([0.0, 0.04, 0.08, 0.12, 0.16])


def test_times_in_the_order_of_decoding_are_not_taken_for_those_of_presentation():
    pts = [0.1, 0.3, 0.4, 0.2, 0.7, 0.6, 0.8, 0.5, 1.0, 0.9]
    dts = [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1]
    assert times(FILE, pts, dts)[1:] == pytest.approx(dts[1:])


def test_a_new_connection_goes_on():
    clock = FrameClock()
    clock.begin(CAMERA)
    assert clock.at(1000.0, None, 0.0) == 1000.0
    clock.begin(CAMERA)
    assert clock.at(0.0, None, 3.0) == 1003.0
    assert clock.at(0.04, None, 3.9) == pytest.approx(1003.04)


@given(
    st.sampled_from([FILE, TS_FILE, CAMERA]),
    st.lists(st.tuples(maybe_times, maybe_times), max_size=40),
)
def test_no_frame_comes_before_or_with_another(timing, stamps):
    found = times(timing, [pts for pts, _ in stamps], [dts for _, dts in stamps])
    assert all(earlier < later for earlier, later in pairwise(found))

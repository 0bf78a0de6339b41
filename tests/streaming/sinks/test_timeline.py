"""When frames were taken."""

from __future__ import annotations

from dataclasses import replace

import pytest
from stream_results import made_up
from tridet.streaming.sinks.timeline import Timeline


def test_times_are_the_sources_own_where_they_make_sense():
    timeline = Timeline()
    pts = [5.0, 5.5, 6.0, 0.1, 0.2, 900.0, 900.25, None, 900.5]
    times = [
        timeline.at(replace(made_up(i, captured_s=2.0 * i).frame, pts_s=pts_s))
        for i, pts_s in enumerate(pts)
    ]
    # Back to 0.1, ahead to 900 and without any, the step is that of the capture: 2 s.
    assert times == pytest.approx([0, 0.5, 1.0, 3.0, 3.1, 5.1, 5.35, 7.35, 9.35])
    same = made_up(1, captured_s=7.0).frame
    assert timeline.at(same) < timeline.at(same) < timeline.at(same)

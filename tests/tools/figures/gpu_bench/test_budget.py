"""The picture of where the time goes."""

from __future__ import annotations

import cv2
import numpy as np
from gpu_bench.budget import bars_of
from gpu_bench_rows import row
from tridet_bench.budget import SEGMENTS
from tridet_bench.loops import Closed, Open
from tridet_bench.picture import draw_bars


def test_the_picture_has_a_bar_for_each_case_that_has_a_budget() -> None:
    budget = dict.fromkeys(SEGMENTS, 1.0)
    cases = [row("1/1/1", "fit", Closed(4), 400.0), row("1/1/1", "shm", Closed(4), 0.0)]
    report = {
        "transports": [{**cases[0], "budget_ms": budget}, {**cases[1], "budget_ms": {}}],
        "half_load": [{**row("1/1/1", "fit", Open(200.0), 200.0), "budget_ms": budget}],
    }
    bars = bars_of(report)
    assert bars == [("fit, 4 at a time", budget), ("fit, 200/s", budget)]
    svg, png = draw_bars(bars, "pcb")
    assert b"fit, 4 at a time" in svg
    assert cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR) is not None

"""The agreement of the pipelines; never their timings."""

import numpy as np
import pytest
from bench_pipelines.errors import BenchError
from bench_pipelines.measure import Case, Record, check_agreement, farthest_px
from bench_pipelines.worker import Burst


def test_pipelines_that_disagree_are_an_error() -> None:
    boxes = np.array([[0, 0, 10, 10], [20, 20, 40, 50]], np.float32)
    assert farthest_px(boxes[::-1], boxes) == 0
    assert farthest_px(boxes[:1], boxes) == 40
    record = Record(bursts=[Burst([0.1], 0.1, 0.1, boxes)])
    shifted = Record(bursts=[Burst([0.1], 0.1, 0.1, boxes + np.float32(0.6))])
    fewer = Record(bursts=[Burst([0.1], 0.1, 0.1, boxes[:1])])
    here, there = Case("naive", "720p", 1), Case("tridet raw", "720p", 1)
    check_agreement({here: record, there: record})
    with pytest.raises(BenchError, match=r"tridet raw, 720p: expected boxes within 0.5 px"):
        check_agreement({here: record, there: shifted})
    with pytest.raises(BenchError, match="expected 2 boxes as the other pipelines found, got 1"):
        check_agreement({here: record, there: fewer})

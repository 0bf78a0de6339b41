"""The samples of several processes, as those of one."""

from __future__ import annotations

from tridet.exceptions import Overloaded
from tridet_bench.samples import Recorder, merged


def test_merged():
    parts = []
    for number in range(2):
        recorder = Recorder()
        recorder.late(0.5)
        recorder.answered(0, 1, 2, 3, 4 + number)
        recorder.failed(Overloaded(f"full {number}"))
        parts.append(recorder.samples())
    both = merged(parts)
    assert both.call_s.tolist() == [4, 5]
    assert both.late_s.tolist() == [0.5, 0.5]
    assert both.errors == {"Overloaded": 2}
    assert both.messages == {"Overloaded": "full 0"}

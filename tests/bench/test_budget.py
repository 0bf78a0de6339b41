"""Where the time of a frame goes, from constructed statistics and samples."""

from __future__ import annotations

import dataclasses

import pytest
from bench_steps import DET, PRE, STEPS, SUP, step_time
from hypothesis import given
from hypothesis import strategies as st
from tridet_bench.budget import SEGMENTS, ServerBudget, budget_of, server_budget
from tridet_bench.samples import Recorder, Samples
from tridet_bench.server import DETECTOR, NMS, PREPROCESS


def samples_of(*rows: tuple[float, ...]) -> Samples:
    recorder = Recorder()
    for row in rows:
        recorder.answered(*row)
    return recorder.samples()


def test_the_budget_names_each_part():
    done = {
        "pcb": step_time(10, total=20),
        PRE.model: step_time(10, queue=1, work=2),
        DET.model: step_time(10, queue=3, work=8),
        SUP.model: step_time(10, queue=0.5, work=1.5),
    }
    server = server_budget(STEPS, done, "pcb")
    assert server == ServerBudget(20, 4.5, {PREPROCESS: 2, DETECTOR: 8, NMS: 1.5}, 10)
    # Meant at 0, sent 5 ms later, done at 40 ms: 4 ms to prepare, 28 ms in the call.
    budget = budget_of(samples_of((0, 0.005, 0.040, 0.004, 0.028)), server)
    assert budget == pytest.approx(
        {
            "late": 5,
            "prepare": 4,
            "client": 3,
            "wire": 8,
            "preprocess": 2,
            "queue": 4.5,
            "detector": 8,
            "nms": 1.5,
            "other": 4,
        }
    )


def test_a_groups_detectors_work_side_by_side():
    steps = (PRE, DET, dataclasses.replace(DET, model="ocr_detector"), SUP)
    done = {
        "both": step_time(10, total=30),
        PRE.model: step_time(10, work=2),
        DET.model: step_time(10, queue=1, work=5),
        "ocr_detector": step_time(10, queue=4, work=9),
        SUP.model: step_time(20, queue=0.5, work=1),  # once for each member
    }
    for order in (steps, (steps[0], steps[2], steps[1], steps[3])):
        found = server_budget(order, done, "both")
        assert found.work_ms == pytest.approx({PREPROCESS: 2, DETECTOR: 9, NMS: 2})
        assert found.queue_ms == pytest.approx(5)


@given(
    st.lists(st.tuples(*[st.floats(0, 0.1)] * 4), min_size=1, max_size=5),
    st.lists(st.floats(0, 50), min_size=5, max_size=5),
)
def test_the_budget_adds_up_whatever_is_measured(requests, server):
    rows = [
        (0.0, late, late + prepare + call + rest, prepare, call)
        for late, prepare, call, rest in requests
    ]
    total, queue, *work = server
    parts = ServerBudget(total, queue, dict(zip((PREPROCESS, DETECTOR, NMS), work)), 1)  # noqa: B905
    samples = samples_of(*rows)
    for found in (budget_of(samples, parts), budget_of(samples, None)):
        assert tuple(found) == SEGMENTS
        assert sum(found.values()) == pytest.approx(samples.latency_s.mean() * 1e3, abs=1e-9)
        assert min(found.values()) >= 0


def test_no_answers_have_no_budget():
    assert budget_of(samples_of(), None) == {}
    assert server_budget(STEPS, {}, "pcb") is None

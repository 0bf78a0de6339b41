"""What ``tridet bench`` computes: percentiles, budget, knee and advice, on constructed cases."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated_time import md_c_latencies
from tridet.server_info import StepTime
from tridet_bench.advice import advise
from tridet_bench.budget import SEGMENTS, ServerBudget, budget_of, server_budget
from tridet_bench.knee import Point, fault_of, find_knee
from tridet_bench.latency import histogram_of, latency_of, percentile_ms
from tridet_bench.samples import Recorder, Samples
from tridet_bench.server import DETECTOR, NMS, PREPROCESS, Step

PRE = Step("preprocess_640", PREPROCESS, 2, 16, 0, on_gpu=False, batches=False, threads=1)
DET = Step("pcb_detector", DETECTOR, 1, 16, 0, on_gpu=False, batches=True, threads=1)
SUP = Step("nms", NMS, 1, 16, 0, on_gpu=False, batches=False, threads=1)
STEPS = (PRE, DET, SUP)
MS = 1_000_000


def step_time(n: int, *, queue: float = 0, work: float = 0, total: float = 0, batch: int = 1):
    """Return what a step did for ``n`` frames; the times are ms per frame."""
    return StepTime(
        requests=n,
        executions=n // batch,
        inferences=n,
        success_ns=int(n * total * MS),
        queue_ns=int(n * queue * MS),
        compute_input_ns=0,
        compute_infer_ns=int(n * work * MS),
        compute_output_ns=0,
        # The requests of one batch waited for it together.
        busy_ns=int(n * work * MS / batch),
    )


# Percentiles -------------------------------------------------------------------------------------
def test_percentiles_of_known_numbers():
    seconds = np.random.default_rng(0).permutation(np.arange(1, 1001)) / 1e3
    found = latency_of(seconds)
    assert dataclasses.astuple(found) == pytest.approx((1, 500.5, 500, 900, 990, 999, 1000))


def test_a_rank_that_is_not_exact_in_binary():
    # 41,000 x 99.9 / 100 is 40,959.000000000007.
    assert percentile_ms(np.arange(1, 41_001) / 1e3, 99.9) == 40_959


def test_too_few_requests_have_no_high_percentiles():
    assert percentile_ms(np.ones(99), 99) is None
    assert percentile_ms(np.ones(100), 99) == 1000
    assert percentile_ms(np.ones(999), 99.9) is None
    assert percentile_ms(np.ones(1000), 99.9) == 1000
    assert percentile_ms(np.ones(1), 50) is None
    assert percentile_ms(np.array([3.0, 1.0, 2.0]), 50) == 2000
    assert latency_of(np.array([])).max_ms is None


@given(st.lists(st.floats(1e-5, 1e3), min_size=1, max_size=200))
def test_the_histogram_holds_every_value_in_its_bin(values):
    seconds = np.array(values)
    found = histogram_of(seconds)
    assert sum(found.counts) == len(values)
    assert len(found.edges_ms) == len(found.counts) + 1
    counts, _ = np.histogram(seconds * 1e3, found.edges_ms)
    # Only values at an edge, which is rounded, may fall beside it.
    assert np.abs(np.cumsum(counts) - np.cumsum(found.counts)).max() <= sum(
        bool(np.isclose(value * 1e3, found.edges_ms, rtol=1e-4).any()) for value in values
    )


def test_histograms_of_different_runs_share_their_edges():
    first, second = histogram_of(np.array([0.010])), histogram_of(np.array([0.0101, 0.2]))
    assert first.edges_ms == second.edges_ms[:2]
    assert histogram_of(np.array([])).counts == ()


# Budget ------------------------------------------------------------------------------------------
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


# Knee --------------------------------------------------------------------------------------------
def md_c(service_s: float, servers: int, duration_s: float = 30):
    seeds = iter(range(1000))

    def measure(rate: float) -> Point:
        latencies, last = md_c_latencies(rate, service_s, servers, duration_s, next(seeds))
        p50_s, p99_s = np.percentile(latencies, [50, 99])
        kept_up = duration_s / max(duration_s, last - latencies.min())
        achieved = len(latencies) / max(duration_s, last)
        return Point(rate, achieved, p50_s * 1e3, p99_s * 1e3, 0.0, kept_up)

    return measure


@pytest.mark.parametrize("servers", [1, 2, 4])
def test_the_knee_of_an_m_d_c_queue(servers):
    service_s, limit_ms = 0.010, 50.0
    capacity = servers / service_s
    knee = find_knee(md_c(service_s, servers), capacity / 30, limit_ms)
    # The truth, from runs that are far longer.
    shares = np.linspace(0.5, 1, 26)
    p99_ms = [md_c(service_s, servers, 300)(share * capacity).p99_ms for share in shares]
    truth = capacity * shares[np.searchsorted(p99_ms, limit_ms) - 1]
    assert truth / 1.25 < knee.sustained.offered < truth * 1.1
    assert knee.sustained.p99_ms <= limit_ms
    assert knee.sustained.offered < knee.failed.offered <= 1.15 * knee.sustained.offered
    assert knee.reason == "p99"
    assert len(knee.points) < 20


def test_without_a_limit_in_the_way_the_backlog_shows():
    knee = find_knee(md_c(0.010, 1), 3.0, limit_ms=1e9)
    assert knee.reason == "backlog"
    assert 80 < knee.sustained.offered < 115


def test_errors_end_the_search_too():
    def measure(rate: float) -> Point:
        return Point(rate, rate, 1.0, 2.0, 0.5 if rate > 100 else 0.0, 1.0)

    knee = find_knee(measure, 10, 50)
    assert (knee.reason, knee.limit_ms) == ("errors", 50)
    assert 100 / 1.15 < knee.sustained.offered <= 100 < knee.failed.offered


def test_a_slow_moment_is_not_the_limit():
    slow = iter([False, True, False] + [False] * 100)

    def measure(rate: float) -> Point:
        bad = next(slow) or rate > 100
        return Point(rate, rate, 1.0, 999.0 if bad else 2.0, 0.0, 1.0)

    knee = find_knee(measure, 10, 50)
    assert knee.sustained.offered > 100 / 1.15


def test_a_start_that_is_too_high_is_lowered():
    knee = find_knee(lambda r: Point(r, r, 1.0, 99.0 if r > 5 else 1.0, 0.0, 1.0), 20, 50)
    assert 5 / 1.15 < knee.sustained.offered <= 5


def test_a_server_that_is_never_good_or_never_bad():
    never = find_knee(lambda r: Point(r, r, 99.0, 99.0, 0.0, 1.0), 20, 50)
    assert never.sustained is None and never.reason == "p99" and len(never.points) <= 10
    always = find_knee(lambda r: Point(r, r, 1.0, 1.0, 0.0, 1.0), 20, 50)
    assert always.failed is None and always.reason == "" and len(always.points) <= 17


def test_a_late_generator_is_not_blamed_on_the_server():
    point = Point(100, 60, 80.0, 90.0, 0.0, 1.0, generator_limited=True, late_ms=70)
    assert fault_of(point, 50) == "client"
    assert fault_of(dataclasses.replace(point, late_ms=1), 50) == "p99"
    assert fault_of(dataclasses.replace(point, p99_ms=20.0), 50) == ""


# Advice ------------------------------------------------------------------------------------------
def test_advice_on_a_constructed_case():
    # In 10 s 1,000 frames: 6 ms of two preprocess instances, 9 ms of the detector, 1 ms of nms.
    done = {
        PRE.model: step_time(1000, work=6),
        DET.model: step_time(1000, work=18, batch=2),
        SUP.model: step_time(1000, work=1),
    }
    batches = {DET.model: {1: (400, 400 * 10.0), 8: (75, 75 * 40.0)}}
    found = advise(STEPS, done, batches, wall_s=10, rate=200, cores=16)
    # 200 x 6 ms = 1.2 instances' work, 70 % of two are 1.4. 200 x 9 ms = 1.8, of three 2.1.
    assert found.instances == {PREPROCESS: 2, DETECTOR: 3, NMS: 1}
    busy = {step.role: step.busy for step in found.steps}
    assert busy == pytest.approx({PREPROCESS: 0.3, DETECTOR: 0.9, NMS: 0.1})
    assert found.steps[1].why == "9.00 ms a frame x 200 frames/s = 1.80 instances' work"
    assert "pcb_detector is the limit" in found.verdict
    # Eight come together in 35 ms; half of the 40 ms that they run for is less.
    assert found.delay_us == 20_000
    assert "5.00 ms an image in batches of 8, 10.00 in batches of 1" in found.delay_why


def test_more_instances_do_not_make_more_cores():
    done = {step.model: step_time(1000, work=9) for step in STEPS}
    found = advise(STEPS, done, {}, wall_s=10, rate=200, cores=2)
    assert found.instances == {PREPROCESS: 2, DETECTOR: 2, NMS: 2}
    assert "the CPU is the limit" in found.verdict and "of 2 cores" in found.verdict
    assert "2 cores take no more, so they will be 90% busy" in found.steps[0].why


def test_a_detector_that_computes_on_every_core_gets_one_instance():
    steps = (PRE, dataclasses.replace(DET, threads=0), SUP)
    done = {PRE.model: step_time(60, work=2), DET.model: step_time(60, work=120)} | {
        SUP.model: step_time(60, work=2)
    }
    found = advise(steps, done, {}, wall_s=10, rate=7.2, cores=4)
    assert found.instances[DETECTOR] == 1
    assert found.steps[1].why.endswith(
        "4 cores take no more of 4 threads each, so they will be 86% busy"
    )
    # 7.2 x 120 ms on four cores, and a little.
    assert "takes 3.5 of 4 cores" in found.verdict


def test_a_gpu_gets_two_instances_at_most_and_takes_no_cores():
    steps = (PRE, dataclasses.replace(DET, on_gpu=True), SUP)
    done = {
        PRE.model: step_time(1000, work=0.1),
        DET.model: step_time(1000, work=9.5),
        SUP.model: step_time(1000, work=0.1),
    }
    found = advise(steps, done, {}, wall_s=10, rate=400, cores=16)
    assert found.instances[DETECTOR] == 2
    assert "the GPU takes no more" in found.steps[1].why
    assert found.verdict.startswith("pcb_detector is the limit")


def test_the_groups_nms_step_is_called_once_for_each_member():
    steps = (PRE, DET, dataclasses.replace(DET, model="ocr_detector"), SUP)
    done = {step.model: step_time(1000, work=1) for step in steps} | {
        SUP.model: step_time(2000, work=3)
    }
    found = advise(steps, done, {}, wall_s=10, rate=200, cores=16)
    assert found.steps[3].ms_per_frame == pytest.approx(6)
    assert found.instances[NMS] == 2


@pytest.mark.parametrize(
    ("work", "batch", "batches", "why"),
    [
        (5, 1, {1: (500, 2500.0), 8: (60, 1200.0)}, "50% busy"),
        (9, 1, {1: (1000, 9000.0)}, "one size only"),
        (9, 1, {1: (500, 4500.0), 8: (60, 4300.0)}, "gain nothing"),
        (36, 4, {1: (40, 600.0), 4: (240, 8400.0)}, "are 4.0 already"),
    ],
)
def test_no_delay_without_a_gain(work, batch, batches, why):
    done = {step.model: step_time(1000, work=1) for step in STEPS} | {
        DET.model: step_time(1000, work=work, batch=batch)
    }
    found = advise(STEPS, done, {DET.model: batches}, wall_s=10, rate=150, cores=16)
    assert found.delay_us == 0
    assert why in found.delay_why

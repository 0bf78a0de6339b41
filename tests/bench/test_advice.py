"""Instance counts and batch delay, on constructed cases."""

from __future__ import annotations

import dataclasses

import pytest
from bench_steps import DET, PRE, STEPS, SUP, step_time
from tridet_bench.advice import advise
from tridet_bench.server import DETECTOR, NMS, PREPROCESS


def test_advice_on_a_constructed_case():
    # In 10 s 1,000 frames: 6 ms of two preprocess instances, 9 ms of the detector, 1 ms of nms.
    done = {
        PRE.model: step_time(1000, work=6),
        DET.model: step_time(1000, work=18, batch=2),
        SUP.model: step_time(1000, work=1),
    }
    batches = {DET.model: {1: (400, 400 * 10.0), 8: (75, 75 * 40.0)}}
    found = advise(STEPS, done, batches, wall_s=10, rate=200, limit_ms=1000, cores=16)
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
    found = advise(STEPS, done, {}, wall_s=10, rate=200, limit_ms=1000, cores=2)
    assert found.instances == {PREPROCESS: 2, DETECTOR: 2, NMS: 2}
    assert "the CPU is the limit" in found.verdict and "of 2 cores" in found.verdict
    assert "2 cores take no more, so they will be 90% busy" in found.steps[0].why


def test_a_detector_that_computes_on_every_core_gets_one_instance():
    steps = (PRE, dataclasses.replace(DET, threads=0), SUP)
    done = {PRE.model: step_time(60, work=2), DET.model: step_time(60, work=120)} | {
        SUP.model: step_time(60, work=2)
    }
    found = advise(steps, done, {}, wall_s=10, rate=7.2, limit_ms=1000, cores=4)
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
    found = advise(steps, done, {}, wall_s=10, rate=400, limit_ms=1000, cores=16)
    assert found.instances[DETECTOR] == 2
    assert "the GPU takes no more" in found.steps[1].why
    assert found.verdict.startswith("pcb_detector is the limit")


def test_the_groups_nms_step_is_called_once_for_each_member():
    steps = (PRE, DET, dataclasses.replace(DET, model="ocr_detector"), SUP)
    done = {step.model: step_time(1000, work=1) for step in steps} | {
        SUP.model: step_time(2000, work=3)
    }
    found = advise(steps, done, {}, wall_s=10, rate=200, limit_ms=1000, cores=16)
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
    found = advise(STEPS, done, {DET.model: batches}, wall_s=10, rate=150, limit_ms=1000, cores=16)
    assert found.delay_us == 0
    assert why in found.delay_why


def test_a_delay_is_a_small_share_of_the_latency_limit():
    # A slow detector: eight come together in 350 ms and run for 400, so 200 ms would pay.
    done = {step.model: step_time(200, work=1) for step in STEPS} | {
        DET.model: step_time(200, work=90, batch=2)
    }
    batches = {DET.model: {1: (40, 40 * 90.0), 8: (20, 20 * 400.0)}}
    delays = {}
    for limit_ms in (50, 250.55, 10_000):
        found = advise(STEPS, done, batches, wall_s=10, rate=20, limit_ms=limit_ms, cores=16)
        delays[limit_ms] = found.delay_us
        assert ("10% of the latency limit" in found.delay_why) == (limit_ms < 2000)
    assert delays == {50: 5_000, 250.55: 25_000, 10_000: 200_000}

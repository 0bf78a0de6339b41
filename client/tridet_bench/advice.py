"""Instance counts and batch delay for a rate, from what each step's work was measured to cost.

The rule: a step needs rate x (its time per frame) instances to keep up, and as many more as keep
each of them at most 70 % busy, because waiting grows without bound as that nears 100 %.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tridet.server_info import StepTime

from tridet_bench.server import DETECTOR, NMS, ROLES, Step

MOST_BUSY = 0.7
# One execution computes while the tensors of the other one travel; a third only takes turns.
_MOST_ON_A_GPU = 2
_LEAST_GAIN = 0.1
_FULL_MACHINE = 0.85
_DELAY_GRAIN_US = 100
# Of the latency limit: a lone request waits out the whole delay.
_MOST_DELAY = 0.1

Batches = Mapping[int, tuple[int, float]]


@dataclass(frozen=True, slots=True)
class StepAdvice:
    """What one step needs."""

    model: str
    role: str
    instances: int
    """As it is set up now."""
    ms_per_frame: float
    """An instance's time."""
    busy: float
    """Share of the time that its instances worked, at the knee."""
    recommended: int
    why: str


@dataclass(frozen=True, slots=True)
class Advice:
    """What the manifest should say for a rate."""

    rate: float
    """Frames a second that it is for."""
    steps: tuple[StepAdvice, ...]
    instances: Mapping[str, int]
    """The manifest's [instances]."""
    delay_us: int
    """The manifest's [batch] delay_us."""
    delay_why: str
    verdict: str
    """What limits this server."""


def advise(
    steps: Sequence[Step],
    done: Mapping[str, StepTime],
    batches: Mapping[str, Batches],
    *,
    wall_s: float,
    rate: float,
    limit_ms: float,
    cores: int,
) -> Advice:
    """Return the advice for ``rate``.

    Args:
        steps: as they are set up.
        done: what they did in a run at the knee.
        batches: step and batch size to executions and their milliseconds in all.
        wall_s: how long that run took.
        rate: frames a second to be set up for.
        limit_ms: of the 99th percentile of the latency.
        cores: that the server may use.
    """
    found = [_step(step, steps, done[step.model], wall_s, rate, cores) for step in steps]
    instances = {
        role: max(advice.recommended for advice in found if advice.role == role) for role in ROLES
    }
    detectors = [step for step in steps if step.role == DETECTOR]
    delays = [
        _delay(step, batches.get(step.model, {}), done[step.model], wall_s, rate, limit_ms)
        for step in detectors
    ]
    delay_us, delay_why = max(delays)
    return Advice(
        rate, tuple(found), instances, delay_us, delay_why, _verdict(steps, found, rate, cores)
    )


def busy_share(step: Step, done: StepTime, wall_s: float) -> float:
    """Return the share of the time that the step's instances worked."""
    return done.busy_ns / 1e9 / wall_s / step.instances


def _step(
    step: Step, steps: Sequence[Step], done: StepTime, wall_s: float, rate: float, cores: int
) -> StepAdvice:
    calls = sum(other.role == DETECTOR for other in steps) if step.role == NMS else 1
    ms = done.busy_ns / max(1, done.inferences) / 1e6 * calls
    wanted = rate * ms / 1e3
    width = _width(step, cores)
    most = _MOST_ON_A_GPU if step.on_gpu else max(1, cores // width)
    recommended = max(1, min(most, math.ceil(wanted / MOST_BUSY)))
    why = f"{ms:.2f} ms a frame x {rate:.4g} frames/s = {wanted:.2f} instances' work"
    if wanted / recommended > MOST_BUSY:
        limit = "the GPU takes" if step.on_gpu else f"{cores} cores take"
        each = f" of {width} threads each" if width > 1 else ""
        why += f"; {limit} no more{each}, so they will be {wanted / recommended:.0%} busy"
    busy = busy_share(step, done, wall_s)
    return StepAdvice(step.model, step.role, step.instances, ms, busy, recommended, why)


def _width(step: Step, cores: int) -> int:
    """Return how many cores one instance computes with."""
    return min(step.threads, cores) or cores


def _delay(
    step: Step, batches: Batches, done: StepTime, wall_s: float, rate: float, limit_ms: float
) -> tuple[int, str]:
    """Return microseconds and the reason."""
    busy = busy_share(step, done, wall_s)
    if busy <= MOST_BUSY:
        return 0, f"{step.model} is {busy:.0%} busy: a lone request should not wait for others"
    per_image = {size: ms / runs / size for size, (runs, ms) in batches.items()}
    if len(per_image) < 2:
        return 0, f"{step.model} ran batches of one size only: nothing to compare"
    small, best = min(per_image), min(per_image, key=lambda size: per_image[size])
    gain = 1 - per_image[best] / per_image[small]
    costs = (
        f"{step.model}: {per_image[best]:.2f} ms an image in batches of {best}, "
        f"{per_image[small]:.2f} in batches of {small}"
    )
    if gain < _LEAST_GAIN:
        return 0, f"{costs}: larger batches gain nothing"
    if done.mean_batch >= best / 2:
        return 0, f"{costs}, and they are {done.mean_batch:.1f} already: those that queue meet"
    # The time in which a batch of the best size comes together, or half of what it runs for: to
    # wait longer than that costs more than it gains.
    delay_us = min((best - 1) / rate * 1e6, per_image[best] * best * 1e3 / 2)
    most_us = _MOST_DELAY * limit_ms * 1e3
    if delay_us > most_us:
        delay_us = most_us
        costs += f"; {_MOST_DELAY:.0%} of the latency limit of {limit_ms:.4g} ms is the most"
    return int(delay_us // _DELAY_GRAIN_US) * _DELAY_GRAIN_US, costs


def _verdict(steps: Sequence[Step], found: Sequence[StepAdvice], rate: float, cores: int) -> str:
    work = sum(
        advice.ms_per_frame / 1e3 * rate * _width(step, cores)
        for step, advice in zip(steps, found, strict=True)
        if not step.on_gpu
    )
    busiest = max(found, key=lambda step: step.busy)
    if work > _FULL_MACHINE * cores:
        return (
            f"the CPU is the limit: the steps' work at this rate takes {work:.1f} of {cores} "
            "cores, and no instance count makes more"
        )
    if busiest.busy > MOST_BUSY:
        return f"{busiest.model} is the limit: its instances are {busiest.busy:.0%} busy"
    return (
        f"no step is the limit: the busiest, {busiest.model}, works {busiest.busy:.0%} of the "
        "time; look at the client, the network and the server's max_in_flight"
    )

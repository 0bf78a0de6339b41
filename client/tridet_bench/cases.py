"""One load of one workload: run, and summed up."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from tridet.exceptions import TridetError
from tridet.processing.contract import ENCODED_SUFFIX
from tridet.server_info import Observation, ServerInfo, StepTime, difference

from tridet_bench.budget import ServerBudget, budget_of, server_budget
from tridet_bench.latency import Histogram, Latency, histogram_of, latency_of, percentile
from tridet_bench.loops import Closed, Load
from tridet_bench.server import Step, steps_of
from tridet_bench.worker import Workload
from tridet_bench.workers import Run, Workers

# A generator that is later than this share of the median latency measures itself.
_MOST_LATENESS = 0.1
# Of one core: where Python's lock lets a process do no more.
_MOST_CPU = 0.85
# Triton counts a request after it has sent the answer.
_SETTLE_S = 0.1
_MOST_MISCOUNTED = 0.01
_PROBE_S = 0.01
_PAUSE_S = 0.5
_MOST_SETTLING_S = 60.0


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured together."""

    workload: Workload
    load: Load

    @property
    def label(self) -> str:
        """As reports call it."""
        return f"{self.workload.label} {self.load.label}"


@dataclass(frozen=True, slots=True)
class Result:
    """What a case showed."""

    case: Case
    duration_s: float
    """For which requests were sent."""
    wall_s: float
    """Until the last answer."""
    answered: int
    throughput: float
    """Answers a second."""
    errors: Mapping[str, int]
    messages: Mapping[str, str]
    """The first message of each kind of error."""
    latency: Latency
    """From the intended send time."""
    service: Latency
    """From the actual send time."""
    histogram: Histogram
    late_p99_ms: float | None
    """How late the generator sent; None in a closed loop."""
    late_max_ms: float | None
    client_cpu_ms: float | None
    """CPU time of the clients for one answer."""
    busiest_client: float
    """Cores that the busiest client process used; one is all that Python's lock gives it."""
    budget_ms: Mapping[str, float]
    server: ServerBudget | None
    steps: Mapping[str, StepTime]
    """What each step of the model did."""
    batches: Mapping[str, Mapping[int, tuple[int, float]]]
    """Step and batch size to executions and their milliseconds in all."""
    fatal: str | None

    @property
    def error_share(self) -> float:
        """Share of the requests that got no answer."""
        failed = sum(self.errors.values())
        return failed / max(1, failed + self.answered)

    @property
    def kept_up(self) -> float:
        """Share of the time until the last answer in which requests were sent, but for the time
        that the fastest one took: below 1 where a backlog was left."""
        one_s = (self.latency.min_ms or 0.0) / 1e3
        return self.duration_s / max(self.duration_s, self.wall_s - one_s)

    @property
    def generator_limited(self) -> bool:
        """Whether the client rather than the server may explain the figures."""
        if self.late_p99_ms is None or self.latency.p50_ms is None:
            return self.busiest_client > _MOST_CPU
        return self.late_p99_ms > max(1.0, _MOST_LATENESS * self.latency.p50_ms)

    @property
    def foreign(self) -> int:
        """Frames of others that the server's means contain; a few are requests of ours that failed
        or that it had not counted yet, and pass for none.
        """
        more = self.server.frames - self.answered if self.server else 0
        return more if more > _MOST_MISCOUNTED * self.answered + 1 else 0


def ensemble_of(model: str, workload: Workload) -> str:
    """Return the name of the ensemble that a workload calls."""
    return model + (ENCODED_SUFFIX if workload.transport == "encoded" else "")


@dataclass(frozen=True, slots=True)
class Bench:
    """Runs cases against one model."""

    workers: Workers
    server: ServerInfo
    model: str
    duration_s: float
    warmup_s: float

    def run(self, case: Case) -> Result:
        """Warm up, measure, and ask the server what it did.

        The workload of the case must be ready. A server that goes away ends the case, not the call.
        """
        ensemble = ensemble_of(self.model, case.workload)
        steps = steps_of(self.server, ensemble)
        self._settle(case.workload)
        if self.warmup_s:
            self.workers.run(case.workload, case.load, self.warmup_s)
        time.sleep(_SETTLE_S)
        before = self.server.observe()
        run = self.workers.run(case.workload, case.load, self.duration_s)
        time.sleep(_SETTLE_S)
        try:
            after = self.server.observe()
        except TridetError:
            after = before  # it has gone, and with it what it counted
        return summarized(case, run, self.duration_s, steps, before, after, ensemble)

    def _settle(self, workload: Workload) -> None:
        """Wait until the server has worked off what an overload before has left: it takes a single
        request again, and answers in turn."""
        give_up_s = time.monotonic() + _MOST_SETTLING_S
        while time.monotonic() < give_up_s:
            samples = self.workers.run(workload, Closed(1), _PROBE_S).samples
            if len(samples.answered) or samples.fatal is not None:
                return
            time.sleep(_PAUSE_S)


def summarized(
    case: Case,
    run: Run,
    duration_s: float,
    steps: tuple[Step, ...],
    before: Observation,
    after: Observation,
    ensemble: str,
) -> Result:
    """Return the figures of a case."""
    samples = run.samples
    answered = len(samples.answered)
    done = difference(before.steps, after.steps)
    server = server_budget(steps, done, ensemble)
    late_ms = samples.late_s * 1e3
    return Result(
        case=case,
        duration_s=duration_s,
        wall_s=run.wall_s,
        answered=answered,
        throughput=answered / run.wall_s,
        errors=samples.errors,
        messages=samples.messages,
        latency=latency_of(samples.latency_s),
        service=latency_of(samples.service_s),
        histogram=histogram_of(samples.latency_s),
        late_p99_ms=percentile(late_ms, 99) if len(late_ms) else None,
        late_max_ms=float(late_ms.max()) if len(late_ms) else None,
        client_cpu_ms=sum(run.cpu_s) * 1e3 / answered if answered else None,
        busiest_client=max(run.cpu_s) / run.wall_s,
        budget_ms=budget_of(samples, server),
        server=server,
        steps={step.model: done.get(step.model, StepTime()) for step in steps},
        batches={step.model: _batches(step.model, before, after) for step in steps},
        fatal=samples.fatal,
    )


def _batches(model: str, before: Observation, after: Observation) -> dict[int, tuple[int, float]]:
    earlier = before.batches.get(model, {})
    found = {}
    for size, (executions, ms) in after.batches.get(model, {}).items():
        executions_before, ms_before = earlier.get(size, (0, 0.0))
        if executions > executions_before:
            found[size] = (executions - executions_before, ms - ms_before)
    return found

"""The run as JSON. Keys are only ever added; SCHEMA rises when one changes its meaning."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from tridet.server_info import StepTime

from tridet_bench.cases import Result
from tridet_bench.loops import Closed, Load
from tridet_bench.run import Outcome
from tridet_bench.saturation import Saturation
from tridet_bench.tables import warnings

SCHEMA = 1


def to_json(outcome: Outcome) -> dict[str, Any]:
    """Return what bench.json holds."""
    plan = outcome.plan
    return {
        "schema": SCHEMA,
        "url": plan.target.url,
        "model": plan.target.model,
        "thresholds": dict(plan.target.thresholds),
        "duration_s": plan.duration_s,
        "warmup_s": plan.warmup_s,
        "processes": plan.processes,
        "machine": asdict(outcome.machine),
        "busy_cores_before": outcome.busy_before,
        "results": [_result(result) for result in outcome.results],
        "saturation": [_saturation(found) for found in outcome.saturations],
        "perf_analyzer": [asdict(check) for check in outcome.cross_checks],
        "warnings": warnings(outcome),
        "ended_early": outcome.ended_early,
    }


def _result(result: Result) -> dict[str, Any]:
    return {
        "transport": result.case.workload.transport,
        "frames": result.case.workload.frames.label,
        "load": _load(result.case.load),
        "wall_s": result.wall_s,
        "answered": result.answered,
        "throughput": result.throughput,
        "errors": dict(result.errors),
        "messages": dict(result.messages),
        "latency": asdict(result.latency),
        "service": asdict(result.service),
        "histogram": asdict(result.histogram),
        "generator": {
            "late_p99_ms": result.late_p99_ms,
            "late_max_ms": result.late_max_ms,
            "cpu_ms": result.client_cpu_ms,
            "busiest_cores": result.busiest_client,
            "limited": result.generator_limited,
        },
        "budget_ms": dict(result.budget_ms),
        "server_frames": result.server.frames if result.server else 0,
        "steps": {model: _step(step) for model, step in result.steps.items()},
        "fatal": result.fatal,
    }


def _load(load: Load) -> dict[str, Any]:
    if isinstance(load, Closed):
        return {"kind": "closed", "concurrency": load.concurrency}
    return {"kind": "open", "rate": load.rate}


def _step(step: StepTime) -> dict[str, Any]:
    return {
        "requests": step.requests,
        "executions": step.executions,
        "mean_batch": step.mean_batch,
        "busy_s": step.busy_ns / 1e9,
        "queue_ms": step.ms("queue"),
        "input_ms": step.ms("compute_input"),
        "infer_ms": step.ms("compute_infer"),
        "output_ms": step.ms("compute_output"),
    }


def _saturation(found: Saturation) -> dict[str, Any]:
    return {
        "transport": found.workload.transport,
        "frames": found.workload.frames.label,
        **asdict(found.knee),
        "advice": asdict(found.advice) if found.advice else None,
    }

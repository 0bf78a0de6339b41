"""The server's own account: Triton's statistics of each model, as differences of two snapshots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class StepTime:
    """What one model did; a snapshot counts from the server's start.

    Nanoseconds but ``busy_ns`` are summed over requests: with a batch of 4, each of the 4 waited
    for it.
    """

    requests: int = 0
    executions: int = 0
    inferences: int = 0
    success_ns: int = 0
    queue_ns: int = 0
    compute_input_ns: int = 0
    compute_infer_ns: int = 0
    compute_output_ns: int = 0
    busy_ns: int = 0
    """Time that instances worked, each execution counted once however many requests it served."""

    def __add__(self, other: StepTime) -> StepTime:
        return StepTime(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __sub__(self, other: StepTime) -> StepTime:
        return StepTime(*(getattr(self, f.name) - getattr(other, f.name) for f in fields(self)))

    def ms(self, part: str) -> float:
        """Return milliseconds a request of a part: success, queue, compute_input, ..."""
        return float(getattr(self, f"{part}_ns") / max(1, self.requests) / 1e6)

    @property
    def mean_batch(self) -> float:
        """Images in one execution."""
        return self.inferences / max(1, self.executions)


Snapshot = Mapping[str, StepTime]


def snapshot_from_response(response: Any) -> dict[str, StepTime]:
    """Read the ModelStatistics response; name of the model to its numbers."""
    steps: dict[str, StepTime] = {}
    for model in response.model_stats:
        stats = model.inference_stats
        steps[model.name] = StepTime(
            requests=stats.success.count,
            executions=model.execution_count,
            inferences=model.inference_count,
            success_ns=stats.success.ns,
            queue_ns=stats.queue.ns,
            compute_input_ns=stats.compute_input.ns,
            compute_infer_ns=stats.compute_infer.ns,
            compute_output_ns=stats.compute_output.ns,
            busy_ns=sum(_execution_ns(batch) for batch in model.batch_stats),
        )
    return steps


def difference(before: Snapshot, after: Snapshot) -> dict[str, StepTime]:
    """Return what happened between two snapshots."""
    return {name: step - before.get(name, StepTime()) for name, step in after.items()}


def batch_ms_from_response(response: Any) -> dict[str, dict[int, tuple[int, float]]]:
    """Read the same response; model and batch size to (executions, milliseconds of them all)."""
    return {
        model.name: {
            batch.batch_size: (batch.compute_infer.count, _execution_ns(batch) / 1e6)
            for batch in model.batch_stats
        }
        for model in response.model_stats
    }


def _execution_ns(batch: Any) -> int:
    return int(batch.compute_input.ns + batch.compute_infer.ns + batch.compute_output.ns)

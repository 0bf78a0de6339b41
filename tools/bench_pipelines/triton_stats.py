"""The server's own account: Triton's statistics of each model, as differences of two snapshots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class StepTime:
    """What one model did; a snapshot counts from the server's start.

    Nanoseconds are summed over requests: with a batch of 4, each of the 4 waited for it.
    """

    requests: int = 0
    executions: int = 0
    inferences: int = 0
    success_ns: int = 0
    queue_ns: int = 0
    compute_input_ns: int = 0
    compute_infer_ns: int = 0
    compute_output_ns: int = 0

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
        )
    return steps


def difference(before: Snapshot, after: Snapshot) -> dict[str, StepTime]:
    """Return what happened between two snapshots."""
    return {name: step - before.get(name, StepTime()) for name, step in after.items()}


def total(parts: list[Snapshot]) -> dict[str, StepTime]:
    """Add up several differences."""
    names = {name for part in parts for name in part}
    return {
        name: sum((part.get(name, StepTime()) for part in parts), StepTime())
        for name in sorted(names)
    }


def outside_detector_ms(steps: Snapshot, called: str, detector: str) -> tuple[float, float]:
    """Return the server's milliseconds a request that are the pipeline's, not the network's.

    Returns:
        Everything but the detector's inference itself: other steps, scheduling, and the detector's
        own wait for company and its tensors' copies in and out; and the same without the detector's
        wait and copies.
    """
    whole, inner = steps[called], steps[detector]
    own = inner.ms("queue") + inner.ms("compute_input") + inner.ms("compute_output")
    strict = whole.ms("success") - inner.ms("compute_infer")
    return strict, strict - own

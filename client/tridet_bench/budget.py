"""Where the time of a frame goes, from the intended send time to its boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tridet.server_info import Snapshot, StepTime

from tridet_bench.samples import Samples
from tridet_bench.server import DETECTOR, NMS, PREPROCESS, ROLES, Step

LATE, PREPARE, CLIENT, WIRE, QUEUE, OTHER = (
    "late",
    "prepare",
    "client",
    "wire",
    "queue",
    "other",
)
SEGMENTS = (LATE, PREPARE, CLIENT, WIRE, PREPROCESS, QUEUE, DETECTOR, NMS, OTHER)
MEANINGS = {
    LATE: "from the intended send time to the actual one; open loop only",
    PREPARE: "the client reads, decodes, resizes or encodes",
    CLIENT: "the client builds the request, reads the answer, waits for its own CPU",
    WIRE: "gRPC and network: the call minus the server's own time",
    PREPROCESS: "the step itself: tensors in, compute, tensors out",
    QUEUE: "waiting in the server for an instance of a step, all steps together",
    DETECTOR: "the step itself; in a group, the slowest detector",
    NMS: "the step itself, for every member of a group",
    OTHER: "the server's scheduling, and tensors from step to step",
}


@dataclass(frozen=True, slots=True)
class ServerBudget:
    """The server's part of a frame, means in milliseconds."""

    total_ms: float
    queue_ms: float
    work_ms: Mapping[str, float]
    """By role: PREPROCESS, DETECTOR, NMS."""
    frames: int
    """How many the means are of: more than were sent, if others use the model too."""


def server_budget(steps: Sequence[Step], done: Snapshot, ensemble: str) -> ServerBudget | None:
    """Sum up what the server did for each frame; None if it served none.

    Args:
        steps: of the ensemble.
        done: the difference of two snapshots.
        ensemble: what was called.
    """
    whole = done.get(ensemble, StepTime())
    if not whole.requests:
        return None
    work = dict.fromkeys(ROLES, 0.0)
    queue = 0.0
    slowest = 0.0
    for step in steps:
        time = done.get(step.model, StepTime())
        # A step that several ensembles share has served their frames as well, so: its mean, times
        # how often this ensemble calls it.
        calls = _calls(step, steps)
        worked = sum(time.ms(f"compute_{part}") for part in ("input", "infer", "output")) * calls
        if step.role == DETECTOR:
            # A group's detectors work side by side: the frame waits for the slowest.
            if worked + time.ms("queue") >= slowest:
                queue += time.ms("queue") - (slowest - work[DETECTOR])
                slowest = worked + time.ms("queue")
                work[DETECTOR] = worked
        else:
            work[step.role] += worked
            queue += time.ms("queue") * calls
    return ServerBudget(whole.ms("success"), queue, work, whole.requests)


def budget_of(samples: Samples, server: ServerBudget | None) -> dict[str, float]:
    """Return SEGMENTS to mean milliseconds, which add up to the mean latency; {} without answers.

    Where the parts measured in different places exceed what is left of the total, as the steps of a
    group that overlap may, they are cut to it.
    """
    if not len(samples.answered):
        return {}
    total = float(samples.latency_s.mean() * 1e3)
    late = float((samples.latency_s - samples.service_s).mean() * 1e3)
    prepare = float(samples.prepare_s.mean() * 1e3)
    call = float(samples.call_s.mean() * 1e3)
    parts = {LATE: late, PREPARE: prepare, CLIENT: total - late - prepare - call}
    if server is None:
        parts[WIRE] = call
    else:
        parts |= {WIRE: call - server.total_ms, QUEUE: server.queue_ms, **server.work_ms}
    left, budget = total, dict.fromkeys(SEGMENTS, 0.0)
    for name, wanted in parts.items():
        budget[name] = min(max(wanted, 0.0), left)
        left -= budget[name]
    budget[OTHER] = left
    return budget


def _calls(step: Step, steps: Sequence[Step]) -> int:
    return sum(other.role == DETECTOR for other in steps) if step.role == NMS else 1

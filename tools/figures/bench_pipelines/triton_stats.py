"""The server's own account in the terms of this benchmark."""

from __future__ import annotations

from tridet.server_info import Snapshot, StepTime


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

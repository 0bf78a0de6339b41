"""The steps of a model as ``tridet bench`` sees them, and what they did."""

from __future__ import annotations

from tridet.server_info import StepTime
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

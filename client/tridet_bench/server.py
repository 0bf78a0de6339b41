"""What the server says of how a model's steps are set up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tridet.exceptions import ContractMismatch
from tridet.processing.contract import STEP_THREADS
from tridet.server_info import ServerInfo

PREPROCESS, DETECTOR, NMS = "preprocess", "detector", "nms"
ROLES = (PREPROCESS, DETECTOR, NMS)
# Of Triton's onnxruntime backend.
_ORT_THREADS = "intra_op_thread_count"


@dataclass(frozen=True, slots=True)
class Step:
    """One model inside the ensemble, as it is set up."""

    model: str
    role: str
    instances: int
    max_batch: int
    delay_us: int
    """How long a lone request waits for company."""
    on_gpu: bool
    batches: bool
    """Whether requests that wait are put into one execution."""
    threads: int
    """CPU threads that one instance computes with; 0 is one for every core."""


def steps_of(info: ServerInfo, ensemble: str) -> tuple[Step, ...]:
    """Return the steps of an ensemble, each model once.

    Raises:
        ContractMismatch: it is none, or has a step of no known role.
        TridetError: the server does not say.
    """
    return tuple(_step_from_config(config) for config in info.step_configs(ensemble))


def _step_from_config(config: Any) -> Step:
    groups = list(config.instance_group)
    return Step(
        model=config.name,
        role=_role_of(config.name),
        instances=sum(group.count * max(1, len(group.gpus)) for group in groups) or 1,
        max_batch=config.max_batch_size,
        delay_us=config.dynamic_batching.max_queue_delay_microseconds,
        on_gpu=any(group.kind == group.KIND_GPU for group in groups),
        batches=config.HasField("dynamic_batching"),
        threads=_threads(config),
    )


def _threads(config: Any) -> int:
    if config.platform == "tensorrt_plan":
        return 1  # it only feeds the GPU
    for name in (STEP_THREADS, _ORT_THREADS):
        if name in config.parameters:
            return int(config.parameters[name].string_value)
    return 1


def _role_of(model: str) -> str:
    # As tridet_build names them; see docs/contract.md.
    if model == NMS:
        return NMS
    if model.startswith(f"{PREPROCESS}_"):
        return PREPROCESS
    if model.endswith(f"_{DETECTOR}"):
        return DETECTOR
    raise ContractMismatch(
        f"model {model!r}: expected a step named {PREPROCESS}_*, *_{DETECTOR} or {NMS}; "
        "build the model again"
    )

"""What the server says of a model's steps: how they are set up, and what they have done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import grpc
from tridet.channel import TLS, open_channel, stub_of, target_from_url
from tridet.exceptions import ContractMismatch
from tridet.processing.contract import STEP_THREADS
from tridet.rpc_errors import error_from_rpc, is_retryable, unreachable
from tritonclient.grpc import service_pb2

from tridet_bench.triton_stats import Snapshot, batch_ms_from_response, snapshot_from_response

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


@dataclass(frozen=True, slots=True)
class Observation:
    """The counters of all models, since the server's start."""

    steps: Snapshot
    batches: Mapping[str, Mapping[int, tuple[int, float]]]
    """Model and batch size to executions and their milliseconds in all."""


class Server:
    """Asks the server. Use as a context manager."""

    def __init__(self, url: str, tls: TLS | None, timeout_s: float) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._channel = open_channel(target_from_url(url), tls, keepalive_s=timeout_s)
        self._stub = stub_of(self._channel)

    def version(self) -> str:
        """Return Triton's version."""
        return str(self._ask("ServerMetadata", service_pb2.ServerMetadataRequest()).version)

    def steps(self, ensemble: str) -> tuple[Step, ...]:
        """Return the steps of an ensemble, each model once.

        Raises:
            ContractMismatch: it is none, or has a step of no known role.
        """
        config = self._config(ensemble)
        names = dict.fromkeys(step.model_name for step in config.ensemble_scheduling.step)
        if not names:
            raise ContractMismatch(f"model {ensemble!r}: expected an ensemble, got a single model")
        return tuple(_step_from_config(self._config(name)) for name in names)

    def observe(self) -> Observation:
        """Read the counters."""
        response = self._ask("ModelStatistics", service_pb2.ModelStatisticsRequest())
        return Observation(snapshot_from_response(response), batch_ms_from_response(response))

    def _config(self, name: str) -> Any:
        return self._ask("ModelConfig", service_pb2.ModelConfigRequest(name=name)).config

    def _ask(self, method: str, request: Any) -> Any:
        try:
            return getattr(self._stub, method)(request, timeout=self._timeout_s)
        except grpc.RpcError as error:
            if is_retryable(error):
                raise unreachable(error, self._url) from error
            raise error_from_rpc(error, self._url, self._timeout_s) from error

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._channel.close()


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

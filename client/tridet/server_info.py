"""Ask a Triton server how it is doing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from tritonclient.grpc import service_pb2

from tridet.channel import TLS, open_channel, stub_of, target_from_url
from tridet.model import detectors_among, members_from_config
from tridet.rpc_errors import error_from_rpc, is_retryable, unreachable


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """One version of a model, or of a step inside an ensemble; times are means per request."""

    name: str
    version: str
    state: str
    """READY, LOADING, UNAVAILABLE …, and Triton's reason where there is one."""
    requests: int
    failures: int
    images: int
    executions: int
    """Batches run; images / executions is the mean batch size."""
    queue_ms: float
    input_ms: float
    infer_ms: float
    output_ms: float


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """A server and its models."""

    name: str
    version: str
    ready: bool
    models: tuple[ModelStatus, ...]
    groups: Mapping[str, tuple[str, ...]]
    """The members of each model that is a group and ready."""


def server_status(url: str, *, tls: TLS | None, timeout_s: float) -> ServerStatus:
    """Ask for health, models and statistics.

    Raises:
        ServerUnreachable, TimedOut, ServerFailed: it does not answer as it should.
    """
    with open_channel(target_from_url(url), tls, keepalive_s=timeout_s) as channel:
        stub = stub_of(channel)
        try:
            ready = stub.ServerReady(service_pb2.ServerReadyRequest(), timeout=timeout_s).ready
            server = stub.ServerMetadata(service_pb2.ServerMetadataRequest(), timeout=timeout_s)
            index = stub.RepositoryIndex(service_pb2.RepositoryIndexRequest(), timeout=timeout_s)
            statistics = stub.ModelStatistics(
                service_pb2.ModelStatisticsRequest(), timeout=timeout_s
            )
            names = {model.name for model in index.models if model.state == "READY"}
            configs = [
                stub.ModelConfig(
                    service_pb2.ModelConfigRequest(name=name), timeout=timeout_s
                ).config
                for name in detectors_among(tuple(sorted(names)))
            ]
        except grpc.RpcError as error:
            if is_retryable(error):
                raise unreachable(error, url) from error
            raise error_from_rpc(error, url, timeout_s) from error
    by_version = {(model.name, model.version): model for model in statistics.model_stats}
    nothing = service_pb2.ModelStatistics()
    models = [
        _model_status(model, by_version.get((model.name, model.version), nothing))
        for model in sorted(index.models, key=lambda model: (model.name, model.version))
    ]
    members = {config.name: members_from_config(config) for config in configs}
    groups = {name: named for name, named in members.items() if named}
    return ServerStatus(server.name, server.version, ready, tuple(models), groups)


def _model_status(model: Any, statistics: Any) -> ModelStatus:
    stats = statistics.inference_stats
    state = model.state + (f": {model.reason}" if model.reason else "")
    return ModelStatus(
        name=model.name,
        version=model.version,
        state=state,
        requests=stats.success.count,
        failures=stats.fail.count,
        images=statistics.inference_count,
        executions=statistics.execution_count,
        queue_ms=_mean_ms(stats.queue),
        input_ms=_mean_ms(stats.compute_input),
        infer_ms=_mean_ms(stats.compute_infer),
        output_ms=_mean_ms(stats.compute_output),
    )


def _mean_ms(duration: Any) -> float:
    return float(duration.ns / duration.count / 1e6) if duration.count else 0.0

"""Ask a Triton server about itself: its health, its models, and the time that they spend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import grpc

from tridet import protocol
from tridet.channel import TLS, open_channel, stub_of, target_from_url
from tridet.exceptions import ContractMismatch, TridetError
from tridet.model import detectors_among, members_from_config
from tridet.rpc_errors import error_from_rpc, is_restricted, is_retryable, unreachable

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True)
class StepTime:
    """What one model did, a step of an ensemble or an ensemble itself, since the server's start.

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
    failures: int = 0

    def __add__(self, other: StepTime) -> StepTime:
        return StepTime(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __sub__(self, other: StepTime) -> StepTime:
        return StepTime(*(getattr(self, f.name) - getattr(other, f.name) for f in fields(self)))

    def without_warm_up(self, config: Any) -> StepTime:
        """Take away what the ``ModelConfig`` has a model do when it is loaded.

        Triton does not tell the time of that apart: the means of the times stay as they are.
        """
        copies = sum(group.count * max(1, len(group.gpus)) for group in config.instance_group)
        runs = [(max(1, run.count), max(1, run.batch_size)) for run in config.model_warmup]
        images = copies * sum(count * batch for count, batch in runs)
        left = max(0, self.requests - images)
        share = left / max(1, self.requests)
        times = {f.name: round(getattr(self, f.name) * share) for f in fields(self)}
        executions = max(0, self.executions - copies * sum(count for count, _ in runs))
        inferences = max(0, self.inferences - images)
        return replace(
            StepTime(**times),
            requests=left,
            executions=executions,
            inferences=inferences,
            failures=self.failures,
        )

    def ms(self, part: str) -> float:
        """Return milliseconds a request of a part: success, queue, compute_input, ..."""
        return float(getattr(self, f"{part}_ns") / max(1, self.requests) / 1e6)

    @property
    def mean_batch(self) -> float:
        """Images in one execution."""
        return self.inferences / max(1, self.executions)


Snapshot: TypeAlias = Mapping[str, StepTime]
"""By the name of the model."""


@dataclass(frozen=True, slots=True)
class Observation:
    """The counters of all models, since the server's start."""

    steps: Snapshot
    batches: Mapping[str, Mapping[int, tuple[int, float]]]
    """Model and batch size to executions and their milliseconds in all."""


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """One version of a model, or of a step inside an ensemble."""

    name: str
    version: str
    state: str
    """READY, LOADING, UNAVAILABLE …, and Triton's reason where there is one."""
    done: StepTime


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """A server and its models."""

    name: str
    version: str
    ready: bool
    models: tuple[ModelStatus, ...]
    detectors: tuple[str, ...]
    """What can be called: the detectors and groups that are ready."""
    groups: Mapping[str, tuple[str, ...]]
    """The members of each model that is a group and ready."""


class ServerInfo:
    """Asks one server. Use as a context manager.

    Every method raises ServerUnreachable, TimedOut, InvalidInput or ServerFailed if the server does
    not answer as it should.
    """

    def __init__(self, url: str, tls: TLS | None, timeout_s: float) -> None:
        self._url = url
        self._timeout_s = timeout_s
        target = target_from_url(url)
        self._channel = open_channel(target, tls, keepalive_s=timeout_s)
        self._stub = stub_of(self._channel, target)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def version(self) -> str:
        """Return Triton's version."""
        return str(self._ask("ServerMetadata", protocol.ServerMetadataRequest()).version)

    def status(self) -> ServerStatus:
        """Return the server's health, its models and what each has done."""
        ready = self._ask("ServerReady", protocol.ServerReadyRequest()).ready
        server = self._ask("ServerMetadata", protocol.ServerMetadataRequest())
        done = {(one.name, one.version): _step_time(one) for one in self._statistics()}
        states = self._states() or dict.fromkeys(done, "READY")
        models = [
            ModelStatus(*key, state, self._asked_for(key[0], state, done.get(key, StepTime())))
            for key, state in sorted(states.items())
        ]
        served = sorted({name for (name, _), state in states.items() if state == "READY"})
        detectors = detectors_among(tuple(served))
        members = {name: members_from_config(self._config(name)) for name in detectors}
        groups = {name: named for name, named in members.items() if named}
        return ServerStatus(server.name, server.version, ready, tuple(models), detectors, groups)

    def _asked_for(self, name: str, state: str, done: StepTime) -> StepTime:
        """Return what a model did but for the warm-up at its start, which Triton counts too."""
        if state != "READY" or not done.requests:
            return done  # of one that is being unloaded there is no config
        return done.without_warm_up(self._config(name))

    def _states(self) -> dict[tuple[str, str], str]:
        """Return the state of each version of a model; empty without the server's key."""
        try:
            index = self._stub.RepositoryIndex(
                protocol.RepositoryIndexRequest(), timeout=self._timeout_s
            )
        except grpc.RpcError as error:
            if is_restricted(error):
                return {}  # the statistics name the models that are ready
            raise self._error(error) from error
        return {
            (model.name, model.version): model.state + (f": {model.reason}" if model.reason else "")
            for model in index.models
        }

    def observe(self) -> Observation:
        """Read the counters of all models."""
        return observation_from_statistics(self._statistics())

    def step_configs(self, ensemble: str) -> list[Any]:
        """Return the protobuf ``ModelConfig`` of each model in an ensemble, each model once.

        Raises:
            ContractMismatch: it is none.
        """
        config = self._config(ensemble)
        names = dict.fromkeys(step.model_name for step in config.ensemble_scheduling.step)
        if not names:
            raise ContractMismatch(f"model {ensemble!r}: expected an ensemble, got a single model")
        return [self._config(name) for name in names]

    def _config(self, name: str) -> Any:
        return self._ask("ModelConfig", protocol.ModelConfigRequest(name=name)).config

    def _statistics(self) -> Any:
        return self._ask("ModelStatistics", protocol.ModelStatisticsRequest()).model_stats

    def _ask(self, method: str, request: Any) -> Any:
        try:
            return getattr(self._stub, method)(request, timeout=self._timeout_s)
        except grpc.RpcError as error:
            raise self._error(error) from error

    def _error(self, error: grpc.RpcError) -> TridetError:
        if is_retryable(error):
            return unreachable(error, self._url)
        return error_from_rpc(error, self._url, self._timeout_s)


def observation_from_statistics(statistics: Any) -> Observation:
    """Read the ``model_stats`` of a ModelStatistics response."""
    return Observation(
        steps={model.name: _step_time(model) for model in statistics},
        batches={
            model.name: {
                batch.batch_size: (batch.compute_infer.count, _execution_ns(batch) / 1e6)
                for batch in model.batch_stats
            }
            for model in statistics
        },
    )


def difference(before: Snapshot, after: Snapshot) -> dict[str, StepTime]:
    """Return what happened between two snapshots."""
    return {name: step - before.get(name, StepTime()) for name, step in after.items()}


def _step_time(model: Any) -> StepTime:
    stats = model.inference_stats
    return StepTime(
        requests=stats.success.count,
        executions=model.execution_count,
        inferences=model.inference_count,
        success_ns=stats.success.ns,
        queue_ns=stats.queue.ns,
        compute_input_ns=stats.compute_input.ns,
        compute_infer_ns=stats.compute_infer.ns,
        compute_output_ns=stats.compute_output.ns,
        busy_ns=sum(_execution_ns(batch) for batch in model.batch_stats),
        failures=stats.fail.count,
    )


def _execution_ns(batch: Any) -> int:
    return int(batch.compute_input.ns + batch.compute_infer.ns + batch.compute_output.ns)

"""Sans-IO: what a detector does is written once, as generators that yield the steps below.

``Detector`` performs the steps with blocking calls, ``AsyncDetector`` by awaiting them. A step's
result is sent back into the generator; an error of a step is raised inside it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """One remote call; gives the response message or raises ``grpc.RpcError``."""

    method: str
    """Of Triton's GRPCInferenceService."""
    request: Any
    """The protobuf message; for ModelInfer the serialized one."""
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Compute:
    """Work for the CPU; gives what ``run`` returns."""

    run: Callable[[], Any]
    heavy: bool
    """Whether an event loop should hand it to a thread."""


@dataclass(frozen=True, slots=True)
class Together:
    """Flows that run at the same time; gives the list of their results, or the first error."""

    flows: Sequence[Flow[Any]]


Step: TypeAlias = Call | Pause | Compute | Together
Flow: TypeAlias = Generator[Step, Any, T]

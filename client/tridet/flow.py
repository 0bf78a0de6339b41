"""Sans-IO: what a detector does is written once, as generators that yield the steps below.

``Detector`` performs the steps with blocking calls, ``AsyncDetector`` by awaiting them. A step's
result is sent back into the generator; an error of a step is raised inside it. A flow has a
deadline, when it has to be over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from tridet.exceptions import InvalidInput

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


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment, and the time limit that it came from, which messages name."""

    timeout_s: float
    at_s: float
    """On ``time.monotonic()``."""

    @classmethod
    def after(cls, timeout_s: float) -> Deadline:
        """Return the moment that is ``timeout_s`` from now.

        Raises:
            InvalidInput: the limit is not positive.
        """
        check_seconds("timeout_s", timeout_s)
        return cls(timeout_s, time.monotonic() + timeout_s)

    @property
    def left_s(self) -> float:
        """Seconds until then; 0 or less when it has passed."""
        return self.at_s - time.monotonic()


def check_seconds(name: str, seconds: float) -> None:
    """Raise InvalidInput unless the time limit is positive."""
    if not seconds > 0:
        raise InvalidInput(f"{name}: expected more than 0 seconds, got {seconds!r}")

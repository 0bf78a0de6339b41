"""What a load generator notes of its requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tridet.exceptions import ModelUnknown, ServerUnreachable, TridetError

FloatArray = npt.NDArray[np.float64]

# Every further request would fail alike: nothing is left to measure.
_FATAL = (ServerUnreachable, ModelUnknown)
_COLUMNS = 5


@dataclass(frozen=True, slots=True)
class Samples:
    """The requests of one phase; moments are seconds on ``time.monotonic()``."""

    answered: FloatArray
    """float64 [n, 5], a row for each answered request: intended, sent and done moments, seconds in
    the detector's own work before sending, seconds in the call."""
    late_s: FloatArray
    """float64 [m]: how late each request of an open loop was sent, answered or not."""
    errors: Mapping[str, int]
    """Name of the error to how often it came."""
    messages: Mapping[str, str]
    """Name of the error to the first of its messages."""
    fatal: str | None
    """What ended the phase before its time."""

    @property
    def latency_s(self) -> FloatArray:
        """From the intended moment to the boxes."""
        return self.answered[:, 2] - self.answered[:, 0]

    @property
    def service_s(self) -> FloatArray:
        """From the actual sending to the boxes: what hides the wait of those not sent in time."""
        return self.answered[:, 2] - self.answered[:, 1]

    @property
    def prepare_s(self) -> FloatArray:
        """In reading, decoding, resizing or encoding the image."""
        return self.answered[:, 3]

    @property
    def call_s(self) -> FloatArray:
        """In the remote call."""
        return self.answered[:, 4]

    @property
    def failed(self) -> int:
        """How many got no answer."""
        return sum(self.errors.values())


class Recorder:
    """Collects the samples of one process."""

    def __init__(self) -> None:
        self.fatal: str | None = None
        self._rows: list[tuple[float, ...]] = []
        self._late_s: list[float] = []
        self._errors: Counter[str] = Counter()
        self._messages: dict[str, str] = {}

    def late(self, seconds: float) -> None:
        """Note how late a request of an open loop is sent."""
        self._late_s.append(seconds)

    def answered(self, *row: float) -> None:
        """Note a row of ``Samples.answered``."""
        self._rows.append(row)

    def failed(self, error: TridetError) -> None:
        """Count an error."""
        self.missed(type(error).__name__, str(error))
        if isinstance(error, _FATAL):
            self.fatal = self.fatal or str(error)

    def missed(self, kind: str, message: str) -> None:
        """Count a request that got no answer."""
        self._errors[kind] += 1
        self._messages.setdefault(kind, message)

    def samples(self) -> Samples:
        """Return all of it."""
        return Samples(
            np.array(self._rows, np.float64).reshape(-1, _COLUMNS),
            np.array(self._late_s, np.float64),
            dict(self._errors),
            self._messages,
            self.fatal,
        )


def merged(parts: Sequence[Samples]) -> Samples:
    """Return the samples of several processes as those of one."""
    errors: Counter[str] = Counter()
    messages: dict[str, str] = {}
    for part in parts:
        errors.update(part.errors)
        messages = {**part.messages, **messages}
    return Samples(
        np.concatenate([part.answered for part in parts]),
        np.concatenate([part.late_s for part in parts]),
        dict(errors),
        messages,
        next((part.fatal for part in parts if part.fatal), None),
    )

"""When a call has to be over."""

from __future__ import annotations

import time
from dataclasses import dataclass

from tridet.exceptions import InvalidInput


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

"""How hard the sources of a run are driven: windows, ages, timeouts, and their defaults."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tridet.exceptions import InvalidInput
from tridet.streaming.sources import Policy

DEFAULT_SERVER_WAIT_S = 60.0
# A window as small as throughput allows, because every frame in it makes the next one older; where
# every frame counts, more of them meet in the server's batches.
_IN_FLIGHT = {"latest": 2, "all": 8}
_MAX_AGE_S = {"latest": 1.0, "all": math.inf}


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a run; None leaves one to the policy of a source.

    Raises:
        InvalidInput: a limit makes no sense.
    """

    in_flight: int | None = None
    """Frames of one source under way at a time; see ``window``."""
    max_age_s: float | None = None
    """A frame older than this is not sent; see ``age_limit_s``."""
    timeout_s: float = 10.0
    """What one request may take."""
    server_wait_s: float = DEFAULT_SERVER_WAIT_S
    """How long the frames of a policy ``all`` wait for a server that is gone."""
    duration_s: float | None = None
    """Stop the run after that."""

    def __post_init__(self) -> None:
        for name in ("max_age_s", "timeout_s", "duration_s"):
            seconds = getattr(self, name)
            if seconds is not None and not seconds > 0:
                raise InvalidInput(f"{name}: expected more than 0 seconds, got {seconds!r}")
        if not self.server_wait_s >= 0:
            raise InvalidInput(
                f"server_wait_s: expected 0 seconds or more, got {self.server_wait_s!r}"
            )
        if self.in_flight is not None and self.in_flight < 1:
            raise InvalidInput(f"in_flight: expected 1 or more, got {self.in_flight!r}")

    def window(self, policy: Policy) -> int:
        """Return how many frames of a source of that policy are held at most, and under way."""
        return self.in_flight or _IN_FLIGHT[policy]

    def age_limit_s(self, policy: Policy) -> float:
        """Return how old a frame may be when it is sent; infinite for no limit."""
        return self.max_age_s or _MAX_AGE_S[policy]

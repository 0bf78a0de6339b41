"""Thin out frames to a rate."""

from __future__ import annotations

# Cameras stamp frames some per cent early or late; those still pass.
_TOLERANCE = 0.1


class RateLimit:
    """Lets at most ``max_fps`` frames per second pass, evenly spaced; None lets all pass."""

    def __init__(self, max_fps: float | None) -> None:
        self._interval_s = None if max_fps is None else 1 / max_fps
        self._due_s: float | None = None

    def admits(self, moment_s: float) -> bool:
        """Return whether the frame of this moment passes; moments ascend but for a fresh start."""
        interval_s = self._interval_s
        if interval_s is None:
            return True
        due_s = self._due_s
        # Far off the schedule, after a gap or a new connection, the schedule starts over.
        if due_s is None or abs(moment_s - due_s) > 2 * interval_s:
            due_s = moment_s
        elif moment_s < due_s - _TOLERANCE * interval_s:
            return False
        self._due_s = due_s + interval_s
        return True

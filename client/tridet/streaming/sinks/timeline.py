"""When the frames of a source were taken, without the jumps of the source's own clock."""

from __future__ import annotations

from tridet.streaming.frames import Frame

# Cameras that were away come back with a clock that begins anew, or anywhere at all.
_MAX_STEP_S = 60.0
_MIN_STEP_S = 0.001


class Timeline:
    """Seconds since the first frame of one source; every frame is later than the one before.

    Steps are those of the source's own clock (``pts_s``), so that a file keeps its frame times
    however fast it is read. Where that clock is missing, goes back or jumps by more than a minute,
    the step is that of the capture.
    """

    def __init__(self) -> None:
        self._pts_s: float | None = None
        self._captured_s: float | None = None
        self._now_s = 0.0

    def at(self, frame: Frame) -> float:
        """Return the time of a frame, the next one of its source."""
        if self._captured_s is not None:
            step_s = frame.captured_s - self._captured_s
            if self._pts_s is not None and frame.pts_s is not None:
                own_step_s = frame.pts_s - self._pts_s
                if 0 < own_step_s <= _MAX_STEP_S:
                    step_s = own_step_s
            self._now_s += max(_MIN_STEP_S, step_s)
        self._pts_s, self._captured_s = frame.pts_s, frame.captured_s
        return self._now_s

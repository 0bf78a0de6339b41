"""When the frames of a source are shown: one clock that neither stands still nor goes back.

Tracks, alerts, saved videos and the limit of the rate all go by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

ClockName: TypeAlias = Literal["stream", "frame rate", "arrival"]

# Far less than any frame rate's, and more than a tick of the videos that are written.
_SHORTEST_STEP_S = 0.001
# Times that go back by less are those of a careless writer, not of another recording.
_SLIP_S = 0.1


@dataclass(frozen=True, slots=True)
class Timing:
    """What can be known of the times of an open source."""

    frame_s: float | None
    """What a frame lasts by the source's frame rate; None where frames come when they come."""
    longest_step_s: float
    """A longer step of the source's own times is a jump to other ones, not a pause."""


class FrameClock:
    """The times of one source's frames in seconds, each later than the one before.

    They are the source's own wherever it has some that make sense. Where a frame has none, or they
    jump (recordings put one behind the other, a camera that comes back), the clock goes on by one
    frame of the frame rate or, of what is live, by the time since the frame before arrived, and
    from there by the source's own steps.
    """

    def __init__(self) -> None:
        self.name: ClockName = "stream"
        """What the time of the last frame came from."""
        self._timing = Timing(None, 0.0)
        self._offset_s = 0.0
        self._now_s: float | None = None
        self._arrived_s = 0.0
        self._begin_anew()

    def begin(self, timing: Timing) -> None:
        """The frames to come are those of a new connection; the clock goes on."""
        self._timing = timing
        self._begin_anew()

    def at(self, pts_s: float | None, dts_s: float | None, arrived_s: float) -> float:
        """Return the time of the next frame.

        Args:
            pts_s: its presentation time as the source gives it, None where it gives none.
            dts_s: its decoding time likewise.
            arrived_s: when it came, on ``time.monotonic()``.
        """
        last_s, own_s = self._now_s, self._own(pts_s, dts_s)
        self.name = "stream"
        if own_s is not None:
            own_s += self._offset_s
        if last_s is None:
            now_s = self._fallback(0.0, arrived_s) if own_s is None else own_s
        elif own_s is not None and 0 < own_s - last_s <= self._timing.longest_step_s:
            now_s = own_s
        else:
            now_s = self._fallback(last_s, arrived_s)
            if own_s is not None and not -_SLIP_S <= own_s - last_s <= 0:
                self._offset_s += now_s - own_s
        if last_s is not None:
            now_s = max(now_s, last_s + _SHORTEST_STEP_S)
        self._now_s, self._arrived_s = now_s, arrived_s
        return now_s

    def _fallback(self, last_s: float, arrived_s: float) -> float:
        frame_s = self._timing.frame_s
        self.name = "arrival" if frame_s is None else "frame rate"
        if self._now_s is None:
            return last_s
        return last_s + (arrived_s - self._arrived_s if frame_s is None else frame_s)

    def _begin_anew(self) -> None:
        self._last_pts_s = self._last_dts_s = float("-inf")
        self._faulty_pts = self._faulty_dts = 0

    def _own(self, pts_s: float | None, dts_s: float | None) -> float | None:
        """Return the better of the two, as FFmpeg guesses it (``best_effort_timestamp``).

        Some writers give frames their times in the order of decoding: what they call presentation
        times then goes to and fro, and the decoding times are right.
        """
        if dts_s is not None:
            self._faulty_dts += dts_s <= self._last_dts_s
            self._last_dts_s = dts_s
        elif pts_s is not None:
            self._last_dts_s = pts_s
        if pts_s is not None:
            self._faulty_pts += pts_s <= self._last_pts_s
            self._last_pts_s = pts_s
        elif dts_s is not None:
            self._last_pts_s = dts_s
        if pts_s is not None and (dts_s is None or self._faulty_pts <= self._faulty_dts):
            return pts_s
        return dts_s

"""What travels through a stream: a frame, and what was found in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tridet.detections import Detections, UInt8Array


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One decoded frame of one source."""

    source: str
    """Name of the source; holds no credentials."""
    index: int
    """Counts the frames that the source gave, from 0, dropped ones included."""
    pts_s: float
    """Presentation time in seconds, on the source's own clock where it has one that makes sense;
    later than that of the frame before, whatever happens to the source."""
    captured_at: float
    """When the frame had been received: seconds since the epoch."""
    captured_s: float
    """The same instant on ``time.monotonic()``, for latencies."""
    pixels: UInt8Array
    """uint8 [h, w, 3], BGR."""


@dataclass(frozen=True, slots=True, eq=False)
class Event:
    """Something that happened in a source: a line was crossed, a rule became true."""

    kind: str
    """``line`` or ``zone``."""
    name: str
    """Of the line or zone."""
    details: dict[str, Any] = field(default_factory=dict)
    """Plain values, as JSON takes them: direction, class name, track id, count, seconds."""


@dataclass(frozen=True, eq=False)  # no slots: its picture is kept by a weak reference to it
class StreamResult:
    """What was found in one frame."""

    frame: Frame
    detections: Detections
    latency_s: float
    """From the capture of the frame to its detections."""
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    """By zone: how many of each class it holds. By line: how many crossed ``in`` and ``out``."""
    events: tuple[Event, ...] = ()
    """What this frame brought about."""

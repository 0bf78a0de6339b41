"""The newest picture of every source, drawn and compressed only when it is asked for."""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass

import cv2

from tridet.detections import UInt8Array
from tridet.streaming.frames import StreamResult
from tridet.streaming.sinks.picture import Draw

_LONGEST_SIDE_PX = 960
_JPEG_QUALITY = 80


@dataclass(frozen=True, slots=True)
class Picture:
    """A frame with its boxes, as a JPEG."""

    source: str
    version: int
    """Another number for every picture."""
    frame: int
    """Index of the frame."""
    jpeg: bytes


class Gallery:
    """Pictures by source; safe to use from several threads.

    Args:
        draw: called for results that somebody looks at.
    """

    def __init__(self, draw: Draw) -> None:
        self._draw = draw
        self._lock = threading.Lock()
        self._versions = itertools.count()
        self._undrawn: dict[str, tuple[int, StreamResult]] = {}
        self._drawn: dict[str, Picture] = {}

    def put(self, result: StreamResult) -> None:
        """Take a result in the place of the one before it."""
        with self._lock:
            self._undrawn[result.frame.source] = (next(self._versions), result)

    def version(self, source: str) -> int | None:
        """Return the version of the newest picture; None before the first."""
        with self._lock:
            if source in self._undrawn:
                return self._undrawn[source][0]
            drawn = self._drawn.get(source)
            return drawn.version if drawn else None

    def picture(self, source: str) -> Picture | None:
        """Return the newest picture, its longest side 960 px at most; None before the first."""
        with self._lock:
            newest = self._undrawn.get(source)
            if newest is None:
                return self._drawn.get(source)
        version, result = newest
        picture = Picture(source, version, result.frame.index, _jpeg(self._draw(result)))
        with self._lock:
            self._drawn[source] = picture
            # The frame is dozens of times the size of its JPEG, which is all that is needed now.
            if self._undrawn.get(source) is newest:
                del self._undrawn[source]
        return picture


def _jpeg(pixels: UInt8Array) -> bytes:
    height, width = pixels.shape[:2]
    scale = _LONGEST_SIDE_PX / max(height, width)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        # Averaging over all pixels is expensive, and worth it only where some would be skipped.
        method = cv2.INTER_AREA if scale <= 0.5 else cv2.INTER_LINEAR
        pixels = cv2.resize(pixels, size, interpolation=method)  # type: ignore[assignment]
    _, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return encoded.tobytes()

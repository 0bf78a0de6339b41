"""One annotated picture per result, however many sinks show it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeAlias
from weakref import WeakKeyDictionary

from tridet.detections import UInt8Array
from tridet.streaming.frames import StreamResult

Draw: TypeAlias = Callable[[StreamResult], UInt8Array]
"""Returns the frame of a result, uint8 [h, w, 3] BGR, with what was found drawn on it."""


class SharedDraw:
    """Draws a result once, when the first sink asks for it; a picture lives as long as its result.

    Args:
        draw: called once per result, on the thread that asks first; others wait for it.
    """

    def __init__(self, draw: Draw) -> None:
        self._draw = draw
        self._lock = threading.Lock()
        self._pictures: WeakKeyDictionary[StreamResult, _Picture] = WeakKeyDictionary()

    def __call__(self, result: StreamResult) -> UInt8Array:
        """Return the picture, read-only: the other sinks get the same one."""
        with self._lock:
            picture = self._pictures.get(result)
            if picture is None:
                picture = self._pictures[result] = _Picture()
        with picture.lock:
            if picture.pixels is None:
                picture.pixels = self._draw(result).view()
                picture.pixels.flags.writeable = False
            return picture.pixels


class _Picture:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.pixels: UInt8Array | None = None

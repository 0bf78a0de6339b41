"""Show the annotated frames in a window."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from tridet.detections import UInt8Array
from tridet.exceptions import InvalidInput, SinkFailed
from tridet.streaming.frames import StreamResult
from tridet.streaming.sinks.picture import Draw

_WINDOW = "tridet"
_QUIT_KEYS = (ord("q"), 27)  # Esc
_REFRESH_MS = 30
_CELL = (640, 360)  # (width, height) in pixels, where several sources share the window
_PROBE = "import cv2; cv2.namedWindow('tridet'); cv2.destroyAllWindows()"
_PROBE_S = 20.0


class ShowSink:
    """Shows the newest frame of every source in one window, side by side if there are several.

    Args:
        names: of the sources, in the order of their places.
        draw: makes the pictures.
        on_quit: called on the window's thread when the user presses q or Esc or closes it.

    Raises:
        InvalidInput: no window can be opened here.
    """

    name = "--show"

    def __init__(self, names: Sequence[str], draw: Draw, on_quit: Callable[[], None]) -> None:
        _check_display()
        self._names = tuple(names)
        self._draw = draw
        self._on_quit = on_quit
        self._newest: dict[str, StreamResult] = {}
        self._changed = self._closing = False
        self._error: Exception | None = None
        self._lock = threading.Lock()
        # A thread of its own, because a window must answer while no camera gives a frame.
        self._thread = threading.Thread(target=self._run, name="tridet window", daemon=True)
        self._thread.start()

    def write(self, result: StreamResult) -> None:
        """Show a result until the next one of its source.

        Raises:
            SinkFailed: the window failed.
        """
        if self._error is not None:
            raise SinkFailed(f"{self.name}: {self._error}") from self._error
        with self._lock:
            self._newest[result.frame.source] = result
            self._changed = True

    def close(self) -> None:
        """Close the window."""
        self._closing = True
        self._thread.join()

    def _run(self) -> None:
        try:
            self._show()
        except Exception as error:  # the next write tells
            self._error = error

    def _show(self) -> None:
        cv2.namedWindow(_WINDOW, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
        shown = False
        while not self._closing:
            with self._lock:
                newest = dict(self._newest) if self._changed else {}
                self._changed = False
            if newest:
                picture = mosaic([self._picture(newest, name) for name in self._names])
                if not shown:
                    cv2.resizeWindow(_WINDOW, picture.shape[1], picture.shape[0])
                    shown = True
                cv2.imshow(_WINDOW, picture)
            key = cv2.waitKey(_REFRESH_MS) & 0xFF
            if key in _QUIT_KEYS or (shown and _is_closed()):
                self._on_quit()
                break
        cv2.destroyAllWindows()

    def _picture(self, newest: dict[str, StreamResult], name: str) -> UInt8Array | None:
        return self._draw(newest[name]) if name in newest else None


def mosaic(pictures: Sequence[UInt8Array | None]) -> UInt8Array:
    """Return the pictures side by side, in rows; a single one as it is.

    Args:
        pictures: uint8 [h, w, 3] BGR of any sizes; None leaves its place black.
    """
    if len(pictures) == 1 and pictures[0] is not None:
        return pictures[0]
    columns = math.ceil(math.sqrt(len(pictures)))
    width, height = _CELL
    rows = math.ceil(len(pictures) / columns)
    canvas = np.zeros((rows * height, columns * width, 3), np.uint8)
    for place, picture in enumerate(pictures):
        if picture is None:
            continue
        scale = min(width / picture.shape[1], height / picture.shape[0])
        size = tuple(max(1, round(side * scale)) for side in picture.shape[1::-1])
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        y = place // columns * height + (height - size[1]) // 2
        x = place % columns * width + (width - size[0]) // 2
        canvas[y : y + size[1], x : x + size[0]] = small
    return canvas


def _is_closed() -> bool:
    try:
        return cv2.getWindowProperty(_WINDOW, cv2.WND_PROP_VISIBLE) < 1
    except cv2.error:  # OpenCV 5 does not know a window any more that has been closed
        return True


def _check_display() -> None:
    # In another process: without a display, the toolkit behind OpenCV ends the one that asks.
    try:
        probe = subprocess.run(
            [sys.executable, "-c", _PROBE], capture_output=True, timeout=_PROBE_S, check=False
        )
        works = probe.returncode == 0
    except subprocess.TimeoutExpired:
        works = False
    if not works:
        raise InvalidInput(
            "--show: expected a display and an OpenCV with windows, found none; "
            "use --web to see the pictures in a browser"
        )

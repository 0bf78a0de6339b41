"""Results of a stream as an engine would deliver them, made up."""

from __future__ import annotations

import os
import sys

import numpy as np
from tridet import Detections
from tridet.streaming.frames import Frame, StreamResult

LABELS = ("short", "spur")
FPS = 25


def made_up(
    index: int = 0,
    *,
    source: str = "cam",
    size: tuple[int, int] = (320, 240),
    pts_s: float | None = None,
    captured_s: float | None = None,
    found: tuple[str, ...] = (),
    counts: dict[str, dict[str, int]] | None = None,
    pixels: np.ndarray | None = None,
) -> StreamResult:
    """Return one result at 25 frames a second; its brightness tells the index, modulo 32."""
    width, height = size
    if pixels is None:
        pixels = np.full((height, width, 3), 8 * (index % 32), np.uint8)
    frame = Frame(
        source=source,
        index=index,
        pts_s=index / FPS if pts_s is None else pts_s,
        captured_at=1_700_000_000.0 + index / FPS,
        captured_s=index / FPS if captured_s is None else captured_s,
        pixels=pixels,
    )
    boxes = [[10 * i, 10, 10 * i + 8, 20] for i in range(len(found))]
    detections = Detections(
        boxes, [0.9] * len(found), [LABELS.index(name) for name in found], LABELS, size
    )
    return StreamResult(frame, detections, 0.0125, counts or {})


def child_environment() -> dict[str, str]:
    """Return this environment, with which another Python finds all that the tests import."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def plain(result: StreamResult) -> np.ndarray:
    """Draw nothing: the frame as it is."""
    return result.frame.pixels

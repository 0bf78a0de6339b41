"""Draw zones, lines and their counts onto a frame."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from tridet.detections import UInt8Array
from tridet.streaming.zones import Areas

# At this length of the shorter side, text of scale 0.6 and lines of 2 px look right.
_REFERENCE_PX = 720
_OPACITY = 0.15


def draw_areas(
    pixels: UInt8Array, areas: Areas, counts: Mapping[str, Mapping[str, int]]
) -> UInt8Array:
    """Return a copy of uint8 [h, w, 3] BGR with the areas, in fractions, and their counts on it."""
    import supervision as sv

    height, width = pixels.shape[:2]
    size = min(width, height) / _REFERENCE_PX
    thickness = max(1, round(2 * size))
    scene: UInt8Array = np.ascontiguousarray(pixels).copy()

    def label(text: str, at: npt.NDArray[np.int64]) -> None:
        sv.draw_text(
            scene,
            text,
            sv.Point(*_within(at, text, size, width, height)),
            text_color=sv.Color.WHITE,
            text_scale=_text_scale(size),
            text_thickness=max(1, round(size)),
            text_padding=_padding(size),
            background_color=sv.Color.BLACK,
        )

    for zone in areas.zones:
        polygon = _in_pixels(zone.points, width, height)
        scene = sv.draw_filled_polygon(scene, polygon, sv.Color.YELLOW, _OPACITY)
        scene = sv.draw_polygon(scene, polygon, sv.Color.YELLOW, thickness)
    for line in areas.lines:
        start, end = (sv.Point(*point) for point in _in_pixels(line.points, width, height))
        scene = sv.draw_line(scene, start, end, sv.Color.WHITE, 2 * thickness)
        scene = sv.draw_line(scene, start, end, sv.Color.BLACK, thickness)
    # Texts last, so that no area covers them.
    for zone in areas.zones:
        polygon = _in_pixels(zone.points, width, height)
        label(_text(zone.name, counts.get(zone.name, {})), polygon[polygon[:, 1].argmin()])
    for line in areas.lines:
        middle = _in_pixels(line.points, width, height).mean(axis=0).round().astype(np.int64)
        label(_text(line.name, counts.get(line.name, {})), middle)
    return scene


def _text(name: str, counts: Mapping[str, int]) -> str:
    """``dock: person 2, truck 1``; an empty zone is ``dock: 0``."""
    return f"{name}: " + (", ".join(f"{what} {count}" for what, count in counts.items()) or "0")


def _in_pixels(
    points: tuple[tuple[float, float], ...], width: int, height: int
) -> npt.NDArray[np.int64]:
    pixels: npt.NDArray[np.int64] = np.rint(np.array(points) * [width - 1, height - 1]).astype(int)
    return pixels


def _text_scale(size: float) -> float:
    # Below this scale OpenCV's font is no longer legible, however small the frame is.
    return max(0.35, 0.6 * size)


def _padding(size: float) -> int:
    return max(2, round(6 * size))


def _within(
    at: npt.NDArray[np.int64], text: str, size: float, width: int, height: int
) -> tuple[int, int]:
    """Return the centre for a text so that all of it is on the frame, near ``at``."""
    import cv2

    (across, up), _ = cv2.getTextSize(
        text, cv2.FONT_HERSHEY_SIMPLEX, _text_scale(size), max(1, round(size))
    )
    half_x, half_y = across // 2 + _padding(size) + 1, up // 2 + _padding(size) + 1
    x = min(max(int(at[0]), half_x), max(half_x, width - half_x))
    y = min(max(int(at[1]), half_y), max(half_y, height - half_y))
    return x, y

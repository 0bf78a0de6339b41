"""Zones and lines: parts of a frame in which, and across which, objects are counted.

How they are read, checked and drawn; ``analysis.py`` counts.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from tridet.detections import UInt8Array
from tridet.exceptions import InvalidInput

Float64Array = npt.NDArray[np.float64]

# At this length of the shorter side, text of scale 0.6 and lines of 2 px look right.
_REFERENCE_PX = 720
_OPACITY = 0.15


@dataclass(frozen=True, slots=True)
class Zone:
    """A polygon; an object is in it if the centre of its box is."""

    name: str
    points: tuple[tuple[float, float], ...]
    """x, y of three corners or more; fractions of the frame if none is above 1, else pixels."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line from its first point to its second, crossed by the centres of boxes.

    Seen along that direction, ``in`` is from the right to the left, and ``out`` the other way.
    """

    name: str
    points: tuple[tuple[float, float], ...]
    """x, y of both ends; fractions of the frame if none is above 1, else pixels."""


@dataclass(frozen=True, slots=True)
class Areas:
    """The zones and lines of one source, their names unique."""

    zones: tuple[Zone, ...] = ()
    lines: tuple[Line, ...] = ()

    def __post_init__(self) -> None:
        names = Counter([zone.name for zone in self.zones] + [line.name for line in self.lines])
        twice = [name for name, count in names.items() if count > 1]
        if twice:
            raise InvalidInput(
                f"zones and lines: expected unique names, got {', '.join(twice)} more than once"
            )

    def in_fractions(self, frame_size: tuple[int, int]) -> Areas:
        """Return them in fractions of the frame, so that they hold for any resolution.

        Args:
            frame_size: (width, height) in pixels.

        Raises:
            InvalidInput: one lies outside the frame.
        """
        return Areas(
            tuple(replace(z, points=_in_fractions("zone", z, frame_size)) for z in self.zones),
            tuple(replace(li, points=_in_fractions("line", li, frame_size)) for li in self.lines),
        )


def parse_zone(text: str) -> Zone:
    """Read ``NAME=x1,y1,x2,y2,x3,y3,...``.

    Raises:
        InvalidInput: it is not that; see ``zone_from_numbers``.
    """
    return zone_from_numbers(*_name_and_numbers("zone", text, "NAME=x1,y1,x2,y2,x3,y3,..."))


def parse_line(text: str) -> Line:
    """Read ``NAME=x1,y1,x2,y2``.

    Raises:
        InvalidInput: it is not that; see ``line_from_numbers``.
    """
    return line_from_numbers(*_name_and_numbers("line", text, "NAME=x1,y1,x2,y2"))


def zone_from_numbers(name: str, numbers: Sequence[object]) -> Zone:
    """Return the zone whose corners are x1, y1, x2, y2, ... in pixels or fractions.

    Raises:
        InvalidInput: fewer than three corners, no area, or numbers that cannot be coordinates.
    """
    points = _points("zone", name, numbers)
    if len(points) < 3:
        raise InvalidInput(f"zone {name}: expected three corners or more, got {len(points)}")
    if cv2.contourArea(np.array(points, np.float32)) == 0:
        raise InvalidInput(f"zone {name}: expected corners that enclose an area, got a line")
    return Zone(name, points)


def line_from_numbers(name: str, numbers: Sequence[object]) -> Line:
    """Return the line whose ends are x1, y1 and x2, y2 in pixels or fractions.

    Raises:
        InvalidInput: not two different points, or numbers that cannot be coordinates.
    """
    points = _points("line", name, numbers)
    if len(points) != 2 or points[0] == points[1]:
        got = "the same one twice" if len(points) == 2 else len(points)
        raise InvalidInput(f"line {name}: expected two different points, got {got}")
    return Line(name, points)


def inside(zone: Zone, centres: Float64Array) -> npt.NDArray[np.bool_]:
    """Say of each point whether it is in the zone or on its border: bool [n].

    Args:
        zone: in fractions of the frame.
        centres: float64 [n, 2], x, y in fractions of the frame.
    """
    # Not supervision's PolygonZone: it rounds to whole pixels and has to be made anew, its count
    # lost, when the resolution changes.
    polygon = np.array(zone.points, np.float32)
    tests = [cv2.pointPolygonTest(polygon, (float(x), float(y)), False) >= 0 for x, y in centres]
    return np.array(tests, np.bool_)


def _name_and_numbers(kind: str, text: str, expected: str) -> tuple[str, list[str]]:
    name, equals, numbers = text.partition("=")
    if not equals or not name.strip():
        raise InvalidInput(f"{kind}: expected {expected}, got {text!r}")
    return name.strip(), numbers.split(",")


def _points(kind: str, name: str, numbers: Sequence[object]) -> tuple[tuple[float, float], ...]:
    values = [_coordinate(kind, name, number) for number in numbers]
    if len(values) % 2:
        raise InvalidInput(f"{kind} {name}: expected pairs of x and y, got {len(values)} numbers")
    if max(values, default=0) > 1 and any(0 < value < 1 for value in values):
        raise InvalidInput(
            f"{kind} {name}: expected pixels or fractions of the frame (0 to 1), got both"
        )
    return tuple(zip(values[::2], values[1::2], strict=True))


def _coordinate(kind: str, name: str, number: object) -> float:
    try:
        value = float(number)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        value = math.nan
    if isinstance(number, bool) or not math.isfinite(value) or value < 0:
        raise InvalidInput(f"{kind} {name}: expected numbers of 0 or more, got {number!r}")
    return value


def _in_fractions(
    kind: str, area: Zone | Line, frame_size: tuple[int, int]
) -> tuple[tuple[float, float], ...]:
    if max(_flat(area.points)) <= 1:
        return area.points
    width, height = frame_size
    for x, y in area.points:
        if x > width or y > height:
            raise InvalidInput(
                f"{kind} {area.name}: expected points in the frame, {width} x {height} pixels, "
                f"got {x:g},{y:g}"
            )
    return tuple((x / width, y / height) for x, y in area.points)


def _flat(points: Iterable[tuple[float, float]]) -> list[float]:
    return [value for point in points for value in point]


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
    (across, up), _ = cv2.getTextSize(
        text, cv2.FONT_HERSHEY_SIMPLEX, _text_scale(size), max(1, round(size))
    )
    half_x, half_y = across // 2 + _padding(size) + 1, up // 2 + _padding(size) + 1
    x = min(max(int(at[0]), half_x), max(half_x, width - half_x))
    y = min(max(int(at[1]), half_y), max(half_y, height - half_y))
    return x, y

"""Zones and lines: parts of a frame in which, and across which, objects are counted."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from tridet.exceptions import InvalidInput

Float64Array = npt.NDArray[np.float64]


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

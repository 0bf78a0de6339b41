"""45-degree routing on a grid, kept honest by an ownership map so that no two nets ever touch."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

Cell = tuple[int, int]
Cells = npt.NDArray[np.int64]

FREE = 0
BLOCKED = -1


class Grid:
    """Routing grid. owner: int32 [rows, cols]; 0 free, -1 blocked, k > 0 the zone of pad k."""

    def __init__(self, cols: int, rows: int) -> None:
        self.owner: npt.NDArray[np.int32] = np.zeros((rows, cols), np.int32)
        self.cols = cols
        self.rows = rows

    def claim_zone(self, pad_id: int, x0: int, y0: int, x1: int, y1: int) -> None:
        """Give the cells x0..x1, y0..y1 (inclusive) to a pad; what two pads want is for neither."""
        x0, y0 = max(x0, 0), max(y0, 0)
        zone = self.owner[y0 : y1 + 1, x0 : x1 + 1]
        zone[zone != FREE] = BLOCKED
        zone[zone == FREE] = pad_id

    def is_free(self, x0: int, y0: int, x1: int, y1: int) -> bool:
        if x0 < 0 or y0 < 0 or x1 >= self.cols or y1 >= self.rows:
            return False
        return not self.owner[y0 : y1 + 1, x0 : x1 + 1].any()

    def route(
        self,
        rng: np.random.Generator,
        start: Cell,
        end: Cell,
        start_id: int,
        end_id: int,
        clearance: int = 0,
    ) -> list[Cell] | None:
        """Route start to end and claim the cells; gives the corner cells, or None."""
        for corners in _patterns(rng, start, end):
            cells = _cells(corners)
            if cells is None or not self._passable(cells, start_id, end_id, clearance):
                continue
            self._claim(cells)
            return corners
        return None

    def _passable(self, cells: Cells, start_id: int, end_id: int, clearance: int) -> bool:
        inner = np.concatenate([cells[1:-1], _diagonal_sides(cells)])
        if clearance:
            # Wide traces need the lanes beside them too, except next to their own pads.
            shifts = np.array([(-1, 0), (1, 0), (0, -1), (0, 1)]) * clearance
            inner = np.concatenate([inner, (cells[2:-2, None] + shifts).reshape(-1, 2)])
        if not len(inner):
            return False
        if inner.min() < 0 or inner[:, 0].max() >= self.cols or inner[:, 1].max() >= self.rows:
            return False
        owners = self.owner[inner[:, 1], inner[:, 0]]
        return bool(((owners == FREE) | (owners == start_id) | (owners == end_id)).all())

    def _claim(self, cells: Cells) -> None:
        inner = np.concatenate([cells[1:-1], _diagonal_sides(cells)])
        self.owner[inner[:, 1], inner[:, 0]] = BLOCKED


def _diagonal_sides(cells: Cells) -> Cells:
    """The two cells beside every diagonal step: another net there would be within 0.7 pitches."""
    steps = np.diff(cells, axis=0)
    diagonal = (steps != 0).all(axis=1)
    at, step = cells[:-1][diagonal], steps[diagonal]
    zero = np.zeros(len(step), np.int64)
    sides = [at + np.stack([step[:, 0], zero], 1), at + np.stack([zero, step[:, 1]], 1)]
    return np.concatenate(sides)


def _cells(corners: list[Cell]) -> Cells | None:
    """Every cell along the corners, int64 [n, 2] as x, y; None if the path turns back on itself."""
    parts = [np.array([corners[0]], np.int64)]
    previous = (0, 0)
    for (x0, y0), (x1, y1) in pairwise(corners):
        length = max(abs(x1 - x0), abs(y1 - y0))
        if length == 0:
            continue
        step = ((x1 - x0) // length, (y1 - y0) // length)
        # A turn of 90 degrees or more inside a corner would make an acid trap; it also looks wrong.
        if previous[0] * step[0] + previous[1] * step[1] < 0:
            return None
        previous = step
        parts.append(np.array([x0, y0]) + np.arange(1, length + 1)[:, None] * np.array(step))
    cells = np.concatenate(parts)
    return cells if len(cells) >= 4 else None


def _legs(start: Cell, end: Cell, before: int) -> list[Cell]:
    """Straight `before` cells, then the diagonal, then straight to the end."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    sx, sy = int(np.sign(dx)), int(np.sign(dy))
    diagonal = min(abs(dx), abs(dy))
    along = (sx, 0) if abs(dx) >= abs(dy) else (0, sy)
    a = (start[0] + along[0] * before, start[1] + along[1] * before)
    b = (a[0] + sx * diagonal, a[1] + sy * diagonal)
    return [start, a, b, end]


def _patterns(rng: np.random.Generator, start: Cell, end: Cell) -> list[list[Cell]]:
    """Candidate corner lists, the tidy ones first, then detours through a random waypoint."""
    dx, dy = abs(end[0] - start[0]), abs(end[1] - start[1])
    rest = max(dx, dy) - min(dx, dy)
    splits = [rest // 2, 0, rest, int(rng.integers(0, rest + 1))]
    found = [_legs(start, end, before) for before in dict.fromkeys(splits)]
    for _ in range(5):
        reach = 3 + max(dx, dy) // 3
        middle = (
            (start[0] + end[0]) // 2 + int(rng.integers(-reach, reach + 1)),
            (start[1] + end[1]) // 2 + int(rng.integers(-reach, reach + 1)),
        )
        first = max(abs(middle[0] - start[0]), abs(middle[1] - start[1])) - min(
            abs(middle[0] - start[0]), abs(middle[1] - start[1])
        )
        found.append(_legs(start, middle, first) + _legs(middle, end, 0)[1:])
    return found

"""The six defect classes, made by editing the copper or the drill layer so that boxes are exact.

Each maker proposes an edit on a small patch; the edit is kept only if it is unambiguous: it touches
no other net (unless it is a short), no pad, no silkscreen, lies inside the picture, and stands
clear of other defects.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from .copper import PAD_NET, POUR_NET, Layers, fill_polygon
from .types import BOX_MARGIN_UNITS, CLASS_NAMES, F32, F64, I64, U8, U16, BoolArray, Defect, Layout

_CHANGED = 48  # coverage levels; below this an anti-aliased edge pixel has not visibly changed
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class _Spot:
    """A point on a straight trace. centre, along, normal: float64 [2]; room: units to its end."""

    net: int
    width: float
    centre: F64
    along: F64
    normal: F64
    room: float


class DefectPlacer:
    """Edits `layers` in place. to_image: float64 [3, 3] homography, canvas px to image px."""

    def __init__(
        self,
        rng: np.random.Generator,
        layout: Layout,
        layers: Layers,
        to_image: F64,
        image_size: tuple[int, int],
    ) -> None:
        self.rng = rng
        self.layout = layout
        self.layers = layers
        self.to_image = to_image
        self.image_size = image_size
        self.placed: list[Defect] = []
        self._segments = _segments(layout)
        self._distance, self._open_cells = _open_space(layers)
        self._makers: tuple[Callable[[], bool], ...] = (
            self._missing_hole,
            self._mouse_bite,
            self._open_circuit,
            self._short,
            self._spur,
            self._spurious_copper,
        )

    def place(self, count: int) -> list[Defect]:
        """Try to place `count` defects of random classes; a very bare board may hold fewer."""
        rng = self.rng
        # Places for a short are rare, so it is asked for more often, to even the classes out.
        weights = np.array([1.0, 1.0, 1.1, 1.7, 1.1, 0.9])
        if rng.random() < 0.25:  # HRIPCB boards show one class each; most of ours mix them
            weights[np.arange(len(weights)) != rng.integers(0, len(weights))] = 0
        misses = 0
        while len(self.placed) < count and misses < 12:
            class_id = int(rng.choice(len(CLASS_NAMES), p=weights / weights.sum()))
            if not any(self._makers[class_id]() for _ in range(60)):
                misses += 1
                weights[:] = 1
        return self.placed

    # One maker per class, in the order of CLASS_NAMES.

    def _missing_hole(self) -> bool:
        holes = [p for p in self.layout.pads if p.kind == "th"]
        if not holes:
            return False
        pad = holes[int(self.rng.integers(0, len(holes)))]
        window = self._window(np.array([pad.x, pad.y]), pad.hole / 2 + 2)
        if window is None:
            return False
        changed = self.layers.drill[window] > _CHANGED
        if not changed.any() or not self._record(0, changed, window):
            return False
        self.layers.drill[window] = 0
        return True

    def _mouse_bite(self) -> bool:
        rng, spot = self.rng, self._spot(9.0)
        if spot is None:
            return False
        length = float(rng.uniform(8.0, min(16.0, spot.room * 1.6)))
        depth = spot.width * float(rng.uniform(0.5, 0.68))
        t = np.linspace(-1, 1, 15)
        lobes = 1 + 0.18 * np.cos(t * float(rng.uniform(3, 8)) + float(rng.uniform(0, 6)))
        profile = np.clip(depth * np.sqrt(1 - t**2) ** 0.8 * lobes, 0, spot.width * 0.7)
        side = float(rng.choice((-1.0, 1.0)))
        edge = spot.centre + spot.normal * side * spot.width / 2
        inner: F64 = (
            edge + np.outer(t * length / 2, spot.along) - np.outer(profile, spot.normal * side)
        )
        lip = edge + spot.normal * side * 1.2
        outer = lip + np.outer([length / 2, -length / 2], spot.along)
        return self._cut(1, spot, np.concatenate([inner, outer]), length / 2 + 8)

    def _open_circuit(self) -> bool:
        rng, spot = self.rng, self._spot(8.0)
        if spot is None:
            return False
        gap, half = float(rng.uniform(5.0, 11.0)), spot.width / 2 + 1.2
        across = np.linspace(-1, 1, 6)
        slant = float(rng.uniform(-0.25, 0.25)) * spot.width
        sides = []
        for sign in (-1.0, 1.0):
            reach = sign * gap / 2 + across * slant + rng.uniform(-0.9, 0.9, len(across))
            side = spot.centre + np.outer(reach, spot.along) + np.outer(across * half, spot.normal)
            sides.append(side if sign < 0 else side[::-1])
        return self._cut(2, spot, np.concatenate(sides), gap / 2 + 9)

    def _short(self) -> bool:
        rng, spot = self.rng, self._spot(8.0)
        if spot is None:
            return False
        direction = spot.normal * float(rng.choice((-1.0, 1.0)))
        other = self._foreign_copper(spot, direction)
        if other is None:
            return False
        reach = other + 2.0  # end inside the other copper, so that the bridge really joins
        width = float(rng.uniform(4.5, 9.0))
        t = np.linspace(0, 1, 6)
        waist = 1 - float(rng.uniform(0, 0.35)) * np.sin(t * np.pi)
        bend = float(rng.uniform(-2.0, 2.0)) * np.sin(t * np.pi)
        line = spot.centre + np.outer(t * reach, direction) + np.outer(bend, spot.along)
        half = np.outer(width / 2 * waist + rng.uniform(-0.6, 0.6, len(t)), spot.along)
        return self._add(3, np.concatenate([line + half, (line - half)[::-1]]), spot, bridges=True)

    def _spur(self) -> bool:
        rng, spot = self.rng, self._spot(8.0)
        if spot is None:
            return False
        direction = spot.normal * float(rng.choice((-1.0, 1.0)))
        direction = direction + spot.along * float(rng.uniform(-0.45, 0.45))
        length, base = float(rng.uniform(7.0, 13.0)), float(rng.uniform(4.5, 8.0))
        t = np.linspace(0, 1, 6)
        taper = (1 - t * float(rng.uniform(0.25, 0.75))) * base / 2
        taper[-1] *= 0.55
        line = spot.centre + np.outer(t * (length + spot.width / 2), direction)
        half = np.outer(taper + rng.uniform(-0.35, 0.35, len(t)), spot.along)
        return self._add(4, np.concatenate([line + half, (line - half)[::-1]]), spot)

    def _spurious_copper(self) -> bool:
        rng, cells = self.rng, self._open_cells
        if not len(cells):
            return False
        row, col = cells[int(rng.integers(0, len(cells)))]
        radius = float(rng.uniform(4.5, min(10.0, float(self._distance[row, col]) - 4.5)))
        angle = np.linspace(0, 2 * np.pi, 14, endpoint=False)
        wobble = 1 + 0.22 * np.cos(angle * 2 + rng.uniform(0, 6)) * rng.uniform(0, 1)
        wobble = (
            wobble + 0.14 * np.cos(angle * 3 + rng.uniform(0, 6)) + rng.uniform(-0.06, 0.06, 14)
        )
        blob = np.stack([np.cos(angle), np.sin(angle) * rng.uniform(0.55, 1.0)], 1)
        blob = blob * (wobble / wobble.max())[:, None] * radius
        turn = float(rng.uniform(0, np.pi))
        spin = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        return self._add(5, blob @ spin.T + np.array([col + 0.5, row + 0.5]), None)

    # Shared machinery.

    def _spot(self, room: float) -> _Spot | None:
        """A random point at least `room` units from both ends of a straight piece of trace."""
        points, widths, nets = self._segments
        if not len(nets):
            return None
        lengths = np.linalg.norm(points[:, 1] - points[:, 0], axis=1)
        weights = np.clip(lengths - 2 * room, 0, None)
        if weights.sum() <= 0:
            return None
        i = int(self.rng.choice(len(nets), p=weights / weights.sum()))
        along = (points[i, 1] - points[i, 0]) / lengths[i]
        at = float(self.rng.uniform(room, lengths[i] - room))
        normal = np.array([-along[1], along[0]])
        near_end = min(at, float(lengths[i]) - at)
        return _Spot(
            int(nets[i]), float(widths[i]), points[i, 0] + along * at, along, normal, near_end
        )

    def _foreign_copper(self, spot: _Spot, direction: F64) -> float | None:
        """Distance in units along `direction` to the nearest copper of another net, if any."""
        steps = np.arange(spot.width / 2 + 5.0, spot.width / 2 + 28.0, 0.4)
        points = np.round((spot.centre + np.outer(steps, direction)) * self.layers.scale).astype(
            int
        )
        rows, cols = self.layers.nets.shape
        inside = (points >= 0).all(axis=1) & (points[:, 0] < cols) & (points[:, 1] < rows)
        seen = self.layers.nets[points[inside][:, 1], points[inside][:, 0]]
        hits = np.flatnonzero(seen)
        if not len(hits):
            return None
        net = int(seen[hits[0]])
        pour_ok = net == POUR_NET and not self.layout.pour_hatched
        if net == spot.net or (net >= PAD_NET and not pour_ok):
            return None
        return float(steps[inside][hits[0]])

    def _window(self, centre: F64, radius: float) -> tuple[slice, slice] | None:
        """Canvas rows and columns of a square around a point; None if it leaves the canvas."""
        scale = self.layers.scale
        x0, y0 = np.floor((centre - radius) * scale).astype(int)
        x1, y1 = np.ceil((centre + radius) * scale).astype(int)
        rows, cols = self.layers.copper.shape
        if x0 < 0 or y0 < 0 or x1 >= cols or y1 >= rows:
            return None
        return slice(int(y0), int(y1)), slice(int(x0), int(x1))

    def _draw(self, polygon: F64, window: tuple[slice, slice]) -> U8:
        patch = np.zeros(self.layers.copper[window].shape, np.uint8)
        scale = self.layers.scale
        fill_polygon(patch, polygon - np.array([window[1].start, window[0].start]) / scale, scale)
        return patch

    def _cut(self, class_id: int, spot: _Spot, polygon: F64, radius: float) -> bool:
        window = self._window(spot.centre, radius)
        if window is None:
            return False
        shape = self._draw(polygon, window)
        if self._touches(shape, window, (0, spot.net), 2.0):
            return False
        old = self.layers.copper[window]
        new = np.minimum(old, 255 - shape)
        return self._commit(class_id, old, new, window)

    def _add(self, class_id: int, polygon: F64, spot: _Spot | None, bridges: bool = False) -> bool:
        centre = (polygon.min(axis=0) + polygon.max(axis=0)) / 2
        window = self._window(centre, float(np.ptp(polygon, axis=0).max()) / 2 + 7)
        if window is None:
            return False
        shape = self._draw(polygon, window)
        old = self.layers.copper[window]
        if not bridges:
            nets = (0,) if spot is None else (0, spot.net)
            if self._touches(shape, window, nets, 4.4):
                return False
        elif (
            self._touches(shape, window, None, 2.0) or _joined(shape, self.layers.nets[window]) != 2
        ):
            return False
        return self._commit(class_id, old, np.maximum(old, shape), window)

    def _touches(
        self, shape: U8, window: tuple[slice, slice], nets: tuple[int, ...] | None, clearance: float
    ) -> bool:
        """Whether the shape, grown by `clearance` units, meets pads, silkscreen or another net."""
        size = 2 * round(clearance * self.layers.scale) + 1
        grown = cv2.dilate(shape, np.ones((size, size), np.uint8)) > 0
        layers = self.layers
        if (layers.keepout[window][grown] > 0).any() or (layers.silk[window][grown] > 0).any():
            return True
        return nets is not None and not bool(np.isin(layers.nets[window][grown], nets).all())

    def _commit(self, class_id: int, old: U8, new: U8, window: tuple[slice, slice]) -> bool:
        changed = cv2.absdiff(old, new) > _CHANGED
        if not changed.any() or not self._record(class_id, changed, window):
            return False
        self.layers.copper[window] = new
        return True

    def _record(self, class_id: int, changed: BoolArray, window: tuple[slice, slice]) -> bool:
        """Box the changed pixels in the image; refuse if hidden, tiny or near another defect."""
        rows, cols = np.nonzero(changed)
        x, y = cols + window[1].start, rows + window[0].start
        halves = [(dx, dy) for dx in (-0.5, 0.5) for dy in (-0.5, 0.5)]
        outline = np.concatenate([np.stack([x + dx, y + dy], 1) for dx, dy in halves])
        warped = cv2.perspectiveTransform(outline[:, None].astype(np.float64), self.to_image)[:, 0]
        x0, y0 = (float(v) + 0.5 for v in warped.min(axis=0))
        x1, y1 = (float(v) + 0.5 for v in warped.max(axis=0))
        width, height = self.image_size
        unit = max(width, height) / 640.0
        margin = BOX_MARGIN_UNITS * unit
        box = (x0 - margin, y0 - margin, x1 + margin, y1 + margin)
        if box[0] < 0 or box[1] < 0 or box[2] > width or box[3] > height:
            return False
        if max(x1 - x0, y1 - y0) < 5.0 * unit:
            return False
        if any(_near(box, other.box, 4.0 * unit) for other in self.placed):
            return False
        self.placed.append(Defect(class_id, box, (x0, y0, x1, y1)))
        return True


def _near(a: Box, b: Box, gap: float) -> bool:
    return a[0] - gap < b[2] and b[0] - gap < a[2] and a[1] - gap < b[3] and b[1] - gap < a[3]


def _joined(shape: U8, nets: U16) -> int:
    """How many different nets the shape meets."""
    met = np.unique(nets[shape > 127])
    return int((met > 0).sum())


def _segments(layout: Layout) -> tuple[F64, F64, I64]:
    """All straight pieces: ends float64 [n, 2, 2] in units, widths float64 [n], nets int64 [n]."""
    ends, widths, nets = [], [], []
    for trace in layout.traces:
        for start, end in zip(trace.points[:-1], trace.points[1:], strict=True):
            ends.append((start, end))
            widths.append(trace.width)
            nets.append(trace.net)
    return np.array(ends, float).reshape(-1, 2, 2), np.array(widths, float), np.array(nets, int)


def _open_space(layers: Layers) -> tuple[F32, I64]:
    """Distance to the nearest feature, float32 [rows, cols] in units; roomy cells int64 [n, 2]."""
    rows, cols = layers.copper.shape
    size = (max(1, round(cols / layers.scale)), max(1, round(rows / layers.scale)))
    busy = np.maximum(np.maximum(layers.copper, layers.silk), layers.keepout)
    small = cv2.resize(busy, size, interpolation=cv2.INTER_AREA)
    free = np.pad((small < 24).astype(np.uint8)[1:-1, 1:-1], 1)
    distance = cv2.distanceTransform(free, cv2.DIST_L2, 5).astype(np.float32, copy=False)
    return distance, np.argwhere(distance > 9.5).astype(np.int64, copy=False)

"""Place parts on a grid and route them: a defect-free board as geometry."""

from __future__ import annotations

import numpy as np

from .footprints import Footprint, random_footprint
from .routing import BLOCKED, Cell, Grid
from .types import Label, Layout, Pad, Stroke, Trace

_WORDS = ("CTRL", "PWR", "MAIN", "SENSE", "IO", "AMP", "DRV", "LINK", "RF", "USB", "MCU", "ADC")


class _Builder:
    """State while one board grows: the grid, pads by id (from 1), the cells that parts occupy."""

    def __init__(self, rng: np.random.Generator, layout: Layout) -> None:
        self.rng = rng
        self.layout = layout
        pitch = layout.pitch
        self.margin = 1.3 * pitch
        cols = int((layout.width - 2 * self.margin) / pitch) + 1
        rows = int((layout.height - 2 * self.margin) / pitch) + 1
        self.grid = Grid(cols, rows)
        self.taken = np.zeros((rows, cols), bool)
        self.pad_cells: list[Cell] = []  # of pad id - 1
        self.part_of: list[int] = []  # of pad id - 1; vias have -1
        self.corners: list[list[Cell]] = []  # of each trace
        self.trace_width = float(np.clip(pitch * rng.uniform(0.37, 0.48), 4.7, 8.5))

    def units(self, cell: Cell) -> tuple[float, float]:
        pitch = self.layout.pitch
        return self.margin + cell[0] * pitch, self.margin + cell[1] * pitch

    def place(self, part: Footprint, number: int, gap: int) -> bool:
        rng, grid = self.rng, self.grid
        if part.cols + 2 >= grid.cols or part.rows + 2 >= grid.rows:
            return False
        for _ in range(20):
            col = int(rng.integers(1, grid.cols - part.cols))
            row = int(rng.integers(1, grid.rows - part.rows))
            y0, x0 = max(row - gap, 0), max(col - gap, 0)
            if self.taken[y0 : row + part.rows + gap, x0 : col + part.cols + gap].any():
                continue
            self.taken[
                max(row - 1, 0) : row + part.rows + 1, max(col - 1, 0) : col + part.cols + 1
            ] = True
            self._add(part, number, col, row)
            return True
        return False

    def _add(self, part: Footprint, number: int, col: int, row: int) -> None:
        ox, oy = self.units((col, row))
        for item in part.pads:
            cell = (col + item.col, row + item.row)
            self.add_pad(_moved(item.pad, ox, oy), cell, number, item.reach_x, item.reach_y)
        for stroke in part.strokes:
            moved = stroke.points + np.array([ox, oy])
            self.layout.strokes.append(Stroke(moved, stroke.closed))
        pitch = self.layout.pitch
        text = f"{part.prefix}{number + 1}"
        height = float(np.clip(pitch * 0.72, 8.5, 11))
        if self.rng.random() < 0.8:
            self.layout.labels.append(Label(ox - 0.6 * pitch, oy - 1.35 * pitch, text, height))

    def add_pad(self, pad: Pad, cell: Cell, part: int, reach_x: int, reach_y: int) -> int:
        self.layout.pads.append(pad)
        self.pad_cells.append(cell)
        self.part_of.append(part)
        pad_id = len(self.pad_cells)
        x, y = cell
        self.grid.claim_zone(pad_id, x - reach_x, y - reach_y, x + reach_x, y + reach_y)
        return pad_id

    def connect(self, a: int, b: int, width: float) -> bool:
        clearance = 1 if width > self.trace_width * 1.2 else 0
        corners = self.grid.route(
            self.rng, self.pad_cells[a - 1], self.pad_cells[b - 1], a, b, clearance
        )
        if corners is None:
            return False
        self._add_trace(corners, width)
        return True

    def connect_to_new_via(self, a: int, end: Cell, width: float) -> bool:
        x, y = end
        grid = self.grid
        if not (1 <= x < grid.cols - 1 and 1 <= y < grid.rows - 1):
            return False
        if not grid.is_free(x - 1, y - 1, x + 1, y + 1):
            return False
        corners = grid.route(self.rng, self.pad_cells[a - 1], end, a, a)
        if corners is None:
            return False
        self.add_via(end)
        self._add_trace(corners, width)
        return True

    def add_via(self, cell: Cell) -> int:
        x, y = self.units(cell)
        size = float(np.clip(self.layout.pitch * 0.8, 9.2, 12.5))
        pad = Pad(x, y, "via", "round", size, size, size * 0.46)
        return self.add_pad(pad, cell, -1, 1, 1)

    def branch(self, index: int, end: Cell) -> bool:
        """Fork off the middle of a trace to a new via at `end`; the fork is of the same net."""
        rng, corners, grid = self.rng, self.corners[index], self.grid
        k = int(rng.integers(0, len(corners) - 1))
        (x0, y0), (x1, y1) = corners[k], corners[k + 1]
        length = max(abs(x1 - x0), abs(y1 - y0))
        x, y = end
        inside = 1 <= x < grid.cols - 1 and 1 <= y < grid.rows - 1
        if length < 6 or not inside or not grid.is_free(x - 1, y - 1, x + 1, y + 1):
            return False
        at = int(rng.integers(3, length - 2))
        start = (x0 + (x1 - x0) // length * at, y0 + (y1 - y0) // length * at)
        path = grid.route(rng, start, end, BLOCKED - 1, BLOCKED - 1)
        if path is None:
            return False
        self.add_via(end)
        parent = self.layout.traces[index]
        self._add_trace(path, parent.width, parent.net)
        return True

    def _add_trace(self, corners: list[Cell], width: float, net: int | None = None) -> None:
        points = np.array([self.units(c) for c in corners])
        keep = np.concatenate([[True], (np.diff(points, axis=0) != 0).any(axis=1)])
        self.corners.append(corners)
        self.layout.traces.append(Trace(points[keep], width, net or len(self.layout.traces) + 1))


def _moved(pad: Pad, dx: float, dy: float) -> Pad:
    return Pad(pad.x + dx, pad.y + dy, pad.kind, pad.shape, pad.width, pad.height, pad.hole)


def make_layout(rng: np.random.Generator, width: float, height: float) -> Layout:
    """A board of the given size in units, routed, with silkscreen and perhaps a copper pour."""
    layout = Layout(width, height, pitch=float(rng.uniform(11.8, 18.0)))
    layout.tented_vias = bool(rng.random() < 0.5)
    builder = _Builder(rng, layout)
    _mounting_holes(builder)
    gap = int(rng.choice((2, 3, 4), p=(0.4, 0.45, 0.15)))
    wanted = int(builder.grid.cols * builder.grid.rows / rng.uniform(30, 85))
    number = 0
    for _ in range(wanted):
        part = random_footprint(rng, layout.pitch)
        number += builder.place(part, number, gap)
    _route(builder)
    _silkscreen_extras(builder)
    if rng.random() < 0.35:
        _add_pour(builder)
    return layout


def _mounting_holes(builder: _Builder) -> None:
    rng, grid = builder.rng, builder.grid
    if rng.random() < 0.4 or grid.cols < 14 or grid.rows < 14:
        return
    size = builder.layout.pitch * float(rng.uniform(2.2, 2.9))
    for x, y in ((2, 2), (grid.cols - 3, 2), (2, grid.rows - 3), (grid.cols - 3, grid.rows - 3)):
        ux, uy = builder.units((x, y))
        pad = Pad(ux, uy, "mount", "round", size, size, size * 0.66)
        builder.add_pad(pad, (x, y), -2, 2, 2)
        builder.taken[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3] = True


def _route(builder: _Builder) -> None:
    rng, grid = builder.rng, builder.grid
    order = [i + 1 for i, part in enumerate(builder.part_of) if part >= 0]
    rng.shuffle(order)
    cells = np.array(builder.pad_cells, np.int64).reshape(-1, 2)
    parts = np.array(builder.part_of)
    used: set[int] = set()
    for a in order:
        if a in used:
            continue
        width = builder.trace_width * (1.5 if rng.random() < 0.12 else 1.0)
        span = np.abs(cells - cells[a - 1]).max(axis=1)
        others = np.flatnonzero((parts >= 0) & (parts != parts[a - 1]) & (span > 3)) + 1
        others = others[np.argsort(span[others - 1] + rng.uniform(0, 8, len(others)))][:5]
        for b in others:
            if int(b) not in used and builder.connect(a, int(b), width):
                used.update((a, int(b)))
                break
        else:
            x, y = builder.pad_cells[a - 1]
            for _ in range(8):
                end = (x + int(rng.integers(-8, 9)), y + int(rng.integers(-8, 9)))
                if builder.connect_to_new_via(a, end, builder.trace_width):
                    used.add(a)
                    break
    _buses(builder)
    # Traces that belong to the other layer's parts come up through a via and leave through another.
    for _ in range(int(grid.cols * grid.rows / rng.uniform(3, 14))):
        start = (int(rng.integers(1, grid.cols - 1)), int(rng.integers(1, grid.rows - 1)))
        end = (start[0] + int(rng.integers(-11, 12)), start[1] + int(rng.integers(-9, 10)))
        _via_to_via(builder, start, end)
    if rng.random() < 0.5:
        _branches(builder)


def _branches(builder: _Builder) -> None:
    """Forks, so that a joint between traces of one net is not mistaken for a short or a spur."""
    rng = builder.rng
    for index in range(len(builder.corners)):
        for _ in range(3 if rng.random() < 0.4 else 0):
            x, y = builder.corners[index][0]
            if builder.branch(
                index, (x + int(rng.integers(-10, 11)), y + int(rng.integers(-10, 11)))
            ):
                break


def _buses(builder: _Builder) -> None:
    """Groups of parallel traces, their vias staggered so that they fit."""
    rng, grid = builder.rng, builder.grid
    for _ in range(int(grid.cols * grid.rows / rng.uniform(30, 160))):
        x, y = int(rng.integers(1, grid.cols - 1)), int(rng.integers(1, grid.rows - 1))
        along, across = int(rng.integers(5, 15)), int(rng.integers(-5, 6))
        upright = bool(rng.random() < 0.5)
        for lane in range(int(rng.integers(3, 7))):
            a, b = (3 * (lane % 2), 2 * lane), (along + 3 * (lane % 2), across + 2 * lane)
            if upright:
                a, b = a[::-1], b[::-1]
            _via_to_via(builder, (x + a[0], y + a[1]), (x + b[0], y + b[1]))


def _via_to_via(builder: _Builder, start: Cell, end: Cell) -> None:
    x, y = start
    grid = builder.grid
    if not grid.is_free(x - 1, y - 1, x + 1, y + 1):
        return
    before = grid.owner.copy()
    via = builder.add_via(start)
    if not builder.connect_to_new_via(via, end, builder.trace_width):
        # A via with no trace is legal but a board full of them is not: take it back.
        builder.layout.pads.pop()
        builder.pad_cells.pop()
        builder.part_of.pop()
        grid.owner[:] = before


def _silkscreen_extras(builder: _Builder) -> None:
    rng, layout = builder.rng, builder.layout
    text = f"{rng.choice(_WORDS)}-{rng.integers(10, 999)} REV {rng.choice(list('ABCDE'))}"
    height = float(rng.uniform(9, 16))
    if rng.random() < 0.75:
        y = layout.height - layout.pitch * float(rng.uniform(0.8, 2.0))
        layout.labels.append(Label(layout.width * float(rng.uniform(0.1, 0.5)), y, text, height))
    if rng.random() < 0.3:
        x = layout.pitch * float(rng.uniform(1.2, 2.2))
        code = f"{rng.integers(1000, 9999)}-{rng.integers(10, 53)}"
        layout.labels.append(
            Label(x, layout.height * float(rng.uniform(0.5, 0.8)), code, 9.0, True)
        )


def _add_pour(builder: _Builder) -> None:
    rng, layout = builder.rng, builder.layout
    inset = layout.pitch * 0.6
    x0, y0, x1, y1 = inset, inset, layout.width - inset, layout.height - inset
    kind = int(rng.integers(0, 3))
    if kind == 0:
        x0 = layout.width * float(rng.uniform(0.4, 0.7))
    elif kind == 1:
        y1 = layout.height * float(rng.uniform(0.3, 0.6))
    layout.pour = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
    layout.pour_hatched = bool(rng.random() < 0.3)

"""Component footprints: pads at grid cells, silkscreen, and the cells a part keeps for itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .types import Pad, Stroke


@dataclass(frozen=True)
class FootprintPad:
    """A pad at cell (col, row); reach_x, reach_y: cells around it that only its net may enter."""

    col: int
    row: int
    pad: Pad  # centre relative to the part's origin, in units
    reach_x: int
    reach_y: int


@dataclass(frozen=True)
class Footprint:
    """A part. cols, rows: its size in cells, the origin being the top-left cell."""

    prefix: str
    cols: int
    rows: int
    pads: tuple[FootprintPad, ...]
    strokes: tuple[Stroke, ...]


def random_footprint(rng: np.random.Generator, pitch: float) -> Footprint:
    kinds = ("dip", "header", "axial", "radial", "chip", "soic", "qfp", "transistor")
    weights = (0.16, 0.16, 0.16, 0.12, 0.16, 0.1, 0.05, 0.09)
    kind = str(rng.choice(kinds, p=weights))
    if kind == "dip":
        return _dip(rng, pitch)
    if kind == "header":
        return _header(rng, pitch)
    if kind == "axial":
        return _two_lead(rng, pitch, int(rng.integers(4, 8)), "R" if rng.random() < 0.7 else "D")
    if kind == "radial":
        return _radial(rng, pitch)
    if kind == "chip":
        return _chip(rng, pitch)
    if kind == "soic":
        return _soic(rng, pitch)
    if kind == "qfp":
        return _qfp(rng, pitch)
    return _transistor(rng, pitch)


def _through(rng_shape: str, pitch: float, size: float, col: int, row: int) -> FootprintPad:
    width = pitch * size
    height = width * (1.35 if rng_shape == "oval" else 1.0)
    pad = Pad(col * pitch, row * pitch, "th", rng_shape, width, height, width * 0.52)
    return FootprintPad(col, row, pad, 1, 1)


def _rect(x0: float, y0: float, x1: float, y1: float) -> Stroke:
    return Stroke(np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], float), closed=True)


def _circle(x: float, y: float, radius: float) -> Stroke:
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    return Stroke(
        np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], 1), closed=True
    )


def _turned(part: Footprint, quarter: bool) -> Footprint:
    """The part with rows and columns exchanged if `quarter`."""
    if not quarter:
        return part
    pads = tuple(
        FootprintPad(
            p.row,
            p.col,
            Pad(p.pad.y, p.pad.x, p.pad.kind, p.pad.shape, p.pad.height, p.pad.width, p.pad.hole),
            p.reach_y,
            p.reach_x,
        )
        for p in part.pads
    )
    strokes = tuple(Stroke(s.points[:, ::-1].copy(), s.closed) for s in part.strokes)
    return Footprint(part.prefix, part.rows, part.cols, pads, strokes)


def _dip(rng: np.random.Generator, pitch: float) -> Footprint:
    pins, gap = int(rng.integers(4, 9)), int(rng.choice((5, 6)))
    size = float(rng.uniform(1.3, 1.5))
    common = "oval" if rng.random() < 0.25 else "round"
    pads = []
    for i in range(pins):
        for j in (0, gap):
            shape = "rect" if i == 0 and j == 0 else common
            base = _through(shape if shape != "oval" else "round", pitch, size, i * 2, j)
            if shape == "oval":
                base = _through("oval", pitch, size * 0.92, i * 2, j)
            pads.append(base)
    x1, y0, y1 = (pins - 1) * 2 * pitch, 1.15 * pitch, (gap - 1.15) * pitch
    middle = (y0 + y1) / 2
    notch = np.linspace(-np.pi / 2, np.pi / 2, 12)
    arc = np.stack(
        [-0.7 * pitch + 0.5 * pitch * np.cos(notch), middle + 0.5 * pitch * np.sin(notch)], 1
    )
    strokes = (_rect(-0.7 * pitch, y0, x1 + 0.7 * pitch, y1), Stroke(arc))
    part = Footprint("U", (pins - 1) * 2 + 1, gap + 1, tuple(pads), strokes)
    return _turned(part, bool(rng.random() < 0.5))


def _header(rng: np.random.Generator, pitch: float) -> Footprint:
    pins, rows = int(rng.integers(3, 11)), int(rng.choice((1, 2), p=(0.7, 0.3)))
    size = float(rng.uniform(1.3, 1.5))
    pads = tuple(
        _through("rect" if i == 0 and j == 0 else "round", pitch, size, i * 2, j * 2)
        for i in range(pins)
        for j in range(rows)
    )
    x1, y1 = (pins - 1) * 2 * pitch, (rows - 1) * 2 * pitch
    outline = _rect(-1.1 * pitch, -1.1 * pitch, x1 + 1.1 * pitch, y1 + 1.1 * pitch)
    part = Footprint("J", (pins - 1) * 2 + 1, (rows - 1) * 2 + 1, pads, (outline,))
    return _turned(part, bool(rng.random() < 0.5))


def _two_lead(rng: np.random.Generator, pitch: float, span: int, prefix: str) -> Footprint:
    size = float(rng.uniform(1.3, 1.55))
    pads = tuple(_through("round", pitch, size, col, 0) for col in (0, span))
    x0, x1, half = 1.1 * pitch, (span - 1.1) * pitch, 0.8 * pitch
    strokes = [_rect(x0, -half, x1, half)]
    if prefix == "D":
        bar = x0 + 0.5 * pitch
        strokes.append(Stroke(np.array([[bar, -half], [bar, half]])))
    part = Footprint(prefix, span + 1, 1, pads, tuple(strokes))
    return _turned(part, bool(rng.random() < 0.5))


def _radial(rng: np.random.Generator, pitch: float) -> Footprint:
    span = int(rng.choice((2, 3, 4)))
    pads = tuple(_through("round", pitch, 1.45, col, 0) for col in (0, span))
    part = Footprint(
        "C", span + 1, 1, pads, (_circle(span * pitch / 2, 0, (span / 2 + 1.1) * pitch),)
    )
    return _turned(part, bool(rng.random() < 0.5))


def _transistor(rng: np.random.Generator, pitch: float) -> Footprint:
    pads = tuple(_through("rect" if i == 0 else "round", pitch, 1.4, i * 2, 0) for i in range(3))
    angle = np.linspace(np.pi, 2 * np.pi, 24)
    arc = np.stack(
        [2 * pitch + 3.1 * pitch * np.cos(angle), pitch + 2.6 * pitch * np.sin(angle)], 1
    )
    part = Footprint("Q", 5, 1, pads, (Stroke(arc, closed=True),))
    return _turned(part, bool(rng.random() < 0.5))


def _smd(
    pitch: float, col: int, row: int, width: float, height: float, rx: int, ry: int
) -> FootprintPad:
    pad = Pad(col * pitch, row * pitch, "smd", "rect", width * pitch, height * pitch)
    return FootprintPad(col, row, pad, rx, ry)


def _chip(rng: np.random.Generator, pitch: float) -> Footprint:
    span = int(rng.choice((2, 3)))
    width, height = float(rng.uniform(0.95, 1.15)), float(rng.uniform(1.6, 1.95))
    pads = tuple(_smd(pitch, col, 0, width, height, 1, 1) for col in (0, span))
    outline = _rect(-1.0 * pitch, -1.15 * pitch, (span + 1.0) * pitch, 1.15 * pitch)
    prefix = str(rng.choice(("R", "C", "L")))
    return _turned(Footprint(prefix, span + 1, 1, pads, (outline,)), bool(rng.random() < 0.5))


def _soic(rng: np.random.Generator, pitch: float) -> Footprint:
    pins, gap = int(rng.integers(4, 9)), int(rng.choice((5, 6)))
    width = float(rng.uniform(0.48, 0.58))
    pads = tuple(_smd(pitch, i, row, width, 1.9, 0, 1) for i in range(pins) for row in (0, gap))
    outline = _rect(-0.4 * pitch, 1.5 * pitch, (pins - 0.6) * pitch, (gap - 1.5) * pitch)
    dot = _circle(0.3 * pitch, (gap - 2.0) * pitch, 0.15 * pitch)
    return _turned(Footprint("U", pins, gap + 1, pads, (outline, dot)), bool(rng.random() < 0.5))


def _qfp(rng: np.random.Generator, pitch: float) -> Footprint:
    pins = int(rng.integers(5, 9))
    last = pins + 3
    pads = []
    for i in range(pins):
        pads.append(_smd(pitch, i + 2, 0, 0.52, 1.9, 0, 1))
        pads.append(_smd(pitch, i + 2, last, 0.52, 1.9, 0, 1))
        pads.append(_smd(pitch, 0, i + 2, 1.9, 0.52, 1, 0))
        pads.append(_smd(pitch, last, i + 2, 1.9, 0.52, 1, 0))
    outline = _rect(1.5 * pitch, 1.5 * pitch, (last - 1.5) * pitch, (last - 1.5) * pitch)
    return Footprint("U", last + 1, last + 1, tuple(pads), (outline,))

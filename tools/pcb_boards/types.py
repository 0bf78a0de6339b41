"""Shared types. Lengths are in *units* unless a name says px: 1/640 of the image's long side.

A unit is one pixel of the 640 letterboxed input a detector sees, so every size that has to be
learnable is written down in units once, and boards of any resolution look alike to the detector.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]
U16 = npt.NDArray[np.uint16]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

# The order is the class index, in labels and in the network; names as in PKU's HRIPCB data set.
CLASS_NAMES = ("missing_hole", "mouse_bite", "open_circuit", "short", "spur", "spurious_copper")

UNITS_ON_LONG_SIDE = 640
# Context shown around the changed pixels on each side, as HRIPCB's boxes do.
BOX_MARGIN_UNITS = 5.0


@dataclass(frozen=True)
class Pad:
    """A pad, via or mounting hole; centre, sizes and hole diameter (0 for SMD pads) in units."""

    x: float
    y: float
    kind: str  # "th" through-hole | "smd" | "via" | "mount"
    shape: str  # "round" | "rect" | "oval"
    width: float
    height: float
    hole: float = 0.0


@dataclass(frozen=True)
class Trace:
    """A routed trace: points float64 [n, 2] as x, y and width in units; branches share a net."""

    points: F64
    width: float
    net: int


@dataclass(frozen=True)
class Stroke:
    """A silkscreen polyline: points float64 [n, 2] as x, y in units."""

    points: F64
    closed: bool = False


@dataclass(frozen=True)
class Label:
    """Silkscreen text; x, y: left end of the baseline, height: of the capitals, all in units."""

    x: float
    y: float
    text: str
    height: float
    vertical: bool = False


@dataclass
class Layout:
    """A board without defects. width, height, pitch in units."""

    width: float
    height: float
    pitch: float
    pads: list[Pad] = field(default_factory=list)
    traces: list[Trace] = field(default_factory=list)
    strokes: list[Stroke] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    pour: F64 | None = None  # polygon float64 [n, 2] in units
    pour_hatched: bool = False
    tented_vias: bool = True


@dataclass(frozen=True)
class Defect:
    """One defect. box: x0, y0, x1, y1 in image px; changed: the same without the margin."""

    class_id: int
    box: tuple[float, float, float, float]
    changed: tuple[float, float, float, float]


@dataclass(frozen=True)
class Board:
    """A finished board. image: uint8 [height, width, 3] BGR."""

    seed: int
    image: U8
    defects: tuple[Defect, ...]
    mask_color: str
    jpeg_quality: int

"""What can be wrong with the boxes of one image, whatever form they were written in."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tridet_build.datasets.dataset import Fault, Float64Array

# Labels are rounded; an edge this far outside, as a share of the image's side, is no mistake.
_ROUNDING = 0.005


@dataclass(frozen=True)
class Row:
    """One object as it was written."""

    place: str
    """Where it stands, for messages: ``line 3``."""
    class_id: int
    box: tuple[float, float, float, float]
    """x1, y1, x2, y2 as fractions of the image's sides."""
    written: Hashable
    """What two rows of the same object have in common."""


def checked(
    file: Path, rows: list[Row], names: tuple[str, ...], *, once: bool
) -> tuple[list[int], list[Fault]]:
    """Return the indices of the rows that are usable, and what is wrong with the others.

    Args:
        file: that the rows stand in.
        rows: of one image.
        names: of the classes.
        once: whether an object that was written twice is one.
    """
    usable: list[int] = []
    faults: list[Fault] = []
    seen: dict[Hashable, str] = {}
    for index, row in enumerate(rows):
        kind, text = _error(row, names)
        if kind:
            faults.append(Fault("error", kind, file, f"{row.place}: {text}"))
            continue
        if row.written in seen:
            text = f"{row.place}: the same object as {seen[row.written]}"
            faults.append(Fault("warning", "duplicated label", file, text))
            if once:
                continue
        seen.setdefault(row.written, row.place)
        usable.append(index)
        beyond = max(-row.box[0], -row.box[1], row.box[2] - 1, row.box[3] - 1)
        if beyond > _ROUNDING:
            text = f"{row.place}: the box reaches {beyond:.1%} of the side beyond the image"
            faults.append(Fault("warning", "box over the edge", file, text))
    return usable, faults


def _error(row: Row, names: tuple[str, ...]) -> tuple[str, str]:
    x1, y1, x2, y2 = row.box
    if not 0 <= row.class_id < len(names):
        return "class beyond names", f"expected 0 to {len(names) - 1}, got {row.class_id}"
    if not (x2 > x1 and y2 > y1):
        return "empty box", f"expected a box with an area, got {x2 - x1:.6g} x {y2 - y1:.6g}"
    if x1 >= 1 or y1 >= 1 or x2 <= 0 or y2 <= 0:
        return "box out of range", "expected a box in the image, got one outside"
    return "", ""


def as_array(rows: list[Row]) -> Float64Array:
    """Return their boxes, float64 [n, 4] xyxy in fractions."""
    return np.array([row.box for row in rows], dtype=np.float64).reshape(-1, 4)


def names_twice(file: Path, names: tuple[str, ...]) -> list[Fault]:
    """Return a warning for each name that two classes share: models are matched by names."""
    text = "expected one class of this name, got {} called {!r}"
    return [
        Fault("warning", "class name twice", file, text.format(names.count(name), name))
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]

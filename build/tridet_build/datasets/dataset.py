"""The one form of a data set, and what can be wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from tridet_build.errors import DataError

BoolArray = npt.NDArray[np.bool_]
Float64Array = npt.NDArray[np.float64]
Int32Array = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with one file."""

    severity: Literal["error", "warning"]
    kind: str
    """A few words that faults of a kind share, such as ``malformed line``."""
    file: Path
    text: str
    """What was expected and what was found."""

    def __str__(self) -> str:
        return f"{self.file}: {self.kind}: {self.text}"


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """An image file and the n usable objects on it; what is not usable is only in ``faults``."""

    path: Path
    class_ids: Int32Array
    """int32 [n]: index into the data set's names."""
    boxes: Float64Array
    """float64 [n, 4]: x1, y1, x2, y2; see ``in_fractions``."""
    in_fractions: bool
    """Whether ``boxes`` are fractions of the image's sides, and not pixels."""
    areas: Float64Array | None = None
    """float64 [n]: square pixels of the objects themselves; None where only boxes are known."""
    crowd: BoolArray | None = None
    """bool [n]: a group of objects that nobody counted; None if there is none."""
    stated_size: tuple[int, int] | None = None
    """(width, height) in pixels, where the labels say so."""
    faults: tuple[Fault, ...] = ()

    def boxes_in_pixels(self, size: tuple[int, int]) -> Float64Array:
        """Return ``boxes`` in pixels of an image of this (width, height)."""
        return self.boxes * np.tile(size, 2) if self.in_fractions else self.boxes


@dataclass(frozen=True)
class Split:
    """One part of a data set."""

    name: str
    images: tuple[LabelledImage, ...]
    faults: tuple[Fault, ...] = ()
    """Of the split, not of one of its images."""

    @property
    def all_faults(self) -> tuple[Fault, ...]:
        """Those of the split and those of its images."""
        return (*self.faults, *(fault for image in self.images for fault in image.faults))


@dataclass(frozen=True)
class Dataset:
    """Splits that share one list of class names; the index is the class id."""

    file: Path
    names: tuple[str, ...]
    splits: tuple[Split, ...]
    faults: tuple[Fault, ...] = ()
    """Of the data set, not of one of its splits."""

    def split(self, name: str | None) -> Split:
        """Return the split of this name; for None the test split, or val without one.

        Raises:
            DataError: there is no such split.
        """
        by_name = {split.name: split for split in self.splits}
        if name is None:
            name = next((n for n in ("test", "val", self.splits[0].name) if n in by_name), "")
        if name not in by_name:
            raise DataError(f"{self.file}: expected a split {name!r}, found {', '.join(by_name)}")
        return by_name[name]

"""How an image is cut into tiles: what the caller may ask for, checked, and where the cuts are.

There is no automatic grid: which scale a detector knows is not known here. Tiles of its input size
lost nine of ten objects that two columns and rows found; see docs/measurements/tiles.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, NamedTuple

from tridet.exceptions import InvalidInput
from tridet.images import UInt8Array

TILES = "tiles"
OVERLAP = "overlap"
WHOLE = "whole"

_DEFAULT_OVERLAP = 0.2
_MOST_OVERLAP = 0.9
_MOST_TILES = 256  # of one image


class Window(NamedTuple):
    """A part of an image: x1, y1, x2, y2 in pixels."""

    left: int
    top: int
    right: int
    bottom: int

    def of(self, pixels: UInt8Array) -> UInt8Array:
        """Return that part of uint8 [h, w, 3], as a view."""
        return pixels[self.top : self.bottom, self.left : self.right]


@dataclass(frozen=True, slots=True)
class Tiling:
    """How an image is cut."""

    columns: int
    rows: int
    overlap: float
    """Share of a tile's side that the next tile shows too, in [0, 0.9)."""
    whole: bool
    """Whether the whole image is looked at too."""

    def windows(self, image_size: tuple[int, int]) -> list[Window]:
        """Return the tiles row by row, after the whole image if that is looked at too.

        Args:
            image_size: (width, height) in pixels.

        Raises:
            InvalidInput: a tile would hold no pixel.
        """
        width, height = image_size
        if self.columns > width or self.rows > height:
            raise InvalidInput(
                f"{TILES}: expected no more columns and rows than the image has pixels, "
                f"{width} x {height}, got {self.columns}x{self.rows}"
            )
        tiles = [
            Window(left, top, right, bottom)
            for top, bottom in self._spans(height, self.rows)
            for left, right in self._spans(width, self.columns)
        ]
        return [Window(0, 0, width, height), *tiles] if self.whole and len(tiles) > 1 else tiles

    def _spans(self, length: int, count: int) -> list[tuple[int, int]]:
        """Divide ``length`` pixels into ``count`` equal spans that overlap."""
        span = length / (count - (count - 1) * self.overlap)
        step = span * (1 - self.overlap)
        return [
            (round(i * step), min(length, max(round(i * step + span), round(i * step) + 1)))
            for i in range(count)
        ]


def tiling_from(settings: Mapping[str, Any]) -> Tiling | None:
    """Return the tiling that ``tiles``, ``overlap`` and ``whole`` ask for; None without ``tiles``.

    Raises:
        InvalidInput: one of them is not acceptable, or stands there without ``tiles``.
    """
    tiles = settings.get(TILES)
    overlap = settings.get(OVERLAP, _DEFAULT_OVERLAP)
    whole = settings.get(WHOLE, True)
    if (
        isinstance(overlap, bool)
        or not isinstance(overlap, Real)
        or not 0 <= float(overlap) < _MOST_OVERLAP
    ):
        raise InvalidInput(
            f"{OVERLAP}: expected a number from 0 to below {_MOST_OVERLAP}, got {overlap!r}"
        )
    if not isinstance(whole, bool):
        raise InvalidInput(f"{WHOLE}: expected True or False, got {whole!r}")
    if tiles is None:
        for name in (OVERLAP, WHOLE):
            if name in settings:
                raise InvalidInput(f"{name}: expected {TILES} beside it, got none")
        return None
    match = (
        re.fullmatch(r"([1-9]\d{0,2})x([1-9]\d{0,2})", tiles) if isinstance(tiles, str) else None
    )
    if match is None:
        raise InvalidInput(f"{TILES}: expected COLUMNSxROWS, for instance 3x2, got {tiles!r}")
    columns, rows = int(match[1]), int(match[2])
    if columns * rows > _MOST_TILES:
        raise InvalidInput(f"{TILES}: expected at most {_MOST_TILES} in all, got {tiles}")
    return Tiling(columns, rows, float(overlap), whole)

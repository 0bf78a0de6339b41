"""Look at an image in tiles: where it is cut, and how what the tiles show is merged.

There is no automatic grid: which scale a detector knows is not known here. Tiles of its input size
lost nine of ten objects that two columns and rows found; see docs/measurements/tiles.md.

An object that a tile's border cuts is whole in the next tile, if it fits into the overlap, or in
the whole image. So boxes that touch a border inside the image give way to those that do not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tridet.exceptions import InvalidInput
from tridet.groups import Found, MemberInfo
from tridet.images import UInt8Array
from tridet.options import OVERLAP, TILES, WHOLE

_DEFAULT_OVERLAP = 0.2
_MOST_OVERLAP = 0.9
_MOST_TILES = 256  # of one image

# Two views of one object agree less well than two candidates of one view, which the server has
# suppressed by the ``iou`` of the request: this overlap makes them the same object.
_SAME_OBJECT_IOU = 0.5
# Of what a border has cut, more than this share lies in the box of the whole object.
_PIECE_SHARE = 0.5
# A box this near to a tile's border, as a share of the tile's side, is taken to be cut there.
_NEAR_BORDER = 0.005


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


def joined(
    views: Sequence[tuple[Window, Found]],
    members: Sequence[MemberInfo],
    *,
    iou: float,
    agnostic: bool,
    limits: Sequence[int],
) -> Found:
    """Return what the views of one image show together, strongest first.

    Args:
        views: a window of the image, and what was found there in the window's own pixels.
        members: the detectors that found it.
        iou: of two boxes that overlap by more, or by more than half, the weaker is dropped.
        agnostic: whether boxes of one member suppress each other across its classes.
        limits: the most detections of each member.

    Returns:
        Boxes in pixels of the image, scores and class ids.
    """
    width = max(window.right for window, _ in views)
    height = max(window.bottom for window, _ in views)
    boxes, scores, class_ids = (
        np.concatenate(arrays) for arrays in zip(*(found for _, found in views), strict=True)
    )
    if len(views) > 1:
        moved, cut = zip(*(_in_image(w, f[0], width, height) for w, f in views), strict=True)
        boxes = np.concatenate(moved)
        owners = _owners(class_ids, members)
        groups = owners if agnostic else class_ids
        rows = _distinct(boxes, scores, groups, np.concatenate(cut), min(iou, _SAME_OBJECT_IOU))
        kept = [rows[owners[rows] == member][:limit] for member, limit in enumerate(limits)]
        rows = np.sort(np.concatenate(kept))
        rows = rows[np.argsort(-scores[rows], kind="stable")]
        boxes, scores, class_ids = boxes[rows], scores[rows], class_ids[rows]
    return boxes, scores, class_ids


def _in_image(
    window: Window, boxes: npt.NDArray[np.float32], width: int, height: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Move boxes float32 [n, 4] into the image, and say of each whether the window cuts it."""
    left, top, right, bottom = window
    moved = boxes + np.array([left, top, left, top], np.float32)
    near_x, near_y = _NEAR_BORDER * (right - left), _NEAR_BORDER * (bottom - top)
    cut = np.zeros(len(boxes), np.bool_)
    # The borders of the image cut objects too, but there is no view that shows more of them.
    if left > 0:
        cut |= moved[:, 0] <= left + near_x
    if top > 0:
        cut |= moved[:, 1] <= top + near_y
    if right < width:
        cut |= moved[:, 2] >= right - near_x
    if bottom < height:
        cut |= moved[:, 3] >= bottom - near_y
    return moved, cut


def _owners(
    class_ids: npt.NDArray[np.int32], members: Sequence[MemberInfo]
) -> npt.NDArray[np.intp]:
    """Return the index of the member that each class id belongs to."""
    starts = [member.class_ids.start for member in members]
    return np.searchsorted(starts, class_ids, side="right") - 1


def _distinct(
    boxes: npt.NDArray[np.float32],
    scores: npt.NDArray[np.float32],
    groups: npt.NDArray[np.int32] | npt.NDArray[np.intp],
    cut: npt.NDArray[np.bool_],
    iou: float,
) -> npt.NDArray[np.intp]:
    """Return the rows to keep, greedily: those that no border cuts first, then the stronger.

    No matrix of all pairs, as libraries make it: many tiles may hold tens of thousands of boxes.
    """
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    left = np.lexsort((-scores, cut))
    kept = []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(best)
        low = np.maximum(boxes[best, :2], boxes[left, :2])
        high = np.minimum(boxes[best, 2:], boxes[left, 2:])
        shared = np.clip(high - low, 0, None).prod(axis=1)
        same = shared > iou * (areas[best] + areas[left] - shared)
        # Its own area, not the smaller one: a small whole object never swallows a larger piece.
        same |= cut[left] & (shared > _PIECE_SHARE * areas[left])
        left = left[~(same & (groups[left] == groups[best]))]
    return np.array(kept, np.intp)

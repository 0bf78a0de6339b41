"""Draw boxes and their texts with supervision's annotators, sized to the image.

OpenCV's own font is the quickest. Of OpenCV 5 it has Latin, Greek, Cyrillic, Arabic, Chinese and
more, of OpenCV 4 only ASCII. A text that it lacks a character of is drawn by Pillow, in the font of
this machine that has most of them.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import supervision as sv
from PIL import ImageFont

from tridet.images import UInt8Array

_PALETTE = sv.ColorPalette.DEFAULT
# Black on light colours and white on dark ones, by perceived brightness (ITU-R BT.601).
_TEXT_PALETTE = sv.ColorPalette(
    [
        sv.Color.BLACK if 0.299 * c.r + 0.587 * c.g + 0.114 * c.b > 140 else sv.Color.WHITE
        for c in _PALETTE.colors
    ]
)
# At this length of the shorter side, text of scale 0.5 and lines of 2 px look right.
_REFERENCE_PX = 720
# Where Linux and macOS keep fonts, the user's own first.
_FONT_FOLDERS = (
    "~/.local/share/fonts",
    "~/.fonts",
    "~/Library/Fonts",
    "/usr/local/share/fonts",
    "/usr/share/fonts",
    "/Library/Fonts",
    "/System/Library/Fonts",
)
# A label is read at a glance: a plain face, if there is one.
_LESS_READABLE = ("bold", "italic", "oblique", "light", "thin", "condensed", "serif", "mono")
# Pixels of Pillow's font size that look like OpenCV's text scale 1.
_FONT_PX = 28


def draw_boxes(
    image: UInt8Array,
    boxes: npt.NDArray[np.float32],
    class_ids: npt.NDArray[np.int32],
    texts: Sequence[str],
) -> UInt8Array:
    """Return a copy of an image with boxes and a text at each.

    Args:
        image: uint8 [h, w, 3], BGR.
        boxes: float32 [n, 4], xyxy in pixels.
        class_ids: int32 [n]; colours go by them.
        texts: n of them.
    """
    size = min(image.shape[:2]) / _REFERENCE_PX
    outlines = sv.BoxAnnotator(color=_PALETTE, thickness=max(1, round(2 * size)))
    # Below this scale OpenCV's font is no longer legible, however small the image is.
    scale = max(0.35, 0.5 * size)
    padding = max(2, round(5 * size))
    special = frozenset(one for one in "".join(texts) if not one.isascii())
    font = None if all(map(_opencv_has, special)) else _font_with(special)
    labels: sv.LabelAnnotator | sv.RichLabelAnnotator
    # A smart position keeps labels inside the image and apart from each other.
    if font is None:
        labels = sv.LabelAnnotator(
            color=_PALETTE,
            text_color=_TEXT_PALETTE,
            text_scale=scale,
            text_thickness=max(1, round(size)),
            text_padding=padding,
            smart_position=True,
        )
    else:
        labels = sv.RichLabelAnnotator(
            color=_PALETTE,
            text_color=_TEXT_PALETTE,
            font_path=str(font),
            font_size=round(_FONT_PX * scale),
            text_padding=padding,
            smart_position=True,
        )
    found = sv.Detections(xyxy=boxes, class_id=class_ids.astype(int))
    drawn = outlines.annotate(np.ascontiguousarray(image).copy(), found)
    labelled: UInt8Array = labels.annotate(drawn, found, list(texts))
    return labelled


@cache
def _opencv_has(character: str) -> bool:
    """Whether OpenCV's font draws a character, and no question marks in its place."""
    marks = ("?", "?" * len(character.encode(errors="replace")))
    return not any(np.array_equal(_by_opencv(character), _by_opencv(text)) for text in marks)


def _by_opencv(text: str) -> UInt8Array:
    canvas = np.zeros((40, 160), np.uint8)
    cv2.putText(canvas, text, (4, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 255)
    return canvas


@lru_cache(maxsize=1024)
def _font_with(characters: frozenset[str]) -> Path | None:
    """Return the font that has most of the characters, None if OpenCV's own has as many.

    Says which are missing then; each set of characters is looked for once.
    """
    best, found = None, frozenset(filter(_opencv_has, characters))
    for path in _font_files():
        has = _covered(path, characters)
        if len(has) > len(found):
            best, found = path, has
        if len(found) == len(characters):
            return best
    missing = "".join(sorted(characters - found))
    warnings.warn(
        f"no font on this machine has {missing!r}: boxes or question marks are drawn in its place; "
        "on Debian and Ubuntu: apt-get install fonts-noto",
        stacklevel=2,
    )
    return best


@cache
def _font_files() -> list[Path]:
    """Return this machine's fonts, the most readable first."""
    return sorted(_fonts_below_folders(), key=lambda path: (_oddness(path), path.name))


def _fonts_below_folders() -> Iterator[Path]:
    for folder in _FONT_FOLDERS:
        for path in Path(folder).expanduser().rglob("*"):
            if path.suffix.lower() in (".ttf", ".otf", ".ttc"):
                yield path


def _oddness(path: Path) -> int:
    return sum(word in path.stem.lower().replace("sansserif", "") for word in _LESS_READABLE)


def _covered(path: Path, characters: frozenset[str]) -> frozenset[str]:
    try:
        font = ImageFont.truetype(str(path), 20)
        # What a font draws for a character that it does not have.
        absent = bytes(font.getmask("\U0010ffff"))
        return frozenset(
            one for one in characters if one.isspace() or bytes(font.getmask(one)) != absent
        )
    except OSError:
        return frozenset()  # not a font that Pillow reads, such as coloured emoji

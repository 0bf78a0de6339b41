"""Pictures with boxes, small enough to stand in a page."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

UInt8Array = npt.NDArray[np.uint8]

_QUALITY = 82


@dataclass(frozen=True)
class Box:
    """A box to draw."""

    corners: tuple[float, float, float, float]
    """x1, y1, x2, y2 in pixels of the image."""
    color: str
    """``#rrggbb``."""
    label: str = ""
    thick: bool = False
    below: bool = False
    """Where the label stands, so that those of two boxes in one place are both legible."""


def picture(
    image: UInt8Array,
    caption: str,
    boxes: Sequence[Box] = (),
    *,
    side: int = 760,
    window: tuple[int, int, int, int] | None = None,
) -> str:
    """Return a ``<figure>`` with an image inside it.

    Args:
        image: uint8 [h, w, 3], BGR.
        caption: HTML.
        boxes: drawn after the resize, so that their lines and labels are as sharp as they can be.
        side: the longer one of the picture, in pixels; an image is never enlarged by more than 4.
        window: x1, y1, x2, y2 of the part to show, in pixels of the image; None for all.
    """
    height, width = image.shape[:2]
    left, top, right, low = window or (0, 0, width, height)
    part = image[top:low, left:right]
    scale = min(side / max(part.shape[:2]), 4.0)
    shown = cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    if scale > 1:
        shown = cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    for box in boxes:
        corners = (np.array(box.corners) - [left, top, left, top]) * scale
        _draw(shown, [round(float(corner)) for corner in corners], box)
    done, data = cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not done:
        raise ValueError(f"expected an image that fits a JPEG, got {shown.shape}")
    text = base64.b64encode(data.tobytes()).decode()
    source = f"data:image/jpeg;base64,{text}"
    alt = escape(f"{len(boxes)} boxes", quote=True)
    return f'<figure><img alt="{alt}" src="{source}"><figcaption>{caption}</figcaption></figure>'


def _draw(image: npt.NDArray[Any], corners: list[int], box: Box) -> None:
    x1, y1, x2, y2 = corners
    red, green, blue = (int(box.color[i : i + 2], 16) for i in (1, 3, 5))
    color = (blue, green, red)
    if box.thick:  # a white rim keeps every colour visible on every picture
        cv2.rectangle(image, (x1, y1), (x2, y2), (255, 255, 255), 4)
    cv2.rectangle(image, (x1, y1), (x2, y2), color, 2)
    if not box.label:
        return
    font, size = cv2.FONT_HERSHEY_SIMPLEX, 0.4
    (wide, high), base = cv2.getTextSize(box.label, font, size, 1)
    left = min(max(x1 - 1, 0), max(image.shape[1] - wide - 6, 0))
    above, under = y1 - high - base - 5, y2 + 2
    fits = above >= 0, under + high + base + 3 <= image.shape[0]
    top = under if (box.below and fits[1]) or not fits[0] else above
    cv2.rectangle(image, (left, top), (left + wide + 5, top + high + base + 3), color, -1)
    place = (left + 3, top + high + 2)
    cv2.putText(image, box.label, place, font, size, (255, 255, 255), 1, cv2.LINE_AA)

"""Draw detections with supervision's annotators, sized to the image."""

from __future__ import annotations

import numpy as np
import supervision as sv

from tridet.detections import Detections, UInt8Array
from tridet.exceptions import InvalidInput
from tridet.images import check_pixels

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


def annotate(image: UInt8Array, detections: Detections) -> UInt8Array:
    """Return a copy of uint8 [h, w, 3] BGR with boxes and their labels drawn on it.

    A label is ``name score``, with tracking ``#id name score``; colours go by the class.
    """
    check_pixels(image)
    height, width = image.shape[:2]
    if (width, height) != detections.image_size:
        expected = "{} x {}".format(*detections.image_size)
        raise InvalidInput(
            f"expected the image that was detected, {expected}, got {width} x {height}"
        )
    size = min(width, height) / _REFERENCE_PX
    thickness = max(1, round(2 * size))
    boxes = sv.BoxAnnotator(color=_PALETTE, thickness=thickness)
    labels = sv.LabelAnnotator(
        color=_PALETTE,
        text_color=_TEXT_PALETTE,
        # Below this scale OpenCV's font is no longer legible, however small the image is.
        text_scale=max(0.35, 0.5 * size),
        text_thickness=max(1, round(size)),
        text_padding=max(2, round(5 * size)),
        smart_position=True,  # keeps labels inside the image and apart from each other
    )
    found = detections.to_supervision()
    texts = [
        ("" if item.track_id is None else f"#{item.track_id} ") + f"{item.name} {item.score:.2f}"
        for item in detections
    ]
    drawn = boxes.annotate(np.ascontiguousarray(image).copy(), found)
    annotated: UInt8Array = labels.annotate(drawn, found, texts)
    return annotated

"""Draw boxes and their texts with supervision's annotators, sized to the image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import supervision as sv

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
    labels = sv.LabelAnnotator(
        color=_PALETTE,
        text_color=_TEXT_PALETTE,
        # Below this scale OpenCV's font is no longer legible, however small the image is.
        text_scale=max(0.35, 0.5 * size),
        text_thickness=max(1, round(size)),
        text_padding=max(2, round(5 * size)),
        smart_position=True,  # keeps labels inside the image and apart from each other
    )
    found = sv.Detections(xyxy=boxes, class_id=class_ids.astype(int))
    drawn = outlines.annotate(np.ascontiguousarray(image).copy(), found)
    labelled: UInt8Array = labels.annotate(drawn, found, list(texts))
    return labelled

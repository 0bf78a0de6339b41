"""Choose the final detections of one image: threshold and class-aware NMS, in pure NumPy."""

import numpy as np
import numpy.typing as npt

from .parameters import NmsParameters

Float32Array = npt.NDArray[np.float32]
Int32Array = npt.NDArray[np.int32]


def nms(
    boxes: Float32Array, scores: Float32Array, class_ids: Int32Array, parameters: NmsParameters
) -> npt.NDArray[np.intp]:
    """Greedy non-maximum suppression.

    Args:
        boxes: float32 [K, 4], xyxy. Candidates that are not ``finite`` are dropped.
        scores: float32 [K], descending, as TopK leaves them.
        class_ids: int32 [K].
        parameters: what to keep.

    Returns:
        Indices of the kept rows, best first; at most ``max_det``.
    """
    usable = finite(boxes, scores)
    if not usable.all():
        # Among numbers that compare with none, TopK leaves no order that could be relied on.
        rows = np.flatnonzero(usable)
        rows = rows[np.argsort(-scores[rows], kind="stable")]
        return rows[nms(boxes[rows], scores[rows], class_ids[rows], parameters)]
    # Scores descend, so the threshold is a cut.
    count = int(np.searchsorted(-scores, -parameters.conf, side="right"))
    rows = np.arange(count)
    if parameters.classes is not None:
        rows = rows[np.isin(class_ids[:count], parameters.classes)]
    if len(rows) > 1:
        clashes = _clashes(boxes[rows], parameters.iou)
        if not parameters.agnostic:
            classes = class_ids[rows]
            clashes &= classes[:, None] == classes[None, :]
        rows = rows[_greedy(clashes)]
    return rows[: parameters.max_det]


def finite(boxes: Float32Array, scores: Float32Array) -> npt.NDArray[np.bool_]:
    """Say of each candidate whether its score and box are numbers: bool [K].

    A network that overflowed, in FP16 or for want of training, gives NaN and infinity.
    """
    usable: npt.NDArray[np.bool_] = np.isfinite(scores) & np.isfinite(boxes).all(axis=1)
    return usable


def _clashes(boxes: Float32Array, iou: float) -> npt.NDArray[np.bool_]:
    """Say of every pair whether it overlaps by more than ``iou``: bool [n, n].

    Compares shared > iou * union, so that boxes without area clash with none; column by column and
    in place, which is several times faster than on [n, n, 2] arrays.
    """
    left, top, right, bottom = np.ascontiguousarray(boxes.T)
    shared = np.minimum.outer(right, right)
    shared -= np.maximum.outer(left, left)
    height = np.minimum.outer(bottom, bottom)
    height -= np.maximum.outer(top, top)
    np.maximum(shared, 0, out=shared)
    shared *= np.maximum(height, 0, out=height)
    area = np.maximum(right - left, 0) * np.maximum(bottom - top, 0)
    union = np.add.outer(area, area)
    union -= shared
    union *= np.float32(iou)
    clashes: npt.NDArray[np.bool_] = shared > union
    return clashes


def _greedy(clashes: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Keep the rows that clash with no better kept row."""
    rivals = np.triu(clashes, k=1)
    kept = np.ones(len(clashes), dtype=np.bool_)
    for row in np.flatnonzero(rivals.any(axis=1)):  # the others drop nobody
        if kept[row]:
            kept &= ~rivals[row]
    return kept

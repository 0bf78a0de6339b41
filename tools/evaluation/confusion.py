"""Which class was taken for which."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .truth import Pair

CONFUSION_IOU = 0.5


def confusion_matrix(pairs: Sequence[Pair], classes: int, conf: float) -> npt.NDArray[np.int64]:
    """Count detections from ``conf`` on, int64 [classes + 1, classes + 1]: true by found.

    The last row holds detections of nothing, the last column objects that were missed. supervision
    matches one to one at IoU 0.5: pairs of one class first, so that a box of another class on the
    same object cannot take its place, then by IoU. Crowds take no part.
    """
    from supervision.metrics.detection import ConfusionMatrix

    total = np.zeros((classes + 1, classes + 1), dtype=np.int64)
    for pair in pairs:
        found = pair.found
        single = ~pair.crowd
        total += ConfusionMatrix.evaluate_detection_batch(
            np.column_stack([found.boxes, found.class_ids, found.scores]).astype(np.float32),
            np.column_stack([pair.boxes[single], pair.class_ids[single]]).astype(np.float32),
            num_classes=classes,
            conf_threshold=conf,
            iou_threshold=CONFUSION_IOU,
        )
    return total

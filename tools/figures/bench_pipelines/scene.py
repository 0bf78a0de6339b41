"""What the stub detector "sees": known objects, as a raw YOLO head and as tridet's serving graph.

Placed beside the stub models on the server, so it imports nothing but NumPy.
"""

import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]
Int32Array = npt.NDArray[np.int32]

INPUT_SIZE = 640
"""Side of the detector's square input, in pixels."""
ANCHORS = 8400
CLASSES = 80
CANDIDATES = 300
"""K of the serving graph."""
CONF = 0.25
IOU = 0.7
OBJECTS = 20
# How many anchors fire on one object. Trained YOLO heads leave 5 to 10 over conf 0.25.
_ANCHORS_PER_OBJECT = 8
# A 16:9 frame covers these rows of the letterboxed square; the others are border.
_TOP, _BOTTOM = 140, 500


def raw_head() -> Float32Array:
    """Return float32 [84, 8400]: centre x, y, width, height in letterboxed pixels; class scores.

    Objects lie on a grid, far apart, so that every flavour of NMS (class-aware or not, any usual
    IoU threshold) keeps exactly one box of each.
    """
    rng = np.random.default_rng(0)
    head = np.empty((4 + CLASSES, ANCHORS), np.float32)
    head[:2] = rng.uniform(0, INPUT_SIZE, (2, ANCHORS))
    head[2:4] = rng.uniform(8, 200, (2, ANCHORS))
    head[4:] = rng.uniform(0, 0.02, (CLASSES, ANCHORS))
    anchors = rng.permutation(ANCHORS).reshape(-1)
    columns = OBJECTS // 4
    for number in range(OBJECTS):
        column, row = number % columns, number // columns
        centre = (
            (column + 0.5) * INPUT_SIZE / columns,
            _TOP + (row + 0.5) * (_BOTTOM - _TOP) / 4,
        )
        size = rng.uniform(40, 80, 2)
        mine = anchors[number * _ANCHORS_PER_OBJECT : (number + 1) * _ANCHORS_PER_OBJECT]
        head[:4, mine] = np.array([*centre, *size])[:, None]
        head[:4, mine] += rng.uniform(-1, 1, (4, len(mine)))
        best = rng.uniform(0.5, 0.95)
        head[4 + number % CLASSES, mine] = best * np.linspace(1, 0.6, len(mine))
    return head


def candidates() -> tuple[Float32Array, Float32Array, Int32Array]:
    """Return what the serving graph makes of ``raw_head``.

    Returns:
        boxes float32 [K, 4] xyxy in letterboxed pixels, scores float32 [K] descending, class ids
        int32 [K].
    """
    head = raw_head()
    scores = head[4:].max(axis=0)
    order = np.argsort(-scores, kind="stable")[:CANDIDATES]
    centre, size = head[:2, order], head[2:4, order]
    boxes = np.concatenate([centre - size / 2, centre + size / 2]).T
    class_ids = head[4:, order].argmax(axis=0)
    return np.ascontiguousarray(boxes), scores[order], class_ids.astype(np.int32)

"""NMS against an independent reference: one Python loop, one box pair at a time."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tridet.processing.nms import finite, nms
from tridet.processing.parameters import NmsParameters

DEFAULTS = NmsParameters(conf=0.25, iou=0.7, max_det=300, agnostic=False)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
    return width * height / (sum(areas) - width * height)


def reference(
    boxes: np.ndarray, scores: np.ndarray, class_ids: np.ndarray, thresholds: NmsParameters
) -> list[int]:
    kept: list[int] = []
    for row in range(len(boxes)):
        if scores[row] < thresholds.conf:
            continue
        if thresholds.classes is not None and class_ids[row] not in thresholds.classes:
            continue
        rivals = [k for k in kept if thresholds.agnostic or class_ids[k] == class_ids[row]]
        if all(overlap(boxes[k], boxes[row]) <= thresholds.iou for k in rivals):
            kept.append(row)
    return kept[: thresholds.max_det]


# Whole numbers make IoUs exact in float32, ties and touching edges likely.
_side = st.integers(0, 12)
_box = st.tuples(_side, _side, _side, _side).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]))
_candidates = st.lists(
    st.tuples(_box, st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), st.integers(0, 2)), max_size=40
)
_not_finite = st.sampled_from([np.nan, np.inf, -np.inf])
_thresholds = st.builds(
    NmsParameters,
    conf=st.sampled_from([0.0, 0.25, 0.3, 1.0]),
    iou=st.sampled_from([0.0, 0.2, 0.45, 0.7, 1.0]),
    max_det=st.integers(1, 20),
    agnostic=st.booleans(),
    classes=st.none() | st.lists(st.integers(0, 3)).map(tuple),
)


@given(_candidates, _thresholds)
def test_equals_the_reference(
    candidates: list[tuple[tuple[int, ...], float, int]], thresholds: NmsParameters
) -> None:
    candidates.sort(key=lambda candidate: -candidate[1])
    boxes = np.array([c[0] for c in candidates], np.float32).reshape(-1, 4)
    scores = np.array([c[1] for c in candidates], np.float32)
    class_ids = np.array([c[2] for c in candidates], np.int32)
    kept = nms(boxes, scores, class_ids, thresholds)
    assert kept.tolist() == reference(boxes, scores, class_ids, thresholds)


def test_a_chain_of_overlaps_keeps_its_ends() -> None:
    # b clashes with a and c, which do not clash with each other: b falls to a, so c stays.
    boxes = np.array([[0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]], np.float32)
    scores, class_ids = np.array([0.9, 0.8, 0.7], np.float32), np.zeros(3, np.int32)
    thresholds = NmsParameters(conf=0.1, iou=0.3, max_det=9, agnostic=False)
    assert nms(boxes, scores, class_ids, thresholds).tolist() == [0, 2]


def test_classes_do_not_suppress_each_other_unless_agnostic() -> None:
    boxes = np.array([[0, 0, 10, 10]] * 2, np.float32)
    scores, class_ids = np.array([0.9, 0.8], np.float32), np.array([0, 1], np.int32)
    assert nms(boxes, scores, class_ids, DEFAULTS).tolist() == [0, 1]
    agnostic = DEFAULTS.overridden({"agnostic": True})
    assert nms(boxes, scores, class_ids, agnostic).tolist() == [0]


@given(
    _candidates,
    _thresholds,
    st.lists(
        st.tuples(
            st.integers(0, 40), st.integers(0, 4), st.sampled_from([np.nan, np.inf, -np.inf])
        ),
        max_size=6,
    ),
)
def test_candidates_that_are_not_finite_cost_no_other(candidates, thresholds, spoilt) -> None:
    candidates.sort(key=lambda candidate: -candidate[1])
    boxes = np.array([c[0] for c in candidates], np.float32).reshape(-1, 4)
    scores = np.array([c[1] for c in candidates], np.float32)
    class_ids = np.array([c[2] for c in candidates], np.int32)
    usable = np.ones(len(candidates), np.bool_)
    for row, column, value in spoilt:
        if row < len(candidates):
            usable[row] = False
            if column == 4:
                scores[row] = value
            else:
                boxes[row, column] = value
    np.testing.assert_array_equal(finite(boxes, scores), usable)
    rows = np.flatnonzero(usable)
    want = reference(boxes[rows], scores[rows], class_ids[rows], thresholds)
    assert nms(boxes, scores, class_ids, thresholds).tolist() == rows[want].tolist()


def test_the_order_is_made_anew_where_a_score_is_nan() -> None:
    boxes = np.array([[0, 0, 9, 9], [20, 0, 29, 9], [40, 0, 49, 9]], np.float32)
    scores, class_ids = np.array([0.5, np.nan, 0.9], np.float32), np.zeros(3, np.int32)
    assert nms(boxes, scores, class_ids, DEFAULTS).tolist() == [2, 0]

"""What is detected as served, and how two runs are matched and compared."""

from pathlib import Path

import numpy as np
import pytest
from gate_parts import SETTINGS, found
from tridet_build.gate.detections import box_ious, compare, detect, match


def test_boxes_of_another_class_or_overlap_do_not_match() -> None:
    reference = found((0, 0, 10, 10, 0.9, 0), (20, 0, 30, 10, 0.8, 1), (50, 50, 60, 60, 0.7, 2))
    variant = found((0, 0, 10, 9, 0.85, 0), (20, 0, 30, 10, 0.8, 2), (50, 50, 54, 60, 0.7, 2))
    pairs = match(reference, variant)
    assert pairs.pairs.tolist() == [[0, 0]]
    np.testing.assert_allclose(pairs.ious, [0.9], rtol=1e-6)
    np.testing.assert_allclose(pairs.drifts, [-0.05], atol=1e-6)
    assert pairs.missed.tolist() == [1, 2]
    assert pairs.extra.tolist() == [1, 2]


def test_the_best_overlap_goes_first_and_each_box_once() -> None:
    reference = found((0, 0, 10, 10, 0.9, 0), (1, 0, 11, 10, 0.8, 0))
    variant = found((1, 0, 11, 10, 0.9, 0))
    pairs = match(reference, variant)
    assert pairs.pairs.tolist() == [[1, 0]]
    assert pairs.missed.tolist() == [0]


@pytest.mark.parametrize(("mine", "theirs"), [(0, 0), (2, 0), (0, 2)])
def test_empty_sides_match_nothing(mine: int, theirs: int) -> None:
    rows = [(0, 0, 10, 10, 0.9, 0), (20, 20, 30, 30, 0.8, 0)]
    pairs = match(found(*rows[:mine]), found(*rows[:theirs]))
    assert (len(pairs.pairs), len(pairs.missed), len(pairs.extra)) == (0, mine, theirs)


def test_boxes_without_area_overlap_their_equal_alone() -> None:
    flat = np.array([[5, 5, 5, 9]], np.float32)
    assert box_ious(flat, flat).tolist() == [[1.0]]
    assert box_ious(flat, flat + 1).tolist() == [[0.0]]


def test_comparison_counts_at_the_threshold_and_names_the_worst_image() -> None:
    one = [found((0, 0, 10, 10, 0.9, 0)), found((0, 0, 10, 10, 0.9, 1), (0, 0, 9, 9, 0.05, 1))]
    two = [found((0, 0, 10, 10, 0.8, 0)), found((0, 0, 10, 10, 0.04, 1))]
    comparison = compare(one, two, conf=0.1)
    assert (comparison.reference, comparison.variant, comparison.matched) == (2, 1, 1)
    assert (comparison.missed, comparison.extra, comparison.worst) == (1, 0, 1)
    assert comparison.changed == 0.5
    assert comparison.iou_min == comparison.iou_mean == 1
    assert comparison.drift_mean == pytest.approx(-0.1)
    assert comparison.drift_max == pytest.approx(0.1)


def test_comparison_of_silent_runs_is_no_difference() -> None:
    comparison = compare([found()], [found()], conf=0.25)
    assert (comparison.changed, comparison.iou_min, comparison.drift_max) == (0, 1, 0)
    assert compare([found()], [found((0, 0, 9, 9, 0.9, 0))], conf=0.25).changed == 1


def test_detects_as_served_in_pixels_of_the_image(images: list[Path], weights: Path) -> None:
    calls: list[tuple[int, int]] = []
    run = detect(weights, images, SETTINGS, progress=lambda *done: calls.append(done))
    assert [item.image for item in run] == images
    assert run[3].size == (63, 48)
    assert calls == [(4, 6), (6, 6)]
    for item in run:
        assert len(item.scores) > 0
        assert (np.diff(item.scores) <= 0).all()
        assert (item.boxes <= np.array([*item.size, *item.size])).all()
        assert (item.above(0.3).scores >= 0.3).all()

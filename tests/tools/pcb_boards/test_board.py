"""Boards: exact boxes, the same board from the same seed."""

import cv2
import numpy as np
import pytest
from pcb_boards import CLASS_NAMES, Board, draw_board

SMALL = (640, 480)


def test_same_seed_same_bytes() -> None:
    first, second = draw_board(11, size=SMALL), draw_board(11, size=SMALL)
    assert np.array_equal(first.image, second.image)
    assert first.defects == second.defects
    assert not np.array_equal(first.image, draw_board(12, size=SMALL).image)


def changed_pixels(seed: int) -> tuple[Board, np.ndarray]:
    """A board and where it differs from itself without defects, bool [height, width]."""
    board = draw_board(seed, size=(800, 600), clean=True)
    without = draw_board(seed, size=(800, 600), clean=True, defects=False)
    assert without.defects == ()
    return board, cv2.absdiff(board.image, without.image).max(axis=2) > 12


@pytest.mark.parametrize("seed", range(100, 112))
def test_boxes_hold_exactly_what_changed(seed: int) -> None:
    board, changed = changed_pixels(seed)
    unit = 800 / 640
    assert 3 <= len(board.defects) <= 8
    outside = changed.copy()
    for defect in board.defects:
        x0, y0, x1, y1 = defect.box
        rows = slice(int(np.floor(y0)), int(np.ceil(y1)))
        cols = slice(int(np.floor(x0)), int(np.ceil(x1)))
        outside[rows, cols] = False
        ys, xs = np.nonzero(changed[rows, cols])
        assert len(xs), f"nothing changed in the box of a {CLASS_NAMES[defect.class_id]}"
        seen = (
            xs.min() + cols.start,
            ys.min() + rows.start,
            xs.max() + 1 + cols.start,
            ys.max() + 1 + rows.start,
        )
        # The relief of the copper's edges reaches a little beyond the copper itself.
        assert np.allclose(seen, defect.changed, atol=2.5 * unit)
        margins = np.subtract(defect.box, defect.changed)
        assert np.allclose(margins, np.array([-5, -5, 5, 5]) * unit)
    assert not outside.any()


def test_defects_are_large_enough_to_learn_at_640() -> None:
    boards = [draw_board(seed, size=SMALL) for seed in range(200, 215)]
    boxes = np.array([d.box for board in boards for d in board.defects])
    sizes = boxes[:, 2:] - boxes[:, :2]
    assert sizes.min() > 12
    assert sizes.max() < 60
    assert (sizes.max(axis=1) >= 15).all()
    assert (boxes >= 0).all()
    assert (boxes[:, 2:] <= SMALL).all()


def test_every_class_occurs() -> None:
    found = {d.class_id for seed in range(300, 312) for d in draw_board(seed, size=SMALL).defects}
    assert found == set(range(len(CLASS_NAMES)))

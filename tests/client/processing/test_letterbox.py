import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tridet.processing.letterbox import fit, fitted_size, letterbox, undo_letterbox

_sides = st.integers(1, 6000)
_sizes = st.sampled_from([32, 320, 640, 1280])


@given(_sides, _sides, _sizes)
def test_fitted_size_fills_the_square_without_leaving_it(w: int, h: int, size: int) -> None:
    width, height = fitted_size(w, h, size)
    assert max(width, height) == size
    assert min(width, height) >= 1
    # The shorter side is within half a pixel of the exact ratio (or the one pixel it must have).
    exact = min(w, h) * size / max(w, h)
    assert abs(min(width, height) - max(exact, 1)) <= 0.5 + 1e-9


@given(_sides, _sides, _sizes)
def test_border_rounds_as_ultralytics_does(w: int, h: int, size: int) -> None:
    width, height = fitted_size(w, h, size)
    # Ultralytics LetterBox: halves of the border, rounded after taking off a tenth.
    left, top = round((size - width) / 2 - 0.1), round((size - height) / 2 - 0.1)
    undo = letterbox(
        np.zeros((h, w, 1), np.uint8)[..., [0, 0, 0]], np.zeros((size, size, 3), np.uint8)
    )
    assert undo[2:4].tolist() == [left, top]
    assert undo[4:6].tolist() == [w, h]
    np.testing.assert_allclose(undo[:2], [width / w, height / h], rtol=1e-6)


@pytest.mark.parametrize(("w", "h"), [(1280, 720), (333, 1000), (640, 640), (50, 20), (641, 1)])
def test_letterboxing_a_fitted_frame_gives_the_same_canvas(w: int, h: int) -> None:
    """Why transport ``fit`` equals ``raw``: a second fit changes nothing."""
    image = np.random.default_rng(3).integers(0, 256, (h, w, 3), dtype=np.uint8)
    whole, sent = np.full((2, 640, 640, 3), 114, np.uint8)
    letterbox(image, whole)
    letterbox(fit(image, 640), sent)
    np.testing.assert_array_equal(whole, sent)


def test_only_the_middle_is_drawn() -> None:
    canvas = np.full((64, 64, 3), 114, np.uint8)
    letterbox(np.zeros((32, 64, 3), np.uint8), canvas)
    assert (canvas[:16] == 114).all()
    assert (canvas[48:] == 114).all()
    assert (canvas[16:48] == 0).all()


def test_fit_leaves_a_fitting_frame_alone() -> None:
    image = np.zeros((360, 640, 3), np.uint8)
    assert fit(image, 640) is image


@given(_sides, _sides, st.sampled_from([320, 640, 1280]))
def test_fitting_touches_one_side_and_exceeds_none(width, height, size):
    fitted = fitted_size(width, height, size)
    assert max(fitted) == size
    assert min(fitted) >= 1
    # Fitting what was fitted changes nothing: the server leaves the client's frame alone.
    assert fitted_size(*fitted, size) == fitted


@given(
    st.integers(1, 5000),
    st.integers(1, 5000),
    st.lists(st.tuples(*[st.floats(0, 1, width=32)] * 4), max_size=8),
)
def test_undo_letterbox_undoes_the_letterbox(width: int, height: int, points: list[tuple]) -> None:
    source = np.array(points, np.float32).reshape(-1, 4)
    source *= np.array([width, height] * 2, np.float32)
    undo = letterbox(np.zeros((height, width, 3), np.uint8), np.zeros((640, 640, 3), np.uint8))
    scale, pad = np.tile(undo[0:2], 2), np.tile(undo[2:4], 2)
    back = undo_letterbox(source * scale + pad, undo)
    assert back.dtype == np.float32
    # A float32 letterboxed coordinate resolves 640 * 2**-24 px; the source is that much larger.
    np.testing.assert_allclose(back, source, atol=max(width, height) * 2e-5 + 1e-3)


def test_undo_letterbox_clips_to_the_image() -> None:
    undo = np.array([0.5, 0.5, 0, 140, 1280, 720], np.float32)
    boxes = np.array([[-9, 0, 700, 640]], np.float32)
    assert undo_letterbox(boxes, undo).tolist() == [[0, 0, 1280, 720]]
    assert undo_letterbox(np.zeros((0, 4), np.float32), undo).shape == (0, 4)

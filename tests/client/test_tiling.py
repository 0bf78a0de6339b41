"""Tiles: where an image is cut, how what is found in them is merged, and what that finds."""

from __future__ import annotations

import asyncio
import threading
from itertools import pairwise

import cv2
import numpy as np
import pytest
from fake_triton import reject, run_cli
from hypothesis import given
from hypothesis import strategies as st
from tridet import AsyncDetector, Detector, InvalidInput
from tridet.groups import MemberInfo
from tridet.tiling import Window, joined, tiling_from

SIZE = (1000, 500)
LEFT, RIGHT, WHOLE = Window(0, 0, 600, 500), Window(400, 0, 1000, 500), Window(0, 0, *SIZE)


def board(*spots):
    """Return black uint8 [500, 1000, 3] with blue squares of 12 px, too small for one look."""
    image = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    for x, y in spots:
        image[y : y + 12, x : x + 12, 0] = 255
    return image


SPOTS = [(100, 100), (700, 120), (150, 400), (880, 380)]


# Where the cuts are ------------------------------------------------------------------------------
@given(
    st.integers(1, 5000),
    st.integers(1, 5000),
    st.integers(1, 16),
    st.integers(1, 16),
    st.floats(0, 0.89),
)
def test_tiles_cover_the_image_and_overlap(width, height, columns, rows, overlap):
    tiling = tiling_from({"tiles": f"{columns}x{rows}", "overlap": overlap, "whole": False})
    if columns > width or rows > height:
        with pytest.raises(InvalidInput, match="than the image has pixels"):
            tiling.windows((width, height))
        return
    windows = tiling.windows((width, height))
    assert len(windows) == columns * rows
    for spans, length, count in (
        ([(w.left, w.right) for w in windows[:columns]], width, columns),
        ([(w.top, w.bottom) for w in windows[::columns]], height, rows),
    ):
        assert spans[0][0] == 0 and spans[-1][1] == length
        side = length / (count - (count - 1) * overlap)
        for low, high in spans:
            assert 0 <= low < high <= length
            assert abs(high - low - side) <= 1
        for (_, high), (low, _) in pairwise(spans):
            assert abs(high - low - side * overlap) <= 1


def test_the_whole_image_comes_first_unless_it_is_not_wanted():
    assert tiling_from({"tiles": "2x1", "overlap": 1 / 3}).windows((1000, 500)) == [
        WHOLE,
        LEFT,
        RIGHT,
    ]
    assert tiling_from({"tiles": "1x1"}).windows(SIZE) == [WHOLE]
    assert tiling_from({}) is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tiles": "2"}, "tiles: expected COLUMNSxROWS, for instance 3x2, got '2'"),
        ({"tiles": "0x2"}, "got '0x2'"),
        ({"tiles": (2, 2)}, r"got \(2, 2\)"),
        ({"tiles": "17x17"}, "tiles: expected at most 256 in all, got 17x17"),
        (
            {"tiles": "2x2", "overlap": 0.9},
            "overlap: expected a number from 0 to below 0.9, got 0.9",
        ),
        ({"tiles": "2x2", "overlap": -0.1}, "got -0.1"),
        ({"tiles": "2x2", "overlap": float("nan")}, "got nan"),
        ({"tiles": "2x2", "whole": 1}, "whole: expected True or False, got 1"),
        ({"overlap": 0.2}, "overlap: expected tiles beside it, got none"),
        ({"whole": False}, "whole: expected tiles beside it, got none"),
    ],
)
def test_what_is_refused(settings, message):
    with pytest.raises(InvalidInput, match=message):
        Detector("localhost:1", "pcb", **settings)


# How views are merged ----------------------------------------------------------------------------
def member(name="a", start=0, classes=2):
    labels = tuple(f"{name}{i}" for i in range(classes))
    return MemberInfo(name, labels, range(start, start + classes), "fp32", {}, {})


ALONE = (member(),)


def merge(*views, members=ALONE, iou=0.7, agnostic=False, limits=(300,)):
    """Views are (window, [(box in pixels of the image, score, class id)])."""
    found = []
    for window, rows in views:
        boxes = [np.subtract(box, [window.left, window.top] * 2) for box, _, _ in rows]
        arrays = (
            np.reshape(boxes, (-1, 4)).astype(np.float32),
            np.array([score for _, score, _ in rows], np.float32),
            np.array([class_id for _, _, class_id in rows], np.int32),
        )
        found.append((window, arrays))
    boxes, scores, class_ids = joined(found, members, iou=iou, agnostic=agnostic, limits=limits)
    rounded = [round(score, 3) for score in scores.tolist()]
    return list(zip(map(tuple, boxes.tolist()), rounded, class_ids.tolist(), strict=True))


A = (450.0, 100.0, 550.0, 200.0)  # in the overlap: whole in both tiles
B = (560.0, 100.0, 660.0, 200.0)  # cut by the left tile's border, at 600


def test_what_two_tiles_show_is_one_object_the_stronger_of_both():
    assert merge((LEFT, [(A, 0.8, 0)]), (RIGHT, [(A, 0.9, 0)])) == [(A, 0.9, 0)]


def test_classes_are_apart_unless_agnostic():
    views = (LEFT, [(A, 0.8, 0)]), (RIGHT, [(A, 0.9, 1)])
    assert merge(*views) == [(A, 0.9, 1), (A, 0.8, 0)]
    assert merge(*views, agnostic=True) == [(A, 0.9, 1)]


def test_agnostic_stays_within_a_member_of_a_group():
    members = (member("a"), member("b", start=2))
    views = (LEFT, [(A, 0.8, 0)]), (RIGHT, [(A, 0.9, 1), (A, 0.7, 2)])
    merged = merge(*views, members=members, agnostic=True, limits=(300, 300))
    assert merged == [(A, 0.9, 1), (A, 0.7, 2)]


def test_a_piece_gives_way_to_the_whole_object_even_if_it_is_stronger():
    piece = (560.0, 100.0, 600.0, 200.0)
    assert merge((LEFT, [(piece, 0.95, 0)]), (RIGHT, [(B, 0.6, 0)])) == [(B, 0.6, 0)]
    assert merge((LEFT, [(piece, 0.95, 0)]), (RIGHT, [])) == [(piece, 0.95, 0)]


def test_a_whole_object_on_a_larger_one_of_its_class_stays():
    large, small = (100.0, 100.0, 300.0, 300.0), (120.0, 120.0, 180.0, 180.0)
    merged = merge((WHOLE, [(large, 0.9, 0)]), (LEFT, [(small, 0.8, 0)]), (RIGHT, []))
    assert merged == [(large, 0.9, 0), (small, 0.8, 0)]


@pytest.mark.parametrize(
    ("window", "small", "large"),
    [
        (LEFT, (0, 100, 100, 200), (0, 80, 300, 300)),
        (LEFT, (100, 0, 200, 100), (80, 0, 300, 300)),
        (RIGHT, (900, 100, 1000, 200), (700, 80, 1000, 300)),
        (RIGHT, (700, 400, 800, 500), (680, 300, 900, 500)),
    ],
)
def test_what_the_border_of_the_image_cuts_is_no_piece(window, small, large):
    merged = merge((WHOLE, [(large, 0.8, 0)]), (window, [(small, 0.7, 0)]))
    assert merged == [(large, 0.8, 0), (small, 0.7, 0)]


def test_limits_keep_the_strongest_of_each_member():
    members = (member("a"), member("b", start=2))
    rows = [((10.0 * i, 0.0, 10.0 * i + 8, 8.0), 0.5 + i / 100, 2 * (i % 2)) for i in range(20)]
    merged = merge((LEFT, rows), (RIGHT, []), members=members, limits=(2, 3))
    assert [(score, class_id) for _, score, class_id in merged] == [
        (0.69, 2),
        (0.68, 0),
        (0.67, 2),
        (0.66, 0),
        (0.65, 2),
    ]


def test_tens_of_thousands_of_boxes_are_merged_in_little_memory():
    rng = np.random.default_rng(0)
    found = []
    for _ in range(40):
        low = rng.uniform(0, 400, (1000, 2))
        boxes = np.hstack([low, low + rng.uniform(10, 60, (1000, 2))]).astype(np.float32)
        found.append((LEFT, (boxes, rng.random(1000, np.float32), np.zeros(1000, np.int32))))
    boxes, scores, _ = joined(
        [*found, (RIGHT, found[0][1])], [member()], iou=0.1, agnostic=False, limits=[10**9]
    )
    assert 0 < len(boxes) < 2000
    assert (np.diff(scores) <= 0).all()


# What that finds ---------------------------------------------------------------------------------
def test_tiles_find_what_the_whole_image_misses(fake):
    image = board(*SPOTS)
    with Detector(fake.url, "pcb") as detector:
        assert len(detector(image)) == 1  # the stand-in sees one box around all of a colour
        found = detector(image, tiles="2x2", whole=False)
        assert fake.calls["ModelInfer"] == 1 + 4
    expected = sorted((x, y, x + 12, y + 12) for x, y in SPOTS)
    np.testing.assert_allclose(sorted(f.box for f in found), expected, atol=10)
    assert found.image_size == SIZE


@pytest.mark.parametrize("transport", ["auto", "fit", "raw", "encoded", "shm"])
def test_both_detectors_and_every_transport_find_the_same(fake, transport, tmp_path):
    path = tmp_path / "board.png"
    cv2.imwrite(str(path), board(*SPOTS))
    tiles = {"tiles": "3x2", "overlap": 0.1}
    with Detector(fake.url, "pcb", transport=transport, **tiles) as detector:
        expected = detector(path)

    async def run():
        async with AsyncDetector(fake.url, "pcb", transport=transport) as other:
            return await other(path, **tiles)

    actual = asyncio.run(run())
    assert actual.to_dict() == expected.to_dict()
    assert expected.source == str(path)
    with Detector(fake.url, "pcb", transport="raw", **tiles) as detector:
        np.testing.assert_allclose(expected.boxes, detector(path).boxes, atol=8)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_the_tiles_are_under_way_together(fake, asynchronous):
    together = threading.Barrier(5)  # four tiles and the whole image
    fake.on_infer = lambda *_: together.wait(timeout=30)

    async def run():
        async with AsyncDetector(fake.url, "pcb", tiles="2x2", timeout_s=30) as detector:
            return await detector(board(*SPOTS))

    if asynchronous:
        assert len(asyncio.run(run()))
    else:
        with Detector(fake.url, "pcb", tiles="2x2", timeout_s=30) as detector:
            assert len(detector(board(*SPOTS)))
    assert fake.most_in_flight == 5


@pytest.mark.parametrize("asynchronous", [False, True])
def test_one_tile_that_fails_fails_the_image(fake, asynchronous):
    async def run():
        async with AsyncDetector(fake.url, "pcb", tiles="2x2") as detector:
            await detector(board(*SPOTS))

    fake.on_infer = reject("conf: expected 0 to 1", times=1)
    with pytest.raises(InvalidInput, match="conf: expected 0 to 1"):
        if asynchronous:
            asyncio.run(run())
        else:
            with Detector(fake.url, "pcb", tiles="2x2") as detector:
                detector(board(*SPOTS))


def test_max_det_holds_for_the_image(fake):
    with Detector(fake.url, "pcb", tiles="2x2", whole=False) as detector:
        assert len(detector(board(*SPOTS))) == 4
        assert len(detector(board(*SPOTS), max_det=3)) == 3


def test_the_command_line(fake, tmp_path):
    path = tmp_path / "board.png"
    cv2.imwrite(str(path), board(*SPOTS))
    common = ["detect", path, "--url", fake.url, "--json", "-", "--quiet"]
    code, out, _ = run_cli(*common, "--tiles", "2x2", "--no-whole", "--overlap", "0.1")
    assert code == 0
    assert out.count('"box"') == 4
    for wrong in (["--tiles", "two"], ["--tiles", "2x2", "--overlap", "1"], ["--overlap", "0.1"]):
        code, out, err = run_cli(*common, *wrong)
        assert (code, out) == (1, "")
        (line,) = err.splitlines()
        assert line.startswith(f"tridet: error: {wrong[-2].removeprefix('--')}: expected ")

"""Detections: frozen, convertible, drawable."""

from __future__ import annotations

import dataclasses
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from tridet import Detection, Detections, InvalidInput, MemberInfo, drawing

LABELS = ("short", "spur", "open_circuit")


def detections(boxes=((10, 20, 110, 60), (0.5, 0, 30, 30)), size=(200, 100)) -> Detections:
    count = len(boxes)
    return Detections(
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        scores=np.linspace(0.9, 0.5, count).astype(np.float32),
        class_ids=(np.arange(count) % 3).astype(np.int32),
        labels=LABELS,
        image_size=size,
        source="board.jpg",
    )


def test_nothing_can_be_changed():
    found = detections()
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.source = "other.jpg"
    for array in (found.boxes, found.scores, found.class_ids):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_the_callers_arrays_stay_writable():
    scores = np.ones(1, np.float32)
    Detections(np.zeros((1, 4)), scores, np.zeros(1), LABELS, (1, 1))
    scores[0] = 0


def test_dtypes_and_shapes_are_fixed():
    found = Detections([[1, 2, 3, 4]], [0.5], [0], LABELS, (9, 9))
    assert (found.boxes.dtype, found.boxes.shape) == (np.float32, (1, 4))
    assert (found.scores.dtype, found.class_ids.dtype) == (np.float32, np.int32)
    assert Detections([], [], [], LABELS, (9, 9)).boxes.shape == (0, 4)


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="got 1 boxes, 2 scores, 1 class_ids"):
        Detections([[1, 2, 3, 4]], [0.5, 0.4], [0], LABELS, (9, 9))


def test_iteration_gives_plain_records():
    found = detections()
    assert len(found) == 2
    assert found.names == ("short", "spur")
    first, second = found
    assert first == Detection((10.0, 20.0, 110.0, 60.0), pytest.approx(0.9), 0, "short")
    assert second.name == "spur"
    assert type(first.score) is float and type(first.class_id) is int


def test_to_dict_is_json():
    assert json.loads(json.dumps(detections().to_dict())) == {
        "source": "board.jpg",
        "width": 200,
        "height": 100,
        "detections": [
            {"box": [10, 20, 110, 60], "score": 0.9, "class_id": 0, "name": "short"},
            {"box": [0.5, 0, 30, 30], "score": 0.5, "class_id": 1, "name": "spur"},
        ],
    }


def test_to_supervision():
    found = detections()
    other = found.to_supervision()
    np.testing.assert_array_equal(other.xyxy, found.boxes)
    np.testing.assert_array_equal(other.confidence, found.scores)
    np.testing.assert_array_equal(other.class_id, found.class_ids)
    assert list(other.data["class_name"]) == ["short", "spur"]
    other.xyxy[0] = 0  # theirs to change
    assert len(detections(boxes=()).to_supervision()) == 0


def test_annotate_draws_on_a_copy():
    image = np.full((100, 200, 3), 60, np.uint8)
    drawn = detections().annotate(image)
    assert (image == 60).all()
    assert drawn.shape == image.shape and drawn.dtype == np.uint8
    assert (drawn[20, 30:110] != 60).any(axis=1).all()  # the upper edge of the first box


def test_annotate_without_detections_changes_nothing():
    image = np.full((100, 200, 3), 60, np.uint8)
    np.testing.assert_array_equal(detections(boxes=()).annotate(image), image)


@pytest.mark.parametrize("size", [(200, 150), (640, 480), (1920, 1080), (4000, 3000)])
@pytest.mark.parametrize(
    "corner", [(0, 0), (0, 1), (1, 0), (1, 1)], ids=["top-left", "bottom-left", "top-right", "br"]
)
def test_labels_are_whole_and_on_the_image(size, corner):
    def text_pixels(x, y):
        found = detections(boxes=[(x, y, x + 12, y + 12)], size=size)
        drawn = found.annotate(np.zeros((size[1], size[0], 3), np.uint8))
        return int((drawn > 180).all(axis=2).sum())

    at_corner = text_pixels(corner[0] * (size[0] - 12), corner[1] * (size[1] - 12))
    in_the_middle = text_pixels(size[0] // 3, size[1] // 2)
    assert at_corner == in_the_middle > 50


def test_annotate_refuses_another_image():
    with pytest.raises(InvalidInput, match="expected the image that was detected, 200 x 100"):
        detections().annotate(np.zeros((200, 100, 3), np.uint8))
    with pytest.raises(InvalidInput, match="got float64"):
        detections().annotate(np.zeros((100, 200, 3)))


def test_track_ids_go_where_the_detections_go():
    found = dataclasses.replace(detections(), track_ids=[12, -1])
    assert (found.track_ids.dtype, found.track_ids.flags.writeable) == (np.int32, False)
    assert [item.track_id for item in found] == [12, None]
    assert [item["track_id"] for item in found.to_dict()["detections"]] == [12, None]
    assert found.to_supervision().tracker_id.tolist() == [12, -1]
    assert detections().to_supervision().tracker_id is None
    with pytest.raises(ValueError, match="got 1 track_ids, 2 scores"):
        dataclasses.replace(detections(), track_ids=[1])


def test_each_member_of_a_group_gets_its_own_track_ids():
    members = tuple(
        MemberInfo(name, (label,), range(i, i + 1), "fp32", {}, {})
        for i, (name, label) in enumerate([("a", "short"), ("b", "spur")])
    )
    found = dataclasses.replace(detections(), members=members, track_ids=[7, 8])
    parts = found.by_detector()
    assert {name: part.track_ids.tolist() for name, part in parts.items()} == {"a": [7], "b": [8]}


def test_labels_show_the_track():
    image = np.full((100, 200, 3), 60, np.uint8)
    found = detections()
    plain = found.annotate(image)
    np.testing.assert_array_equal(
        dataclasses.replace(found, track_ids=[-1, -1]).annotate(image), plain
    )
    assert (dataclasses.replace(found, track_ids=[12, -1]).annotate(image) != plain).any()


def test_an_index_gives_one_and_the_rest_are_subsets():
    found = dataclasses.replace(detections(), track_ids=[12, -1])
    assert found[0] == next(iter(found)) and found[-1] == found[1] == list(found)[1]
    assert found[np.int64(1)].name == "spur"
    with pytest.raises(IndexError):
        found[2]
    assert list(found[1:]) == [found[1]] and found[1:].labels == LABELS
    assert found[::-1].names == ("spur", "short")
    assert list(found[[1, 0]]) == [found[1], found[0]]
    assert found[found.scores > 0.6].track_ids.tolist() == [12]
    assert len(found[[]]) == len(found[:0]) == 0
    with pytest.raises(IndexError):
        found[np.array([True])]


def test_a_notebook_shows_a_table():
    found = dataclasses.replace(detections(), labels=("<b>", "spur"), source="a&b.jpg")
    page = found._repr_html_()
    assert page.count("<tr>") == 1 + 2
    assert "&lt;b&gt;" in page and "a&amp;b.jpg" in page and "200 x 100" in page


@pytest.mark.parametrize("image", ["board.jpg", Path("board.jpg"), b"..."])
def test_annotate_says_what_it_takes(image):
    kind = type(image).__name__
    with pytest.raises(InvalidInput, match=f"expected the pixels .* cv2.imread .* got {kind}"):
        detections().annotate(image)


@pytest.mark.parametrize("name", ["ö", "Größe", "车", "Дефект"])
@pytest.mark.parametrize("opencv", [5, 4])
def test_labels_that_are_not_ascii(name, opencv, monkeypatch):
    if opencv == 4:  # its font has ASCII only
        monkeypatch.setattr(drawing, "_opencv_has", str.isascii)
        drawing._font_with.cache_clear()
    image = np.full((100, 200, 3), 60, np.uint8)

    def drawn(label):
        found = dataclasses.replace(detections(boxes=[(20, 40, 110, 60)]), labels=(label,))
        return found.annotate(image)

    marks = {name: drawn(name) for name in ("?" * len(name), "?" * len(name.encode()), "")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a machine may have no font with all of them
        got = drawn(name)
    assert not any(np.array_equal(got, other) for other in marks.values()) or opencv == 4
    drawing._font_with.cache_clear()


def test_where_no_font_has_it_that_is_said_once(monkeypatch):
    monkeypatch.setattr(drawing, "_opencv_has", str.isascii)
    monkeypatch.setattr(drawing, "_font_files", list)
    drawing._font_with.cache_clear()
    found = dataclasses.replace(detections(), labels=("Größe", "spur"))
    image = np.full((100, 200, 3), 60, np.uint8)
    with pytest.warns(UserWarning, match="no font on this machine has 'ßö'") as said:
        found.annotate(image)
        found.annotate(image)
    assert len(said) == 1
    drawing._font_with.cache_clear()

"""Data sets in YOLO and COCO form become the same thing, and what is wrong with them is said."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labelled_images import NAMES, write_picture, write_yolo
from tridet_build.datasets.read import read_dataset
from tridet_build.errors import DataError


def write_coco(folder: Path, **changes: Any) -> Path:
    write_picture(folder / "a.png", 0)
    content = {
        "images": [{"id": 7, "file_name": "a.png", "width": 96, "height": 64}],
        "categories": [{"id": 3, "name": "c1"}, {"id": 1, "name": "c0"}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 3, "bbox": [24, 16, 48, 32]}],
        **changes,
    }
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder / "annotations.json"


def test_both_forms_become_the_same(tmp_path: Path) -> None:
    yolo = read_dataset(write_yolo(tmp_path / "yolo", {"test": ["1 0.5 0.5 0.5 0.5\n"]}))
    coco = read_dataset(write_coco(tmp_path))
    assert yolo.names == NAMES
    assert coco.names == ("c0", "c1")
    for dataset in (yolo, coco):
        (image,) = dataset.splits[0].images
        assert image.class_ids.tolist() == [1]
        assert np.allclose(image.boxes_in_pixels((96, 64)), [[24, 16, 72, 48]])
        assert not dataset.splits[0].all_faults


def test_a_folder_is_enough(tmp_path: Path) -> None:
    write_coco(tmp_path / "coco")
    write_yolo(tmp_path / "yolo", {"val": [""]})
    assert read_dataset(tmp_path / "coco").splits[0].name == "annotations"
    assert read_dataset(tmp_path / "yolo").splits[0].name == "val"


def test_polygons_become_their_boxes(tmp_path: Path) -> None:
    data = write_yolo(tmp_path, {"train": ["0 0.1 0.2 0.5 0.2 0.5 0.6 0.1 0.6\n"]})
    (image,) = read_dataset(data).splits[0].images
    assert np.allclose(image.boxes, [[0.1, 0.2, 0.5, 0.6]])


def test_a_list_of_images_is_a_split(tmp_path: Path) -> None:
    data = write_yolo(tmp_path, {"train": ["0 0.5 0.5 0.2 0.2\n", ""]})
    (tmp_path / "some.txt").write_text("./images/train/train0.png\n\n")
    data.write_text(f"train: some.txt\nnames: {list(NAMES)}\n")
    (image,) = read_dataset(data).splits[0].images
    assert image.class_ids.tolist() == [0]


def test_the_test_split_is_the_default(tmp_path: Path) -> None:
    dataset = read_dataset(write_yolo(tmp_path, {"train": [""], "val": [""], "test": [""]}))
    assert dataset.split(None).name == "test"
    assert dataset.split("train").name == "train"
    with pytest.raises(DataError, match="expected a split 'other', found train, val, test"):
        dataset.split("other")


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("hello", "malformed line"),
        ("0 0.5 0.5 0.1", "malformed line"),
        ("0.5 0.5 0.5 0.1 0.1", "malformed line"),
        ("0 nan 0.5 0.1 0.1", "malformed line"),
        ("3 0.5 0.5 0.1 0.1", "class beyond names"),
        ("-1 0.5 0.5 0.1 0.1", "class beyond names"),
        ("0 0.5 1.2 0.1 0.1", "box out of range"),
        ("0 0.5 -0.2 0.1 0.1", "box out of range"),
        ("0 0.5 0.5 0 0.1", "empty box"),
    ],
)
def test_faulty_lines(tmp_path: Path, line: str, kind: str) -> None:
    good = "0 0.5 0.5 0.2 0.2\n"
    data = write_yolo(tmp_path, {"train": [good + line + "\n"]})
    (image,) = read_dataset(data).splits[0].images
    assert [(fault.severity, fault.kind) for fault in image.faults] == [("error", kind)]
    assert "line 2" in image.faults[0].text
    assert len(image.class_ids) == 1  # the good one


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("0 0.5 0.5 0.2 0.2\n0 0.5 0.5 0.2 0.2\n", "duplicated label"),
        ("0 0.95 0.5 0.2 0.2\n", "box over the edge"),
        (None, "image without labels"),
    ],
)
def test_doubtful_labels(tmp_path: Path, text: str | None, kind: str) -> None:
    (image,) = read_dataset(write_yolo(tmp_path, {"train": [text]})).splits[0].images
    assert [(fault.severity, fault.kind) for fault in image.faults] == [("warning", kind)]
    assert len(image.class_ids) == (0 if text is None else 1)


def test_what_belongs_to_nothing(tmp_path: Path) -> None:
    data = write_yolo(tmp_path, {"train": [""], "val": [""]})
    (tmp_path / "labels" / "train" / "gone.txt").write_text("")
    (tmp_path / "images" / "val" / "val0.png").unlink()
    faults = [fault for split in read_dataset(data).splits for fault in split.all_faults]
    assert [(f.severity, f.kind) for f in faults] == [
        ("warning", "labels without image"),
        ("error", "no images"),
        ("warning", "labels without image"),
    ]


@pytest.mark.parametrize(
    ("note", "kind"),
    [
        ({"image_id": 8, "category_id": 3, "bbox": [1, 1, 5, 5]}, "labels without image"),
        ({"image_id": 7, "category_id": 2, "bbox": [1, 1, 5, 5]}, "class beyond names"),
        ({"image_id": 7, "category_id": 3, "bbox": [1, 1, 5]}, "malformed annotation"),
        ({"image_id": 7, "category_id": 3, "bbox": [1, 1, 0, 5]}, "empty box"),
        ({"image_id": 7, "category_id": 3, "bbox": [99, 1, 5, 5]}, "box out of range"),
    ],
)
def test_faulty_annotations(tmp_path: Path, note: dict[str, Any], kind: str) -> None:
    (split,) = read_dataset(write_coco(tmp_path, annotations=[note])).splits
    assert [(fault.severity, fault.kind) for fault in split.all_faults] == [("error", kind)]


def test_crowds_and_areas_are_kept(tmp_path: Path) -> None:
    note = {"image_id": 7, "category_id": 1, "bbox": [1, 1, 9, 9], "area": 40, "iscrowd": 1}
    (image,) = read_dataset(write_coco(tmp_path, annotations=[note])).splits[0].images
    assert image.crowd is not None
    assert image.crowd.tolist() == [True]
    assert image.areas is not None
    assert image.areas.tolist() == [40]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n", "expected a data YAML with names, train, val or test"),
        ("names: {1: a}\ntrain: images\n", "expected the keys 0 to 0"),
        ("names: [a]\nnc: 2\ntrain: images\n", "expected nc 1, as there are names, got 2"),
        ("names: [a]\ntrain: images\n", "expected images in train, val, test"),
        ("names: [a]\ntrain: [3]\n", "expected a folder or a list of them, got 3"),
        ("a: [\n", "expected a data YAML: "),
    ],
)
def test_bad_yaml(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(DataError, match=message) as error:
        read_dataset(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"categories": {}}, "with the lists images, annotations, categories"),
        ({"categories": []}, "expected images and categories, found none"),
        ({"images": [{"id": 1}]}, "expected COCO images and categories: KeyError"),
        (
            {"images": [{"id": 1, "file_name": "b.png", "width": 1, "height": 1}]},
            "expected its image b.png in .* name the folder with --images",
        ),
        (
            {"images": [{"id": 1, "file_name": "a.png", "width": 0, "height": 1}]},
            "expected a width and a height, got 0, 1",
        ),
    ],
)
def test_bad_coco(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_dataset(write_coco(tmp_path, **changes))


def test_neither_form(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected data.yaml, annotations.json"):
        read_dataset(tmp_path)
    with pytest.raises(DataError, match="no such file"):
        read_dataset(tmp_path / "gone.yaml")
    (tmp_path / "x.csv").touch()
    with pytest.raises(DataError, match=r"expected a data YAML \(.yaml\) or a COCO file"):
        read_dataset(tmp_path / "x.csv")


def test_the_boards_that_are_not_drawn_yet(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such file: .*; `make boards` draws it"):
        read_dataset(tmp_path / "data" / "boards" / "data.yaml")

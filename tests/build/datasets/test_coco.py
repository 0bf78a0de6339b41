"""COCO files as they come: merged, moved, half there, and written by anybody."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from labelled_images import write_picture
from tridet_build.datasets.coco import read_coco
from tridet_build.errors import DataError


def entry(image_id: Any, name: str) -> dict[str, Any]:
    return {"id": image_id, "file_name": name, "width": 96, "height": 64}


def note(image_id: Any, category_id: Any = 1, **more: Any) -> dict[str, Any]:
    return {"image_id": image_id, "category_id": category_id, "bbox": [8, 8, 16, 16], **more}


def write(folder: Path, names: list[str] | None = None, **changes: Any) -> Path:
    """Write two pictures, or those of ``names``, and a COCO file of two with an object each."""
    for seed, name in enumerate(names if names is not None else ["a.png", "b.png"]):
        write_picture(folder / name, seed)
    content = {
        "images": [entry(1, "a.png"), entry(2, "b.png")],
        "categories": [{"id": 1, "name": "c"}],
        "annotations": [note(1), note(2)],
        **changes,
    }
    folder.mkdir(exist_ok=True)
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder / "annotations.json"


def seen(file: Path, images: Any = None) -> dict[str, int]:
    """Return how many objects each image has."""
    (split,) = read_coco(file, images).splits
    return {image.path.name: len(image.class_ids) for image in split.images}


def faults(file: Path) -> list[tuple[str, str]]:
    dataset = read_coco(file)
    found = [*dataset.faults, *(f for split in dataset.splits for f in split.all_faults)]
    return [(fault.severity, fault.kind) for fault in found]


def test_an_id_of_two_images_belongs_to_neither(tmp_path: Path) -> None:
    """As in files that were merged without new ids."""
    images = [entry(1, "a.png"), entry(1, "b.png"), entry(3, "c.png")]
    file = write(tmp_path, images=images, annotations=[note(1), note(1), note(3)])
    assert faults(file) == [("error", "image id twice")]
    assert seen(file) == {"a.png": 0, "b.png": 0, "c.png": 1}


def test_an_image_that_is_listed_twice(tmp_path: Path) -> None:
    file = write(tmp_path, images=[entry(1, "a.png"), entry(2, "a.png")])
    assert faults(file) == [("error", "image listed twice")]


def test_a_category_id_of_two_names(tmp_path: Path) -> None:
    file = write(tmp_path, categories=[{"id": 1, "name": "c"}, {"id": 1, "name": "d"}])
    with pytest.raises(DataError, match="expected one category of id 1, got 2"):
        read_coco(file)


def test_a_name_of_two_categories(tmp_path: Path) -> None:
    file = write(tmp_path, categories=[{"id": 1, "name": "c"}, {"id": 5, "name": "c"}])
    assert faults(file) == [("warning", "class name twice")]


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_an_image_that_is_not_there_costs_no_other(tmp_path: Path, gone: int) -> None:
    images = [entry(1, "a.png"), entry(2, "b.png")]
    images.insert(gone, entry(9, "gone.png"))
    file = write(tmp_path / "images", images=images)
    assert seen(file) == {"a.png": 1, "b.png": 1, "gone.png": 0}
    moved = tmp_path / "annotations" / "train.json"
    moved.parent.mkdir()
    file.rename(moved)
    assert seen(moved) == {"a.png": 1, "b.png": 1, "gone.png": 0}


def test_ids_may_be_texts_but_are_not_converted(tmp_path: Path) -> None:
    images = [entry("x/7", "a.png"), entry("2", "b.png")]
    file = write(tmp_path, images=images, annotations=[note("x/7"), note(2)])
    assert seen(file) == {"a.png": 1, "b.png": 0}
    assert faults(file) == [("error", "labels without image")]


def test_an_annotation_twice_is_two_objects_as_for_pycocotools(tmp_path: Path) -> None:
    file = write(tmp_path, annotations=[note(1), note(1), note(1, iscrowd=1), note(1, area=9)])
    assert seen(file)["a.png"] == 4
    assert faults(file) == [("warning", "duplicated label")]


def test_a_crowd_may_be_a_text(tmp_path: Path) -> None:
    file = write(tmp_path, annotations=[note(1, iscrowd="0"), note(2, iscrowd="1")])
    first, second = read_coco(file).splits[0].images
    assert first.crowd is not None and second.crowd is not None
    assert (first.crowd.tolist(), second.crowd.tolist()) == ([False], [True])


def test_a_byte_order_mark_and_the_paths_of_windows(tmp_path: Path) -> None:
    images = [entry(1, "deep\\a.png"), entry(2, "deep\\b.png")]
    file = write(tmp_path, ["deep/a.png", "deep/b.png"], images=images)
    file.write_text(file.read_text(), encoding="utf-8-sig")
    assert seen(file) == {"a.png": 1, "b.png": 1}


def test_images_are_matched_with_their_folders(tmp_path: Path) -> None:
    names = ["c1/0.png", "c2/0.png"]
    images = [entry(1, "c2/0.png"), entry(2, "c1/0.png")]
    file = write(tmp_path, names, images=images, annotations=[note(1), note(1), note(2)])
    (split,) = read_coco(file, [tmp_path / name for name in names]).splits
    objects = {
        image.path.relative_to(tmp_path).as_posix(): len(image.boxes) for image in split.images
    }
    assert objects == {"c1/0.png": 1, "c2/0.png": 2}
    # Of one folder alone, whose images are the nearest to each other.
    (split,) = read_coco(file, [tmp_path / "c2" / "0.png"]).splits
    assert [len(image.boxes) for image in split.images] == [2]


def test_names_without_folders_must_be_unique(tmp_path: Path) -> None:
    images = [entry(1, "upload/a.png"), entry(2, "upload/b.png"), entry(3, "more/b.png")]
    file = write(tmp_path, images=images)
    assert seen(file, [tmp_path / "a.png", tmp_path / "b.png"]) == {"a.png": 1}


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=4,
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("coco"))


@settings(max_examples=300, deadline=None)
@given(
    field=st.sampled_from(
        ["images.id", "images.file_name", "images.width", "categories.id", "categories.name"]
        + [f"annotations.{key}" for key in ("image_id", "category_id", "bbox", "area", "iscrowd")]
        + ["images", "categories", "annotations"]
    ),
    value=anything,
)
@example(field="images.width", value=2.0**64)
def test_whatever_stands_in_it_is_read_or_refused(whole: Path, field: str, value: Any) -> None:
    content = json.loads(whole.read_text())
    part, _, key = field.partition(".")
    if key:
        content[part][0][key] = value
    else:
        content[part][0] = value
    file = whole.with_name("changed.json")
    file.write_text(json.dumps(content))
    try:
        (split,) = read_coco(file).splits
    except DataError as error:
        assert "\n" not in str(error)
        return
    for image in split.images:
        assert np.isfinite(image.boxes).all()
        assert image.areas is not None and np.isfinite(image.areas).all()

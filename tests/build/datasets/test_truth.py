"""Labels find their images, and what hangs on them changes when they do."""

import json
from pathlib import Path

import numpy as np
import pytest
from labelled_images import write_picture
from tridet_build.datasets.truth import find_labels, labels_of_images, labels_sha256, model_ids
from tridet_build.errors import DataError

NAMES = ("a", "b", "c")


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """Two images of one name in two folders, each with its own labels, and one without any."""
    paths = [tmp_path / "d" / "images" / name for name in ("cam1/0.png", "cam2/0.png", "1.png")]
    for seed, path in enumerate(paths):
        write_picture(path, seed)
    for class_id, path in enumerate(paths[:2]):
        labels = tmp_path / "d" / "labels" / path.parent.name / "0.txt"
        labels.parent.mkdir(parents=True)
        labels.write_text(f"{class_id} 0.5 0.5 0.2 0.2\n")
    return paths


def classes(images: list[Path], labels: Path | None = None) -> list[list[int]]:
    dataset = labels_of_images(images, NAMES, labels)
    assert dataset is not None
    return [image.class_ids.tolist() for image in dataset.splits[0].images]


@pytest.mark.parametrize("given", [False, True])
def test_labels_in_the_folders_of_their_images(images: list[Path], given: bool) -> None:
    labels = images[0].parents[2] / "labels"
    assert classes(images, labels if given else None) == [[0], [1], []]
    # Of a few of the images, too, although these have another folder in common.
    assert classes(images[1:2], labels if given else None) == [[1]]
    assert classes(images[::-1], labels if given else None) == [[], [1], [0]]


def test_labels_anywhere(images: list[Path], tmp_path: Path) -> None:
    (images[0].parents[2] / "labels").rename(tmp_path / "elsewhere")
    assert find_labels(images) is None
    assert labels_of_images(images, NAMES) is None
    assert classes(images, tmp_path / "elsewhere") == [[0], [1], []]
    with pytest.raises(DataError, match="expected a COCO file or a folder of labels, found none"):
        find_labels(images, tmp_path / "nowhere")


def test_images_and_labels_may_be_named_from_where_one_is(
    images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path / "d")
    relative = [path.relative_to(tmp_path / "d") for path in images]
    assert classes(relative) == [[0], [1], []]
    assert classes(relative, Path("labels")) == [[0], [1], []]


def test_a_coco_file_in_the_folder_of_the_images_is_found(images: list[Path]) -> None:
    root = images[2].parent
    content = {
        "images": [
            {"id": number, "file_name": name, "width": 96, "height": 64}
            for number, name in enumerate(("1.png", "cam2/0.png", "cam1/0.png"))
        ],
        "categories": [{"id": 5, "name": "x"}],
        "annotations": [{"image_id": 1, "category_id": 5, "bbox": [1, 1, 9, 9]}],
    }
    (root / "annotations.json").write_text(json.dumps(content))
    assert find_labels(images) == root / "annotations.json"
    assert classes(images) == [[], [0], []]
    assert classes(images, root) == [[], [0], []]
    content["images"] = content["images"][1:]
    (root / "annotations.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"expected an entry of .*images/1\.png, found none"):
        classes(images)


def test_the_digest_hangs_on_every_label_and_on_whose_it_is(images: list[Path]) -> None:
    assert labels_sha256(images[2:]) is None
    first, second = (images[0].parents[2] / "labels" / f"cam{n}" / "0.txt" for n in (1, 2))
    before = labels_sha256(images)
    assert before == labels_sha256(images[::-1])
    assert before == labels_sha256(images, first.parents[1])
    texts = first.read_text(), second.read_text()
    for changed in (texts[::-1], (texts[0], ""), ("", texts[1])):
        first.write_text(changed[0])
        second.write_text(changed[1])
        assert labels_sha256(images) != before
    first.write_text(texts[0])
    second.write_text(texts[1])
    assert labels_sha256(images) == before
    # The same pictures and the same labels, but each with those of the other.
    pictures = [path.read_bytes() for path in images]
    images[0].write_bytes(pictures[1])
    images[1].write_bytes(pictures[0])
    assert labels_sha256(images) != before


def test_classes_go_by_name(images: list[Path]) -> None:
    dataset = labels_of_images(images, NAMES)
    assert dataset is not None
    (split,) = dataset.splits
    for labels, expected in ((NAMES, [0, 1, 2]), (("c", "b", "a", "x"), [2, 1, 0])):
        ids, _ = model_ids(dataset, split, labels)
        assert ids.tolist() == expected
    # No object of it is shown.
    assert model_ids(dataset, split, ("b", "a"))[0].tolist() == [1, 0, -1]
    with pytest.raises(DataError, match=r"expected the model's classes \(b, c\), got a"):
        model_ids(dataset, split, ("b", "c"))
    with pytest.raises(DataError, match="expected one class 'a' of the model, got 2"):
        model_ids(dataset, split, ("a", "b", "c", "a"))


def test_classes_of_one_name_are_told_apart_by_their_order(images: list[Path]) -> None:
    names = ("a", "a", "c")
    dataset = labels_of_images(images, names)
    assert dataset is not None
    ids, _ = model_ids(dataset, dataset.splits[0], names)
    assert np.array_equal(ids, [0, 1, 2])

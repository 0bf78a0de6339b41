"""What a run is judged by: the labels of its images, in their pixels, with the model's classes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tridet_build.datasets.coco import FILE_NAMES, read_coco
from tridet_build.datasets.dataset import (
    BoolArray,
    Dataset,
    Float64Array,
    Int32Array,
    LabelledImage,
    Split,
)
from tridet_build.datasets.images import roots_of
from tridet_build.datasets.yolo import labels_of, read_labels
from tridet_build.errors import DataError
from tridet_build.files import sha256_of


@dataclass(frozen=True, eq=False)
class Truth:
    """The n objects on one image, as they are labelled."""

    path: Path
    class_ids: Int32Array
    """int32 [n]: of the model."""
    boxes: Float64Array
    """float64 [n, 4]: x1, y1, x2, y2 in pixels."""
    areas: Float64Array
    """float64 [n]: square pixels."""
    crowd: BoolArray
    """bool [n]: groups of objects, which COCO neither asks for nor counts as wrong."""


def find_labels(images: Sequence[Path], labels: Path | None = None) -> Path | list[Path] | None:
    """Find the labels of images.

    Args:
        images: image files.
        labels: a COCO file, or a folder that holds one, or YOLO labels in the sub-folders of the
            images; None looks for both where they usually lie: a COCO file in the images' folder,
            or text files where Ultralytics has them.

    Returns:
        The COCO file; or a YOLO file for each image, which need not exist; None if there are none.

    Raises:
        DataError: ``labels`` is neither.
    """
    roots = roots_of(images)
    if labels and labels.is_file():
        return labels
    if labels and not labels.is_dir():
        raise DataError(f"{labels}: expected a COCO file or a folder of labels, found none")
    coco = [(labels or roots[0]) / name for name in FILE_NAMES if roots]
    if found := [file for file in coco if file.is_file()]:
        return found[0]
    if labels is None:
        beside = [labels_of(image) for image in images]
        return beside if any(file.is_file() for file in beside) else None
    # The folder of the images is the one below which most of them have labels.
    places = [
        [(labels / image.absolute().relative_to(root)).with_suffix(".txt") for image in images]
        for root in roots
    ]
    return max(places, key=lambda files: sum(file.is_file() for file in files), default=[])


def labels_sha256(images: Sequence[Path], labels: Path | None = None) -> str | None:
    """SHA-256 over the labels of images and over which image each belongs to; None without labels.

    Raises:
        DataError: see :func:`find_labels`.
    """
    found = find_labels(images, labels)
    if found is None:
        return None
    if isinstance(found, Path):
        root = roots_of(images)[0]
        of_images = (f"{i.absolute().relative_to(root)} {sha256_of(i)}" for i in images)
        lines = [sha256_of(found), *sorted(of_images)]
    else:
        pairs = zip(images, found, strict=True)
        lines = sorted(f"{sha256_of(i)} {sha256_of(f) if f.is_file() else ''}" for i, f in pairs)
    return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()


def labels_of_images(
    images: Sequence[Path], names: Sequence[str], labels: Path | None = None
) -> Dataset | None:
    """Read the labels of images; the one split has these images in their order.

    Args:
        images: image files.
        names: of the classes that YOLO labels number.
        labels: see :func:`find_labels`.

    Returns:
        None if there are no labels.

    Raises:
        DataError: they cannot be read, or an image stands not in the COCO file.
    """
    found = find_labels(images, labels)
    if found is None:
        return None
    if not isinstance(found, Path):
        read = [read_labels(i, f, tuple(names)) for i, f in zip(images, found, strict=True)]
        file = labels or found[0].parent
        return Dataset(file, tuple(names), (Split("labels", tuple(read)),))
    dataset = read_coco(found, images)
    (split,) = dataset.splits
    by_path = {image.path: image for image in split.images}
    for image in images:
        if image not in by_path:
            raise DataError(f"{found}: expected an entry of {image}, found none")
    ordered = tuple(by_path[image] for image in images)
    return replace(dataset, splits=(replace(split, images=ordered),))


def check_labels(dataset: Dataset, split: Split) -> None:
    """Refuse labels with errors, because a figure from them would mislead.

    Raises:
        DataError: with the first of them; or there is no image, or no object.
    """
    errors = [fault for fault in split.all_faults if fault.severity == "error"]
    if errors:
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        raise DataError(f"{errors[0]}{more}; see tools/check_dataset.py")
    if not split.images:
        raise DataError(f"{dataset.file}: {split.name}: expected images, found none")
    if not any(len(i.class_ids) if i.crowd is None else (~i.crowd).any() for i in split.images):
        raise DataError(f"{dataset.file}: {split.name}: expected objects, found none")


def model_ids(
    dataset: Dataset, split: Split, labels: Sequence[str]
) -> tuple[npt.NDArray[np.int32], list[int]]:
    """Match classes by name.

    Returns:
        The model's id for each class of the data set, -1 where the model does not know it and no
        image of the split shows it; and the model's ids that the data set has, ascending.

    Raises:
        DataError: objects of a class that the model does not know, or has twice; or no class in
            common.
    """
    if tuple(labels) == dataset.names:  # then even two classes of one name are told apart
        return np.arange(len(labels), dtype=np.int32), list(range(len(labels)))
    known = {name: index for index, name in enumerate(labels)}
    ids = np.array([known.get(name, -1) for name in dataset.names], dtype=np.int32)
    shown = {int(class_id) for image in split.images for class_id in image.class_ids}
    unknown = [dataset.names[class_id] for class_id in sorted(shown) if ids[class_id] < 0]
    if unknown or (ids < 0).all():
        raise DataError(
            f"{dataset.file}: expected the model's classes ({', '.join(labels)}), "
            f"got {', '.join(unknown or dataset.names)}"
        )
    twice = [name for name in dataset.names if list(labels).count(name) > 1]
    if twice:
        raise DataError(
            f"{dataset.file}: classes go by name: expected one class {twice[0]!r} of the model, "
            f"got {list(labels).count(twice[0])}"
        )
    return ids, sorted({int(index) for index in ids if index >= 0})


def truth_of(image: LabelledImage, size: tuple[int, int], ids: npt.NDArray[np.int32]) -> Truth:
    """Return what is labelled in pixels and with the model's class ids.

    Args:
        image: with its labels.
        size: (width, height) of the image as it was decoded, in pixels.
        ids: the model's id for each class of the data set.

    Raises:
        DataError: the labels are of an image of another size.
    """
    if image.stated_size not in (None, size):
        raise DataError(
            f"{image.path}: expected {image.stated_size[0]} x {image.stated_size[1]} pixels, as "
            f"labelled, got {size[0]} x {size[1]}; see tools/check_dataset.py"
        )
    boxes = image.boxes_in_pixels(size)
    # Where only a box is known it is the object, as Ultralytics has it.
    sides = boxes[:, 2:] - boxes[:, :2]
    areas: Float64Array = sides[:, 0] * sides[:, 1]
    return Truth(
        path=image.path,
        class_ids=ids[image.class_ids],
        boxes=boxes,
        areas=areas if image.areas is None else image.areas,
        crowd=np.zeros(len(boxes), np.bool_) if image.crowd is None else image.crowd,
    )

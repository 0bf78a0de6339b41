"""Bring labels and detections together: one list of images, one list of classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from detection_data import Dataset, LabelledImage, Split

from ._errors import EvaluationError
from .predictions import Prediction


@dataclass(frozen=True, eq=False)
class Pair:
    """One image: its n objects as they are labelled, and what was found."""

    path: Path
    class_ids: npt.NDArray[np.int32]
    """int32 [n]: of the model."""
    boxes: npt.NDArray[np.float64]
    """float64 [n, 4]: x1, y1, x2, y2 in pixels."""
    areas: npt.NDArray[np.float64]
    """float64 [n]: square pixels."""
    crowd: npt.NDArray[np.bool_]
    """bool [n]: groups of objects, which COCO neither asks for nor counts as wrong."""
    found: Prediction


def model_ids(
    dataset: Dataset, split: Split, labels: Sequence[str]
) -> tuple[npt.NDArray[np.int32], list[int]]:
    """Match classes by name.

    Returns:
        The model's id for each class of the data set, -1 where the model does not know it and no
        image of the split shows it; and the model's ids that the data set has, ascending.

    Raises:
        EvaluationError: objects of a class that the model does not know, or no class in common.
    """
    known = {name: index for index, name in enumerate(labels)}
    ids = np.array([known.get(name, -1) for name in dataset.names], dtype=np.int32)
    shown = {int(class_id) for image in split.images for class_id in image.class_ids}
    unknown = [dataset.names[class_id] for class_id in sorted(shown) if ids[class_id] < 0]
    if unknown or (ids < 0).all():
        raise EvaluationError(
            f"{dataset.file}: expected the model's classes ({', '.join(labels)}), "
            f"got {', '.join(unknown or dataset.names)}"
        )
    return ids, sorted({int(index) for index in ids if index >= 0})


def check_labels(split: Split) -> None:
    """Refuse labels with errors, because a figure from them would mislead.

    Raises:
        EvaluationError: with the first of them.
    """
    errors = [fault for fault in split.all_faults if fault.severity == "error"]
    if errors:
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        raise EvaluationError(f"{errors[0]}{more}; see tools/check_dataset.py")
    if not split.images:
        raise EvaluationError(f"split {split.name}: expected images, found none")


def pair(image: LabelledImage, found: Prediction, ids: npt.NDArray[np.int32]) -> Pair:
    """Return both in pixels and with the model's class ids.

    Raises:
        EvaluationError: the labels are of an image of another size.
    """
    if image.stated_size not in (None, found.size):
        raise EvaluationError(
            f"{image.path}: expected {image.stated_size[0]} x {image.stated_size[1]} pixels, as "
            f"labelled, got {found.size[0]} x {found.size[1]}; see tools/check_dataset.py"
        )
    boxes = image.boxes_in_pixels(found.size)
    # Where only a box is known it is the object, as Ultralytics has it.
    sides = boxes[:, 2:] - boxes[:, :2]
    areas: npt.NDArray[np.float64] = sides[:, 0] * sides[:, 1]
    return Pair(
        path=image.path,
        class_ids=ids[image.class_ids],
        boxes=boxes,
        areas=areas if image.areas is None else image.areas,
        crowd=np.zeros(len(boxes), np.bool_) if image.crowd is None else image.crowd,
        found=found,
    )
